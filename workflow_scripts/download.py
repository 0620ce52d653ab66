"""Download one file completely or not at all; an interrupted download resumes."""

from pathlib import Path

from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.checkpoints import downloads
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.sole_writer import sole_writer


def main() -> None:
    """Read the command line and download the file."""
    parser = command.parser(__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--sha256", nargs="?", default="", const="", help="expected SHA-256, or nothing")
    parser.add_argument("--file", required=True, type=Path)
    arguments = parser.parse_args()
    with sole_writer(arguments.file.parent, f"{arguments.file.name}."):
        found = downloads.download(arguments.url, arguments.file, arguments.sha256)
        write_sidecar(arguments.file, found["sha256"], {"url": arguments.url}, {}, {"bytes": found["bytes"]})
    command.log(f"{arguments.url}: {found['bytes']} bytes, SHA-256 {found['sha256']}")


if __name__ == "__main__":
    command.run(main)
