"""Write the untrained network of one seed (step 0), with batch-norm statistics computed from training images."""

import os
from pathlib import Path

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining import untrained
from workflow_scripts.timecat.pretraining.recipe import Beginning
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and write the network."""
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument(
        "--backbone", required=True, type=json_of(BackboneSettings), help="the backbone's block of the config"
    )
    parser.add_argument("--beginning", required=True, type=json_of(Beginning), help="keys of the block pretrain")
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--train", required=True, type=Path, help=".beton")
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int, help="0 computes on the CPU")
    parser.add_argument("--weights", required=True, type=Path)
    untrained.run(untrained.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
