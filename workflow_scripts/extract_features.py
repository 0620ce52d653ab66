"""Extract the features of one data set with one checkpoint: all splits and views in one job."""

import os
from pathlib import Path

from workflow_scripts.timecat.features import job
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and extract the features."""
    parser = command.parser(__doc__)
    parser.add_argument("--data-set", required=True)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--train", nargs="*", required=True, type=Path, help=".beton; none for evaluation only")
    parser.add_argument(
        "--train-index", nargs="*", default=[], type=Path, help=".parquet, if there are several draws of rows"
    )
    parser.add_argument("--evaluation", required=True, type=Path, help=".beton")
    parser.add_argument("--extraction", required=True, type=json_of(Extraction), help="block features, views by name")
    parser.add_argument("--heldout", required=True, type=json_of(Heldout | None))
    parser.add_argument("--transform", required=True, type=json_of(Transform))
    parser.add_argument("--torch-threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--gpus", required=True, type=int)
    parser.add_argument("--features", required=True, type=Path, help="folder")
    job.run(job.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
