"""Take the selected heads of one probe apart: what each member contributes, and how alike the members are.

Writes one Parquet in long form, a row per replicate, selection, quantity and member (or pair of members):
accuracy (what the probe reported), block_accuracy, leave_one_out_accuracy, weight, folded_weight (`measures.members`
says what they are) and cka (`measures.cka`), which is of the evaluation features and of no selection, and null for a member
whose features never vary.
"""

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.probing import selected_heads
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime import command
from workflow_scripts.timecat.runtime.json_arguments import json_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from workflow_scripts.timecat.probing.saved_heads import HeadsFile


def main() -> None:
    """Read the command line, diagnose, write."""
    parser = command.parser(__doc__.splitlines()[0])
    parser.add_argument("--features", nargs="+", required=True, help="feature folders, replicate by replicate")
    parser.add_argument("--replicates", type=json_of(list[list[int]]), required=True, help="[[seed, ...], ...]")
    parser.add_argument("--heads", required=True, help="safetensors of the probe's selected heads")
    parser.add_argument("--evaluation-index", required=True, help="Parquet with columns row, label, in data set order")
    parser.add_argument("--torch-threads", type=int, required=True, help="can change the last bits of a number")
    parser.add_argument("--gpus", type=int, required=True, help="0 computes on the CPU")
    parser.add_argument("--diagnostics", required=True, help="Parquet, long form")
    args = parser.parse_args()

    device, _, labels, heads = selected_heads.begin(args)
    replicates = selected_heads.checked_features(args, heads, len(labels))
    rows = []
    for replicate, features in enumerate(replicates):
        rows += replicate_rows(replicate, features, heads, labels, device)
        command.log(f"replicate {replicate} (seeds {', '.join(map(str, args.replicates[replicate]))}): done")
    write_diagnostics(args.diagnostics, rows)


def replicate_rows(
    replicate: int, features: "Sequence[np.ndarray]", heads: "HeadsFile", labels: "npt.NDArray[np.int64]", device: str
) -> list[dict[str, Any]]:
    """Rows of one replicate. features: of each of its members, [rows, D_m]; labels: int64 [rows]."""
    from dataclasses import asdict

    from workflow_scripts.timecat.measures.cka import linear_cka
    from workflow_scripts.timecat.measures.members import diagnose_head
    from workflow_scripts.timecat.probing.selection import SELECTIONS

    description = heads.replicates[replicate]
    seeds = description["members"]

    def row(
        quantity: str, value: float, selection: str | None = None, member: int | None = None, other: int | None = None
    ) -> dict[str, Any]:
        return {
            "replicate": replicate,
            "members": seeds,
            "selection": selection,
            "quantity": quantity,
            "member": member,
            "seed": None if member is None else seeds[member],
            "other_member": other,
            "other_seed": None if other is None else seeds[other],
            "value": None if math.isnan(value) else float(value),
        }

    rows = []
    for selection in SELECTIONS:
        rows.append(row("accuracy", description["heads"][selection]["top1"], selection))
        found = diagnose_head(heads.head(replicate, selection), features, labels, device)
        for quantity, values in asdict(found).items():
            rows += [row(quantity, value, selection, member) for member, value in enumerate(values)]
    cka = linear_cka(features, device)
    for member in range(len(seeds)):
        rows += [row("cka", cka[member, other], None, member, other) for other in range(member + 1, len(seeds))]
    return rows


def write_diagnostics(path: PathLike, rows: list[dict[str, Any]]) -> None:
    """Write the rows as Parquet. member and other_member count from 0, in the order of members (seeds)."""
    import pyarrow as pa

    integer, text = pa.int64(), pa.string()
    schema = {"replicate": integer, "members": pa.list_(integer), "selection": text, "quantity": text}
    schema |= {"member": integer, "seed": integer, "other_member": integer, "other_seed": integer}
    write_table(path, pa.Table.from_pylist(rows, pa.schema(schema | {"value": pa.float64()})))


if __name__ == "__main__":
    command.run(main)
    # Python's own end takes a second with torch loaded, and everything is written: leave at once.
    os._exit(0)
