"""Measure what each member contributes to the selected heads of one probe, and how similar the members are.

Writes one Parquet file in long form, with a row per replicate, selection, quantity and member (or pair of members). The
quantities are accuracy (as the probe reported it), block_accuracy, leave_one_out_accuracy, weight, folded_weight
(defined in `measures.members`) and cka (`measures.cka`). CKA is computed from the evaluation features, does not depend
on the selection, and is null for a member whose features are constant.
"""

import os

from workflow_scripts.timecat.measures import diagnosis
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of


def main() -> None:
    """Read the command line and write the diagnostics."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--heads", required=True, help="safetensors of the probe's selected heads")
    parser.add_argument("--evaluation-index", required=True, help="Parquet with columns row, label, in data set order")
    parser.add_argument("--torch-threads", type=int, required=True, help="threads of torch; may change the last bits")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument("--diagnostics", required=True, help="Parquet, long form")
    diagnosis.run(diagnosis.Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    command.run(main)
    # With torch loaded, Python takes a second to shut down. All files are written, so exit immediately.
    os._exit(0)
