"""Summarise the diagnostics of all arms over replicates, for results/diagnostics.csv and its figure.

A replicate's value of a quantity is the mean over its members (or pairs of members), because their order has no
meaning. Mean and standard deviation are over replicates. The smallest and the largest value are over single members
or pairs.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.tables.columns import BUDGET, DATA_SET, METHOD, REPLICATES, SELECTED_BY
from workflow_scripts.timecat.tables.model import Arm, Cell, Summary, summarize
from workflow_scripts.timecat.tables.table import Column, Numbers, Table, Text, table_of

# print format of each quantity's values
FORMATS = {
    "accuracy": ".2f",
    "block_accuracy": ".2f",
    "leave_one_out_accuracy": ".2f",
    "weight": ".4g",
    "folded_weight": ".4g",
    "cka": ".4f",
}


@dataclass(frozen=True)
class Quantity:
    """One quantity of a cell under one selection (None for no selection), with the values of members by replicate."""

    selection: str | None
    name: str
    values: dict[int, list[float]]

    @property
    def all(self) -> list[float]:
        """Values of all members, replicate after replicate."""
        return [value for own in self.values.values() for value in own]

    @property
    def summary(self) -> Summary:
        """Summary over replicates of the mean over members."""
        return summarize([math.fsum(own) / len(own) for own in self.values.values()])


Quantities = dict[tuple[str | None, str], Quantity]  # by (selection, name of the quantity)


def read_cell(path: str | PathLike[str]) -> Quantities:
    """Return the quantities of one (arm, data set), in the order of the file."""
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path, columns=["replicate", "selection", "quantity", "value"]).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as diagnostics ({error}); delete it and run again") from None
    found: Quantities = {}
    for row in rows:
        if row["value"] is not None:
            key = row["selection"], row["quantity"]
            quantity = found.setdefault(key, Quantity(*key, {}))
            quantity.values.setdefault(row["replicate"], []).append(row["value"])
    return found


@dataclass(frozen=True)
class _Record:
    """One quantity of an arm on a data set, a line of the CSV."""

    arm: Arm
    data_set: str
    quantity: Quantity

    @property
    def selection(self) -> str:
        return self.quantity.selection or ""

    @property
    def replicates(self) -> int:
        return self.quantity.summary.n

    @property
    def numbers(self) -> Numbers:
        """Mean and standard deviation over replicates, and the smallest and largest value of all members."""
        summary, values = self.quantity.summary, self.quantity.all
        return Numbers((summary.mean, summary.std, min(values), max(values)), FORMATS[self.quantity.name])


def diagnostics_records(arms: Iterable[Arm], found: Mapping[Cell, Quantities]) -> Table:
    """Return the table of diagnostics.csv, a line per arm, data set, selection and quantity.

    found: the quantities that read_cell returned for each cell.
    """
    arm_of = {arm.name: arm for arm in arms}
    columns: list[Column[_Record]] = [
        *(METHOD, BUDGET, DATA_SET, SELECTED_BY),
        Column("", ("quantity",), lambda record: Text(record.quantity.name)),
        REPLICATES,
        Column("", ("mean", "std", "least", "most"), lambda record: record.numbers),
    ]
    records = [
        _Record(arm_of[cell.arm], cell.data_set, quantity)
        for cell, quantities in found.items()
        for quantity in quantities.values()
    ]
    return table_of(columns, records)
