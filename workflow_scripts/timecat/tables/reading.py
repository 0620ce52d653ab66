"""Read probes for tables: metrics of every (arm, data set), and the accuracy that a selection reports.

A cell's Parquet has one line per head, epoch and split. The Parquet of a data set for evaluation only has a column
``selection`` and one line per replicate and selection, because its heads were selected on another data set.
"""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Replicate
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS, Selected
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow

    from workflow_scripts.timecat.tables.contrasts import Hits
    from workflow_scripts.timecat.tables.worth import Accuracies

Probes: TypeAlias = "Mapping[tuple[str, str], pyarrow.Table]"  # by (arm, data set)

OPTIONAL = {"relative_gradient": "double", "selection": "string"}  # columns that not all cells have, and their types
COLUMNS = ("replicate", "members", "weight_decay", "fit", "epoch", "split", "top1", "top5", "loss", *OPTIONAL)
SELECTED_BY = ("weight_decay", "fit", "epoch", "split", "top1", "loss")
PREDICTED = ("selection", "row", "label", "predicted")


def read_probe(path: str | PathLike[str], arm: Arm) -> "pyarrow.Table":
    """Return the COLUMNS of one cell. Raise UserError if its replicates have another number of members than the arm."""
    return read_cell(path, arm.members, f"arm {arm.name!r}")


def read_cell(path: str | PathLike[str], members: int, name: str) -> "pyarrow.Table":
    """Return the COLUMNS of one cell. Raise UserError unless its replicates have ``members`` members.

    name: the cell's arm or reference, for messages.
    """
    import pyarrow.compute
    import pyarrow.parquet

    try:
        probe = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error}); delete it and run again") from None
    for column, kind in OPTIONAL.items():
        if column not in probe.column_names:
            probe = probe.append_column(column, pyarrow.nulls(probe.num_rows, kind))
    missing = [column for column in COLUMNS if column not in probe.column_names]
    if missing or probe.num_rows == 0:
        problem = f"has no column {', '.join(missing)}" if missing else "is empty"
        raise UserError(f"{path}: {problem}, so it is not an output of rule probe; delete it and run again")
    types = dict.fromkeys(COLUMNS, pyarrow.float64()) | dict.fromkeys(("fit", "split", "selection"), pyarrow.string())
    types |= dict.fromkeys(("replicate", "epoch"), pyarrow.int64()) | {"members": pyarrow.list_(pyarrow.int64())}
    probe = probe.select(COLUMNS).cast(pyarrow.schema(types))
    for found in pyarrow.compute.list_value_length(probe["members"]).unique().to_pylist():
        if found != members:
            raise UserError(
                f"{path}: a replicate has {found} members, but {name} has {members}; give --probes and --cells in the "
                "same order, and files of the same study"
            )
    return probe


def read_probes(
    paths: Sequence[str | PathLike[str]], cells: Sequence[Cell], arms: Iterable[Arm], data_sets: Iterable[DataSet]
) -> Probes:
    """Return the probe of every pair of an arm and a data set. Raise UserError if a pair is missing or duplicate."""
    if len(paths) != len(cells):
        raise UserError(
            f"--probes names {len(paths)} files and --cells {len(cells)} cells; give one cell per file, in order"
        )
    arm_of = {arm.name: arm for arm in arms}
    names = [data_set.name for data_set in data_sets]
    probes: dict[tuple[str, str], Any] = {}
    for path, cell in zip(paths, cells, strict=True):
        where = cell.arm, cell.data_set
        if cell.arm not in arm_of or cell.data_set not in names:
            raise UserError(f"--cells: {where} does not name one of --arms and one of --data-sets; correct the names")
        if where in probes:
            raise UserError(f"--cells: duplicate cell {where}; remove one")
        probes[where] = read_probe(path, arm_of[cell.arm])
    for arm in arm_of:
        for name in names:
            if (arm, name) not in probes:
                raise UserError(f"--cells: no probe of arm {arm!r} on data set {name!r}; add its cell and its file")
    return probes


def selected_replicates(probe: "pyarrow.Table", selection: str, where: str) -> list[Replicate]:
    """Return the seeds and selected top-1 (percent) of each replicate, in the order of replicates."""
    seeds = dict(zip(probe["replicate"].to_pylist(), probe["members"].to_pylist()))
    values = selected_values(probe, selection, where)
    return [Replicate(tuple(seeds[number]), value) for number, value in zip(sorted(seeds), values, strict=True)]


