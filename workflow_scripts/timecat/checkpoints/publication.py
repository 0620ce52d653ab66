"""What makes an imported checkpoint what it is, as the stage is told it. Without torch, for the study."""

from workflow_scripts.timecat.settings import settings


@settings
class Publication:
    """A published checkpoint.

    member: its path inside of an archive, or None. local_sha256: of a local file, or None where it is downloaded. ignored:
    keys of the file that may be left out.
    """

    member: str | None
    local_sha256: str | None
    ignored: tuple[str, ...]
