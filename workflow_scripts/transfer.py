"""Train every replicate of one arm end to end on the images of one data set, with all weight decays.

With several weight decays, each is trained twice: on all training rows, and without the held-out rows, on which the
weight decay is chosen. Writes one Parquet file of metrics and one of the selected networks' predictions, with a
sidecar, in the format of the probe's files.
"""

import os
from pathlib import Path

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.backbones.start import Start
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.transfer import job
from workflow_scripts.timecat.transfer.settings import Settings


def main() -> None:
    """Read the command line and train the arm."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--mode", required=True, choices=["finetune", "direct"])
    parser.add_argument("--data-set", required=True)
    parser.add_argument("--replicates", required=True, type=json_of(list[list[int]]), help="[[seed, ...], ...]")
    parser.add_argument(
        "--weights",
        nargs="*",
        default=[],
        type=Path,
        help="finetune: weights of all members, in the order of --replicates",
    )
    parser.add_argument(
        "--backbone",
        required=True,
        type=json_of(BackboneSettings | None),
        help="direct: the backbone's block of the config",
    )
    parser.add_argument(
        "--initialisation",
        required=True,
        type=json_of(Start | None),
        help="direct: the recipe's keys for initialisation",
    )
    parser.add_argument(
        "--settings", required=True, type=json_of(Settings), help="the block `finetune` or `direct` of the config"
    )
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--heldout", required=True, type=json_of(Heldout), help='{"seed": ..., "fraction": ...}')
    for split in ("train", "evaluation"):
        parser.add_argument(f"--{split}", required=True, type=Path, help=".beton")
        parser.add_argument(f"--{split}-index", required=True, type=Path, help=".parquet")
    parser.add_argument("--resume-seconds", required=True, type=float)
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--metrics", required=True, type=Path, help=".parquet")
    parser.add_argument("--predictions", required=True, type=Path, help=".parquet")
    job.run(job.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
