"""Cells of data sets for evaluation only: their heads were selected on another data set, which a column `selection` says.

There is one line per replicate and selection, and nothing to select.
"""

from workflow_scripts.timecat.errors import UserError


def with_selection(probe):
    """The pyarrow table of a cell with a column selection: as it stands there, else null, the selection being to be made."""
    import pyarrow

    if "selection" in probe.column_names:
        return probe
    return probe.append_column("selection", pyarrow.nulls(probe.num_rows, pyarrow.string()))


def is_selected(probe) -> bool:
    """Whether the heads of a cell were selected on another data set."""
    return "selection" in probe.column_names and probe["selection"].null_count == 0


def selected_values(probe, selection: str, where: str) -> list[float]:
    """The top-1 (percent) of each replicate under a selection, in the order of replicates."""
    lines = [line for line in probe.to_pylist() if line["selection"] == selection]
    lines.sort(key=lambda line: line["replicate"])
    if [line["replicate"] for line in lines] != sorted(set(probe["replicate"].to_pylist())):
        raise UserError(
            f"{where}: selection {selection} has not one line for each replicate; delete its file, run again"
        )
    return [line["top1"] for line in lines]


def notes(data_sets) -> list[str]:
    """What a reader of the table must know of such data sets; empty where there is none."""
    of = [f"{data_set['title']}: {data_set['probe_of']}" for data_set in data_sets if "probe_of" in data_set]
    if not of:
        return []
    return [
        "Read with the heads that were selected on another data set, predictions masked to the classes that occur "
        f"({'; '.join(of)})."
    ]
