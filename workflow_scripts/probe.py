"""Train the probes of every replicate of one arm on one data set: all weight decays and both fits.

Reads features from disk. Writes one Parquet file of metrics (a row per replicate, fit, weight decay, epoch and split),
the selected heads, and one Parquet file of their predictions on the evaluation split; the last two have a sidecar. The
content of the files depends only on the inputs and arguments.
"""

import os

from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.probing import job
from workflow_scripts.timecat.probing.protocol import any_protocol
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and train the probes."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--train-index", required=True, help="Parquet with columns row, label, in data set order")
    parser.add_argument(
        "--evaluation-index", required=True, help="Parquet of the evaluation split, with the same columns"
    )
    parser.add_argument("--views", type=json_of(list[str]), required=True, help="training views, in epoch order")
    parser.add_argument("--protocol", type=any_protocol, required=True, help="the block probe")
    parser.add_argument("--heldout", type=json_of(Heldout), required=True, help='{"seed": ..., "fraction": ...}')
    parser.add_argument("--torch-threads", type=int, required=True, help="threads of torch; may change the last bits")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument(
        "--memory-gb", type=float, required=True, help="memory for features; does not change the output"
    )
    parser.add_argument("--metrics", required=True, help="Parquet of metrics")
    parser.add_argument("--predictions", required=True, help="Parquet of the selected heads' predictions")
    parser.add_argument("--heads", required=True, help="safetensors of the selected heads")
    job.run(job.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
