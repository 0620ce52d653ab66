"""Diagnose the selected heads of one probe, member by member (stage `diagnose`)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.probing import selected_heads
from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.runtime import command

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from workflow_scripts.timecat.probing.saved_heads import HeadsFile


@dataclass(frozen=True)
class Options(selected_heads.Options):
    """Options of the command line of the stage `diagnose`, by name."""

    diagnostics: str


def run(options: Options) -> None:
    """Lease a device, diagnose all replicates, and write the diagnostics."""
    device, _, labels, heads = selected_heads.begin(options)
    replicates = selected_heads.checked_features(options, heads, len(labels))
    rows = []
    for replicate, features in enumerate(replicates):
        rows += replicate_rows(replicate, features, heads, labels, device)
        command.log(f"replicate {replicate} (seeds {', '.join(map(str, options.replicates[replicate]))}): done")
    write_diagnostics(options.diagnostics, rows)


def replicate_rows(
    replicate: int, features: "Sequence[np.ndarray]", heads: "HeadsFile", labels: "npt.NDArray[np.int64]", device: str
) -> list[dict[str, Any]]:
    """Return the rows of diagnostics of one replicate.

    features: features of each member, [rows, D_m]. labels: int64 [rows].
    """
    from dataclasses import asdict

    from workflow_scripts.timecat.measures.cka import linear_cka
    from workflow_scripts.timecat.measures.members import diagnose_head
    from workflow_scripts.timecat.probing.selection import SELECTIONS

    description, projection = heads.replicates[replicate], heads.projection(replicate)
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
        head = heads.head(replicate, selection).before(projection)
        found = diagnose_head(head, features, labels, device)
        for quantity, values in asdict(found).items():
            rows += [row(quantity, value, selection, member) for member, value in enumerate(values)]
    cka = linear_cka(features, device)
    for member in range(len(seeds)):
        rows += [row("cka", cka[member, other], None, member, other) for other in range(member + 1, len(seeds))]
    return rows


def write_diagnostics(path: PathLike, rows: list[dict[str, Any]]) -> None:
    """Write rows of diagnostics as Parquet.

    The columns member and other_member count from 0, in the order of ``members``.
    """
    import pyarrow as pa

    integer, text = pa.int64(), pa.string()
    schema = {"replicate": integer, "members": pa.list_(integer), "selection": text, "quantity": text}
    schema |= {"member": integer, "seed": integer, "other_member": integer, "other_seed": integer}
    write_table(path, pa.Table.from_pylist(rows, pa.schema(schema | {"value": pa.float64()})))
