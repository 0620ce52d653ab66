"""Build the container image in which stages run (the work of the stage `build_image`)."""

import contextlib
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from workflow_scripts.timecat.artifacts.digests import file_sha256
from workflow_scripts.timecat.artifacts.files import atomic_path, write_bytes
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.settings import settings
from workflow_scripts.timecat.version import VERSION

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # may include the certificate of a cluster's proxy
# gzip, the default, takes minutes of one core per gigabyte. zstd at a low level takes seconds and gives the same size.
SQUASH = "-comp zstd -Xcompression-level 2"


@settings
class BuildArguments:
    """Build arguments of a container image, from the config's block ``container``.

    The fields have the names of the arguments in the definition file.
    """

    BOOTSTRAP: str
    BASE: str
    GPU: Literal["yes", "no"]


@dataclass(frozen=True)
class Options:
    """Options of the command line of the stage `build_image`."""

    definition: Path
    arguments: BuildArguments
    image: Path
    digest: Path


def run(options: Options) -> None:
    """Build the container image, and write the SHA-256 of the image file to the file ``digest``."""
    if shutil.which("apptainer") is None:
        raise UserError("apptainer is not on PATH: install Apptainer 1.3 or newer, or run without --sdm apptainer")
    told = asdict(options.arguments) | {"VERSION": VERSION, "COMMIT": commit()}
    # A killed build leaves gigabytes, which sole_writer removes.
    with sole_writer(options.image.parent, f"{options.image.name}."):
        with atomic_path(options.image) as temporary:
            build(options.definition, temporary, told)
        # The digest is written last: an image without it counts as not built.
        write_bytes(options.digest, f"{file_sha256(options.image)}  {options.image.name}\n".encode())
    command.log(f"{options.image}: {options.image.stat().st_size / 1e9:.2f} GB")


def build(definition: Path, image: Path, arguments: dict[str, str]) -> None:
    """Build ``image`` and log Apptainer's output line by line. Raise UserError if the build fails."""
    from spython.utils import stream_command

    words = ["apptainer", "build", "--fakeroot", "--force", "--mksquashfs-args", SQUASH]
    words += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    if Path(CERTIFICATES).exists():
        words += ["--bind", CERTIFICATES]
    words += [str(image.resolve()), str(definition.resolve())]
    try:
        with contextlib.chdir(ROOT):  # paths of the definition are relative to the project's folder
            for line in stream_command(words, output_type="both"):
                command.log(line.rstrip())
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"{definition} could not be built (apptainer ended with status {error.returncode}): fix the error"
            " in the lines above and run again"
        ) from None


def commit() -> str:
    """Return the commit of this clone, for the image's labels, or "unknown" outside of git."""
    words = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
