"""Convert published weights to a checkpoint of this workflow; read them safely and check that every key matches."""

import os
from pathlib import Path

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.checkpoints import importing
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and import the checkpoint."""
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int)
    parser.add_argument(
        "--backbone", required=True, type=json_of(BackboneSettings), help="the backbone's block of the config"
    )
    parser.add_argument("--image-size", required=True, type=int, help="side of the source's images, pixels")
    parser.add_argument("--publication", required=True, type=json_of(Publication), help="how the file was published")
    parser.add_argument("--sha256", nargs="?", default="", const="", help="expected SHA-256 of the file, or empty")
    parser.add_argument(
        "--member-sha256",
        nargs="?",
        default="",
        const="",
        help="expected SHA-256 of the checkpoint inside the archive, or empty",
    )
    parser.add_argument(
        "--step-tolerance", type=int, default=0, help="number of steps by which the step in the file may differ"
    )
    parser.add_argument("--published", required=True, type=Path, help="the checkpoint, or the archive that holds it")
    parser.add_argument("--weights", required=True, type=Path)
    importing.run(importing.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
