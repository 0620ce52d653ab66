"""Columns that several tables share: an arm's name, budget, replicates, data set and selection."""

from typing import Protocol

from workflow_scripts.timecat.tables.model import Arm
from workflow_scripts.timecat.tables.table import Budget, Column, Count, Text


class OfArm(Protocol):
    """A measured row that belongs to an arm."""

    @property
    def arm(self) -> Arm: ...


class Replicated(OfArm, Protocol):
    """A measured row that summarises an arm's replicates."""

    @property
    def replicates(self) -> int: ...


class OnDataSet(Protocol):
    """A measured row that belongs to a data set."""

    @property
    def data_set(self) -> str: ...


class Selected(Protocol):
    """A measured row of the heads of one selection ("" where nothing is selected)."""

    @property
    def selection(self) -> str: ...


METHOD: Column[OfArm] = Column("method", ("method",), lambda row: Text(row.arm.name), align="left")
TRANSFER: Column[OfArm] = Column("transfer", ("transfer",), lambda row: Text(row.arm.transfer), align="left")
BUDGET: Column[OfArm] = Column("members × steps", ("members", "steps_per_member"), lambda row: Budget(row.arm))
TOTAL_STEPS: Column[OfArm] = Column("total steps", ("total_steps",), lambda row: Count(row.arm.total_steps))
DATA_SET: Column[OnDataSet] = Column("data set", ("data_set",), lambda row: Text(row.data_set), align="left")
SELECTED_BY: Column[Selected] = Column("selection", ("selection",), lambda row: Text(row.selection), align="left")
REPLICATES: Column[Replicated] = Column("n", ("replicates",), lambda row: Count(row.replicates))
