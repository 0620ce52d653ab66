"""The diagnostics of all arms, summarised over replicates: what results/diagnostics.csv holds and its figure draws.

A replicate's figure of a quantity is the mean over its members (or over its pairs of members), because their order has no
meaning; the summary is of one such figure per replicate. The least and the most are of single members and pairs.
"""

import csv
import io
import math
from dataclasses import dataclass

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.tables.accuracies import Summary, summarize
from workflow_scripts.timecat.tables.arms import steps_cell

# quantity -> how its values are printed
FORMATS = {
    "accuracy": ".2f",
    "block_accuracy": ".2f",
    "leave_one_out_accuracy": ".2f",
    "weight": ".4g",
    "folded_weight": ".4g",
    "cka": ".4f",
}
HEADER = (
    "method",
    "members",
    "steps_per_member",
    "data_set",
    "selection",
    "quantity",
    "replicates",
    "mean",
    "std",
    "least",
    "most",
)


@dataclass(frozen=True)
class Quantity:
    """One quantity of a cell under one selection (None: of no selection): replicate -> its values, member by member."""

    selection: str | None
    name: str
    values: dict[int, list[float]]

    @property
    def all(self) -> list[float]:
        """Every member's value, replicate after replicate."""
        return [value for own in self.values.values() for value in own]

    @property
    def summary(self) -> Summary:
        """Over replicates, of the mean over members."""
        return summarize([math.fsum(own) / len(own) for own in self.values.values()])


def read_cell(path) -> dict[tuple[str | None, str], Quantity]:
    """The quantities of one (arm, data set) by (selection, name), in the order of the file."""
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path, columns=["replicate", "selection", "quantity", "value"]).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as diagnostics ({error}); delete it and run again") from None
    found = {}
    for row in rows:
        if row["value"] is not None:
            key = row["selection"], row["quantity"]
            quantity = found.setdefault(key, Quantity(*key, {}))
            quantity.values.setdefault(row["replicate"], []).append(row["value"])
    return found


def csv_text(cells, arms, found) -> str:
    """diagnostics.csv: a line per arm, data set, selection and quantity; the deviation of one replicate is empty.

    cells: {"arm", "data_set"}, in order. arms: as in the table. found: what read_cell gave of each cell.
    """
    arm_of = {arm["name"]: arm for arm in arms}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for cell, quantities in zip(cells, found, strict=True):
        arm = arm_of[cell["arm"]]
        for quantity in quantities.values():
            summary = quantity.summary
            values = summary.mean, summary.std, min(quantity.all), max(quantity.all)
            printed = ["" if value is None else format(value, FORMATS[quantity.name]) for value in values]
            where = [arm["name"], arm["members"], steps_cell(arm), cell["data_set"], quantity.selection or ""]
            writer.writerow([*where, quantity.name, summary.n, *printed])
    return file.getvalue()
