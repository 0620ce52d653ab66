"""Write one split of one data set as a .beton file, with an index, a sidecar and a list of the skipped images."""

from pathlib import Path

from workflow_scripts.timecat.images import writing
from workflow_scripts.timecat.images.datasets.registry import SETTINGS
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and write the split."""
    parser = command.parser(__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--split", required=True, choices=("train", "evaluation"))
    parser.add_argument("--settings", required=True, type=json_of(SETTINGS), help="the data set's block of the config")
    parser.add_argument(
        "--download", choices=("true", "false"), default="false", help="whether CIFAR may be downloaded"
    )
    parser.add_argument("--probed-sidecar", nargs="*", default=[], help="sidecar of the probe's data set")
    parser.add_argument("--probed-index", nargs="*", default=[], help="evaluation index of the probe's data set")
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--beton", required=True, type=Path)
    parser.add_argument("--index", required=True, type=Path, help=".parquet")
    parser.add_argument("--skipped", required=True, type=Path, help=".tsv")
    writing.run(writing.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
