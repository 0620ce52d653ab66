"""Define the settings that identify an imported checkpoint. This module does not import torch: the study reads it."""

from workflow_scripts.timecat.settings import settings


@settings
class Publication:
    """Settings that identify a published checkpoint.

    member: path of the checkpoint inside an archive, or None. local_sha256: SHA-256 of a local file, or None if the
    file is downloaded. ignored: shell patterns of keys that may be left out.
    """

    member: str | None
    local_sha256: str | None
    ignored: tuple[str, ...]
