"""Retrain the last layer of every replicate of one arm on balanced groups of one data set, from cached features.

Writes one Parquet file of metrics (a row per replicate and selection) and one of predictions, with a sidecar. Both
selections are equal, because the evaluation split selects nothing.
"""

from workflow_scripts.timecat.probing import reweighting_job
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and reweight the arm."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument(
        "--train-index", required=True, help="Parquet with columns row, label and one per group attribute"
    )
    parser.add_argument("--evaluation-index", required=True, help="Parquet with columns row and label")
    parser.add_argument(
        "--views", type=json_of(list[str]), required=True, help="training views, of which only the first is read"
    )
    parser.add_argument("--settings", type=json_of(Reweighting), required=True, help="the block reweight")
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of predictions")
    reweighting_job.run(reweighting_job.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
