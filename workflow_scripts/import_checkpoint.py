"""Bring published weights into the place of a pretrained checkpoint: read safely, every key accounted for."""

import os
from pathlib import Path

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.checkpoints import importing
from workflow_scripts.timecat.checkpoints.publication import Publication
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and import."""
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int)
    parser.add_argument(
        "--backbone", required=True, type=json_of(BackboneSettings), help="the backbone's block of the config"
    )
    parser.add_argument("--image-size", required=True, type=int, help="side of the source's images, pixels")
    parser.add_argument("--publication", required=True, type=json_of(Publication), help="which file it is")
    parser.add_argument("--sha256", nargs="?", default="", const="", help="what the file must be, or nothing")
    parser.add_argument("--member-sha256", nargs="?", default="", const="", help="the same of the archive's member")
    parser.add_argument("--step-tolerance", type=int, default=0, help="by how much the file's own step may differ")
    parser.add_argument("--published", required=True, type=Path, help="the checkpoint, or the archive that holds it")
    parser.add_argument("--weights", required=True, type=Path)
    importing.run(importing.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
