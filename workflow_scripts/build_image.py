"""Build the container image in which stages run, and write the SHA-256 digest of the image."""

import os
from pathlib import Path

from workflow_scripts.timecat.runtime import command, container
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and build the image."""
    parser = command.parser(__doc__)
    parser.add_argument("--definition", required=True, type=Path)
    parser.add_argument(
        "--arguments",
        required=True,
        type=json_of(container.BuildArguments),
        help="arguments of the definition, by name",
    )
    parser.add_argument("--image", required=True, type=Path, help=".sif")
    parser.add_argument("--digest", required=True, type=Path, help=".sif.sha256, as sha256sum writes and checks it")
    container.run(container.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    os._exit(0)