def selected_accuracies(probes: Probes) -> "Accuracies":
    """Return the replicates of every cell under every selection."""
    return {
        (arm, data_set, selection): selected_replicates(probe, selection, f"arm {arm!r} on data set {data_set!r}")
        for (arm, data_set), probe in probes.items()
        for selection in SELECTIONS
    }


def read_hits(paths: Sequence[str | PathLike[str]], cells: Sequence[Cell], accuracies: "Accuracies") -> "Hits":
    """Return whether each replicate's selected head is right on each row, for every cell and selection.

    Raise UserError if the predictions' replicates do not match ``accuracies``, or if arms have different rows.
    """
    if len(paths) != len(cells):
        raise UserError(
            f"--predictions names {len(paths)} files and --cells {len(cells)} cells; give one cell per file, in order"
        )
    found, rows_of = dict[tuple[str, str, str], Any](), dict[str, Any]()
    for path, cell in zip(paths, cells, strict=True):
        columns = read_predictions(path, PREDICTED)
        for selection in SELECTIONS:
            own = columns["selection"] == selection
            number = len(accuracies[cell.arm, cell.data_set, selection])
            rows = _by_replicate(columns["row"][own], number, path)
            if (rows != rows_of.setdefault(cell.data_set, rows[0])).any():
                raise UserError(
                    f"{path}: its rows differ from those of other arms on {cell.data_set!r}; delete it and run again"
                )
            hits = columns["label"][own] == columns["predicted"][own]
            found[cell.arm, cell.data_set, selection] = _by_replicate(hits, number, path)
    return found


def _by_replicate(values: "npt.NDArray[Any]", number: int, path: str | PathLike[str]) -> "npt.NDArray[Any]":
    """Return a file's values, which have one replicate after the other, as an array [replicates, rows]."""
    if values.size == 0 or values.size % number:
        raise UserError(f"{path}: does not have predictions of {number} replicates; delete it and run again")
    return values.reshape(number, -1)


def selected_values(probe: "pyarrow.Table", selection: str, where: str) -> list[float]:
    """Return the top-1 (percent) that a selection reports for each replicate of a probe, in the order of replicates."""
    if "selection" in probe.column_names and probe["selection"].null_count == 0:
        return _reported_values(probe, selection, where)
    return [each.top1 for each in (selected_heads(probe, selection, where) or {}).values()]


def selected_heads(probe: "pyarrow.Table", selection: str, where: str) -> dict[int, Selected] | None:
    """Return the selected head of each replicate, or None for a cell whose heads were selected on another data set."""
    if "selection" in probe.column_names and probe["selection"].null_count == 0:
        return None
    columns = {name: probe[name].to_numpy() for name in ("replicate", *SELECTED_BY)}
    found = {}
    for replicate in sorted(set(columns["replicate"].tolist())):
        own = columns["replicate"] == replicate
        try:
            found[replicate] = SELECTIONS[selection]({name: columns[name][own] for name in SELECTED_BY})
        except UserError as error:
            raise UserError(f"{where}, replicate {replicate}, selection {selection}: {error}") from None
    return found


def _reported_values(probe: "pyarrow.Table", selection: str, where: str) -> list[float]:
    """Return the reported top-1 of each replicate of a cell whose heads were selected on another data set."""
    lines = [line for line in probe.to_pylist() if line["selection"] == selection]
    lines.sort(key=lambda line: line["replicate"])
    if [line["replicate"] for line in lines] != sorted(set(probe["replicate"].to_pylist())):
        raise UserError(
            f"{where}: selection {selection} does not have one line per replicate; delete its file and run again"
        )
    return [line["top1"] for line in lines]


def metrics_table(probes: Probes, arms: Iterable[Arm]) -> "pyarrow.Table":
    """Return all probes in long form, with the columns arm, data_set, members_count and steps put first."""
    import pyarrow

    arm_of = {arm.name: arm for arm in arms}
    parts = []
    for (name, data_set), probe in probes.items():
        arm = arm_of[name]
        added = {
            "arm": pyarrow.repeat(pyarrow.scalar(name, pyarrow.string()), probe.num_rows),
            "data_set": pyarrow.repeat(pyarrow.scalar(data_set, pyarrow.string()), probe.num_rows),
            "members_count": pyarrow.repeat(pyarrow.scalar(arm.members, pyarrow.int64()), probe.num_rows),
            "steps": pyarrow.repeat(pyarrow.scalar(arm.single_steps, pyarrow.int64()), probe.num_rows),
        }
        own = {column: probe[column] for column in COLUMNS}
        parts.append(pyarrow.table(added | own))
    return pyarrow.concat_tables(parts).combine_chunks()
