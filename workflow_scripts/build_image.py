"""Build the container image in which stages run, and write the digest that stands for its content."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import file_sha256
from workflow_scripts.timecat.artifacts.files import atomic_path, write_bytes
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer
from workflow_scripts.timecat.version import VERSION

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # a proxy's, on many a cluster; the base has the file too
# gzip, the default, takes minutes of one core per gigabyte; zstd at its first levels takes seconds for the same size.
SQUASH = "-comp zstd -Xcompression-level 2"


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--definition", required=True, type=Path)
    parser.add_argument("--arguments", required=True, type=command.json_value, help="of the definition, by name")
    parser.add_argument("--image", required=True, type=Path, help=".sif")
    parser.add_argument("--digest", required=True, type=Path, help=".sif.sha256, as sha256sum writes and checks it")
    arguments = parser.parse_args()
    if shutil.which("apptainer") is None:
        raise UserError("apptainer is not on PATH: install Apptainer 1.3 or newer, or run without --sdm apptainer")
    told = arguments.arguments | {"VERSION": VERSION, "COMMIT": commit()}
    # What a build that was killed has left is gigabytes.
    with sole_writer(arguments.image.parent, f"{arguments.image.name}."):
        with atomic_path(arguments.image) as temporary:
            build(arguments.definition, temporary, told)
        # The digest last: an image without it counts as not built.
        write_bytes(arguments.digest, f"{file_sha256(arguments.image)}  {arguments.image.name}\n".encode())
    command.log(f"{arguments.image}: {arguments.image.stat().st_size / 1e9:.2f} GB")


def build(definition: Path, image: Path, arguments: dict[str, str]) -> None:
    """Build ``image`` and pass on what Apptainer says, line by line. UserError if it fails."""
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
            f"{definition} could not be built (apptainer ended with status {error.returncode}): mend what it says above,"
            " and run again"
        ) from None


def commit() -> str:
    """The commit of this clone, for the image's labels; "unknown" outside of git."""
    words = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


if __name__ == "__main__":
    command.run(main)
    os._exit(0)
