"""Pretrain one seed from the previous milestone (or from scratch) to a milestone."""

import os
from pathlib import Path

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining import job
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and pretrain the seed."""
    parser = command.parser(__doc__)
    parser.add_argument("--source", required=True, help="name of the source data set")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--step", required=True, type=int, help="step of the milestone")
    parser.add_argument(
        "--backbone", required=True, type=json_of(BackboneSettings), help="the backbone's block of the config"
    )
    parser.add_argument("--recipe", required=True, type=json_of(Recipe))
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--train", required=True, type=Path, help=".beton")
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--previous", nargs="*", default=[], help="training state to continue from")
    parser.add_argument("--resume-seconds", required=True, type=float)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int, help="processes that read images, on each node")
    parser.add_argument("--gpus", required=True, type=int, help="GPUs of all nodes together")
    parser.add_argument("--nodes", required=True, type=int, help="nodes of a Slurm job that share the work")
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--training-log", required=True, type=Path)
    job.run(job.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
