"""The study's table: what is read from the probes, summarised over replicates, and written as CSV, Markdown and LaTeX.

Accuracies are top-1 in percent. A cell is an (arm, data set); its Parquet has one line per head, epoch and split. Which
figure of a replicate counts is decided by `selection`, not here.
"""

import csv
import io
import math
from dataclasses import dataclass, field

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables import evaluations
from workflow_scripts.timecat.tables.arms import (
    csv_cells,
    csv_header,
    fixed_cells,
    fixed_titles,
    notes,
    published_of,
    single_steps,
)
from workflow_scripts.timecat.tables.notes import views_note

# What each of selection.SELECTIONS means, for the reader of a table.
MEANINGS = {
    "paper": "the best evaluation accuracy over all epochs and weight decays, heads trained on all training rows; "
    "what the original code reports (it looks at the evaluation split)",
    "holdout": "the weight decay with the best last-epoch accuracy on training rows that were held out, then the "
    "last-epoch evaluation accuracy of the head trained on all training rows with it",
}
COLUMNS = ("replicate", "members", "weight_decay", "fit", "epoch", "split", "top1", "top5", "loss", "selection")
SELECTED_BY = ("weight_decay", "fit", "epoch", "split", "top1", "loss")


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1; None where n is 1) of n replicates, in percent."""

    mean: float
    std: float | None
    n: int


@dataclass
class Row:
    """A line of the table: an arm (name, members, steps, transfer) and a Summary for each (data set's name, selection)."""

    arm: dict
    replicates: int = 0
    summaries: dict[tuple[str, str], Summary] = field(default_factory=dict)


def summarize(values) -> Summary:
    """Summary of one value per replicate."""
    n = len(values)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Summary(mean, std, n)


def read_probe(path, arm: dict):
    """The pyarrow table of one cell, with COLUMNS, after a check that it is of an arm with that many members."""
    import pyarrow.compute
    import pyarrow.parquet

    try:
        probe = evaluations.with_selection(pyarrow.parquet.read_table(path))
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise UserError(f"{path}: cannot be read as Parquet ({error}); delete it and run again") from None
    missing = [column for column in COLUMNS if column not in probe.column_names]
    if missing or probe.num_rows == 0:
        problem = f"has no column {', '.join(missing)}" if missing else "is empty"
        raise UserError(f"{path}: {problem}; it is not an output of rule probe, delete it and run again")
    types = dict.fromkeys(COLUMNS, pyarrow.float64()) | dict.fromkeys(("fit", "split", "selection"), pyarrow.string())
    types |= dict.fromkeys(("replicate", "epoch"), pyarrow.int64()) | {"members": pyarrow.list_(pyarrow.int64())}
    probe = probe.select(COLUMNS).cast(pyarrow.schema(types))
    for members in pyarrow.compute.list_value_length(probe["members"]).unique().to_pylist():
        if members != arm["members"]:
            raise UserError(
                f"{path}: a replicate has {members} members, arm {arm['name']!r} has {arm['members']}; "
                "--probes and --cells are not in the same order, or the file is of another study"
            )
    return probe


def read_probes(paths, cells, arms, data_sets) -> dict[tuple[str, str], object]:
    """(arm, data set) -> pyarrow table, for every pair of an arm and a data set exactly once."""
    if len(paths) != len(cells):
        raise UserError(
            f"--probes names {len(paths)} files and --cells {len(cells)} cells; give one cell per file, in order"
        )
    arm_of = {arm["name"]: arm for arm in arms}
    names = [data_set["name"] for data_set in data_sets]
    probes = {}
    for path, cell in zip(paths, cells, strict=True):
        where = cell["arm"], cell["data_set"]
        if cell["arm"] not in arm_of or cell["data_set"] not in names:
            raise UserError(f"--cells: {where} is not a pair of one of --arms and one of --data-sets")
        if where in probes:
            raise UserError(f"--cells: {where} stands there twice")
        probes[where] = read_probe(path, arm_of[cell["arm"]])
    for arm in arm_of:
        for name in names:
            if (arm, name) not in probes:
                raise UserError(f"--cells: there is no probe of arm {arm!r} on data set {name!r}")
    return probes


def selected_values(probe, selection: str, where: str) -> list[float]:
    """The top-1 (percent) that a selection reports for each replicate of a probe, in the order of replicates."""
    if evaluations.is_selected(probe):
        return evaluations.selected_values(probe, selection, where)
    columns = {name: probe[name].to_numpy() for name in ("replicate", *SELECTED_BY)}
    values = []
    for replicate in sorted(set(columns["replicate"].tolist())):
        own = columns["replicate"] == replicate
        try:
            values.append(SELECTIONS[selection]({name: columns[name][own] for name in SELECTED_BY}).top1)
        except UserError as error:
            raise UserError(f"{where}, replicate {replicate}, selection {selection}: {error}") from None
    return values


def table_rows(probes, arms, data_sets) -> list[Row]:
    """The lines of the table, in the order of the arms."""
    rows = []
    for arm in arms:
        row = Row(arm)
        for data_set in data_sets:
            probe = probes[arm["name"], data_set["name"]]
            for selection in SELECTIONS:
                values = selected_values(probe, selection, f"arm {arm['name']!r} on data set {data_set['name']!r}")
                row.summaries[data_set["name"], selection] = summarize(values)
        counts = {summary.n for summary in row.summaries.values()}
        if len(counts) > 1:
            raise UserError(
                f"arm {arm['name']!r} has {sorted(counts)} replicates on different data sets; probe it anew on all"
            )
        row.replicates = counts.pop()
        rows.append(row)
    return rows


def metrics_table(probes, arms):
    """All probes in long form, with columns arm, data_set, members_count and steps before their own (pyarrow table)."""
    import pyarrow

    arm_of = {arm["name"]: arm for arm in arms}
    parts = []
    for (name, data_set), probe in probes.items():
        arm = arm_of[name]
        added = {
            "arm": pyarrow.repeat(pyarrow.scalar(name, pyarrow.string()), probe.num_rows),
            "data_set": pyarrow.repeat(pyarrow.scalar(data_set, pyarrow.string()), probe.num_rows),
            "members_count": pyarrow.repeat(pyarrow.scalar(arm["members"], pyarrow.int64()), probe.num_rows),
            "steps": pyarrow.repeat(pyarrow.scalar(single_steps(arm), pyarrow.int64()), probe.num_rows),
        }
        own = {column: probe[column] for column in COLUMNS}
        parts.append(pyarrow.table(added | own))
    return pyarrow.concat_tables(parts).combine_chunks()


def csv_text(rows, data_sets) -> str:
    """table2.csv: two decimals; empty are the standard deviation of a single replicate and steps that there are none of."""
    names = [data_set["name"] for data_set in data_sets]
    with_published = {name for name in names if any(published_of(row.arm, name) for row in rows)}
    header = csv_header(rows)
    for name in names:
        header += [name, f"{name}_std", f"{name}_holdout", f"{name}_holdout_std"]
        header += [f"{name}_published"] if name in with_published else []
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        line = csv_cells(row, rows)
        for name in names:
            for selection in SELECTIONS:
                summary = row.summaries[name, selection]
                line += [decimals(summary.mean), "" if summary.std is None else decimals(summary.std)]
            line += [published_of(row.arm, name)] if name in with_published else []
        writer.writerow(line)
    return file.getvalue()


def decimals(percent: float) -> str:
    return f"{percent:.2f}"


def columns_of(rows, data_sets) -> list[tuple[dict, bool]]:
    """Data set and whether it is the column of its published figures: each has one, and a second where there are any."""
    pairs = [(data_set, is_published) for data_set in data_sets for is_published in (False, True)]
    return [
        (data_set, is_published)
        for data_set, is_published in pairs
        if not is_published or any(published_of(row.arm, data_set["name"]) for row in rows)
    ]


def data_cells(row: Row, rows, columns, selection: str, bold: str, spread: str) -> list[str]:
    """The cells of a row in columns_of(rows, ...), as a reader sees them. bold, spread: how the best mean of a column and a
    standard deviation look, each around {}."""
    cells = []
    for data_set, is_published in columns:
        if is_published:
            cells.append(published_of(row.arm, data_set["name"]))
            continue
        summary = row.summaries[data_set["name"], selection]
        mean = decimals(summary.mean)
        shown = bold.format(mean) if mean == best(rows, data_set, selection) else mean
        cells.append(shown + ("" if summary.std is None else spread.format(decimals(summary.std))))
    return cells


def best(rows, data_set: dict, selection: str) -> str:
    """The best mean of a column as it is printed, so that all that look the same are bold."""
    return decimals(max(row.summaries[data_set["name"], selection].mean for row in rows))


def escaped(text: str, special: dict[str, str]) -> str:
    return "".join(special.get(letter, letter) for letter in text)


# --- Markdown ----------------------------------------------------------------------------------------------------------

_MARKDOWN = {letter: f"\\{letter}" for letter in "\\|*_`<>[]"}


def markdown_text(rows, data_sets) -> str:
    """table2.md: one GitHub table per selection; the best mean of each column is bold."""
    intro = (
        "Top-1 accuracy in percent, mean ± standard deviation over n replicates (no ± where n is 1). Bold: the best mean "
        f"of a column. Each replicate selects for itself.{escaped(views_note(data_sets, [row.arm for row in rows]), _MARKDOWN)}\n"
    )
    parts = [intro, *(escaped(note, _MARKDOWN) + "\n" for note in evaluations.notes(data_sets))]
    for selection, meaning in MEANINGS.items():
        parts.append(f"**Selection `{selection}`**: {meaning}.\n")
        parts.append(_markdown_table(rows, data_sets, selection))
    parts += [f"- {note}\n" for note in notes(rows, lambda name: f"**{escaped(name, _MARKDOWN)}**")]
    return "\n".join(parts)


def _markdown_table(rows, data_sets, selection: str) -> str:
    columns = columns_of(rows, data_sets)
    titles = fixed_titles(rows, "members × steps")
    lines = [titles, ["---"] + ["---:"] * (len(titles) - 1 + len(columns))]
    for data_set, is_published in columns:
        mark = " (published)" if is_published else " (in distribution)" if data_set["in_distribution"] else ""
        titles.append(escaped(data_set["title"], _MARKDOWN) + mark)
    for row in rows:
        name, *fixed = fixed_cells(row, rows)
        line = [escaped(name, _MARKDOWN), *fixed, *data_cells(row, rows, columns, selection, "**{}**", " ± {}")]
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
