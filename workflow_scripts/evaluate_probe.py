"""Evaluate the selected heads of a probe on a different data set, restricted to the classes that occur in it.

For example, ImageNet-A and ImageNet-R have 200 of ImageNet's classes: the arg max, the softmax and the loss run over
these classes only. This stage does not train or select heads. Writes one Parquet file of metrics (a row per replicate
and selection) and one of predictions, with a sidecar, in the format of the probe's files.
"""

import os

from workflow_scripts.timecat.probing import evaluation
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and evaluate the heads."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--heads", required=True, help="safetensors of the probe's selected heads")
    parser.add_argument(
        "--evaluation-index", required=True, help="Parquet with columns row, label of the probe's classes"
    )
    parser.add_argument("--torch-threads", type=int, required=True, help="threads of torch; may change the last bits")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of the heads' predictions")
    evaluation.run(evaluation.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
