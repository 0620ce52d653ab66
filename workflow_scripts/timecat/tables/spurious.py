"""Spurious features: average and worst group's accuracy of every arm, on data sets with groups, over replicates.

A group is a label and a value of each group column of the evaluation index. The average is over all evaluation rows.
"""

import csv
import io
import math

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.groups import group_accuracies
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import Row, Summary, summarize
from workflow_scripts.timecat.tables.arms import budget_cells, mode, notes, published_of, steps_cell, total_steps
from workflow_scripts.timecat.tables.gap import SELECTION

AVERAGE, WORST = "average", "worst_group"
QUANTITIES = (AVERAGE, WORST)
COLUMNS = ("selection", "replicate", "row", "label", "predicted")


def measure(path, rows: np.ndarray, groups: np.ndarray) -> dict[tuple[str, str], list[float]]:
    """(quantity, selection) -> percent, replicate by replicate, of one arm's predictions on one data set.

    rows, groups: row number and group of each evaluation row, in the index's order.
    """
    columns = read_predictions(path, COLUMNS)
    found = {(quantity, selection): [] for quantity in QUANTITIES for selection in SELECTIONS}
    for selection in SELECTIONS:
        for replicate in np.unique(columns["replicate"]):
            chosen = (columns["selection"] == selection) & (columns["replicate"] == replicate)
            if not np.array_equal(columns["row"][chosen], rows):
                raise UserError(
                    f"{path}: rows of replicate {replicate}, selection {selection}, are not the data set's; delete it and "
                    "run again"
                )
            hits = columns["label"][chosen] == columns["predicted"][chosen]
            found[AVERAGE, selection].append(100.0 * float(hits.mean()))
            found[WORST, selection].append(float(group_accuracies(hits, groups).min()))
    return found


def spurious_rows(measured: dict, arms: list[dict], data_sets: list[dict]) -> list[Row]:
    """A accuracies.Row for each arm, its summaries by (data set's name, quantity, selection).

    measured: (arm's name, data set's name) -> what `measure` gives.
    """
    rows = []
    for arm in arms:
        row = Row(arm)
        for data_set in data_sets:
            for key, values in measured[arm["name"], data_set["name"]].items():
                row.summaries[data_set["name"], *key] = summarize(values)
                row.replicates = len(values)
        rows.append(row)
    return rows


def csv_text(rows: list[Row], data_sets: list[dict]) -> str:
    """A line for each arm, data set and selection."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    fixed = ["method", "transfer", "members", "steps_per_member", "total_steps", "data_set", "selection", "replicates"]
    numbers = [name for quantity in QUANTITIES for name in (quantity, f"{quantity}_std")]
    writer.writerow([*fixed, *numbers, f"{WORST}_published"])
    for row in rows:
        arm = row.arm
        for data_set in data_sets:
            for selection in SELECTIONS:
                own = [row.summaries[data_set["name"], quantity, selection] for quantity in QUANTITIES]
                budget = [arm["members"], steps_cell(arm) or "", total_steps(arm) or ""]
                values = [_number(value) for summary in own for value in (summary.mean, summary.std)]
                where = [data_set["name"], selection, row.replicates]
                published = published_of(arm, data_set["name"])
                writer.writerow([arm["name"], mode(arm), *budget, *where, *values, published])
    return file.getvalue()


def markdown_text(rows: list[Row], data_sets: list[dict]) -> str:
    """Selection `holdout`: a line for each arm; of each data set the average and the worst group."""
    titles = [f"{data_set['title']}: {name}" for data_set in data_sets for name in ("average", "worst group")]
    lines = [
        f"| method | members × steps | n | {' | '.join(titles)} |",
        f"|---|---|---:|{'---:|' * len(titles)}",
    ]
    for row in rows:
        cells = []
        for data_set in data_sets:
            average, worst = (row.summaries[data_set["name"], quantity, SELECTION] for quantity in QUANTITIES)
            published = published_of(row.arm, data_set["name"])
            cells += [_cell(average), _cell(worst) + (f" ({published})" if published else "")]
        lines.append(f"| {row.arm['name']} | {budget_cells(row.arm)[0]} | {row.replicates} | {' | '.join(cells)} |")
    said = [
        f"Accuracy in percent, mean ± standard deviation over n replicates, selection `{SELECTION}`; published figures, of "
        "worst groups, in parentheses.",
        *notes(rows, lambda text: f"`{text}`"),
    ]
    return "\n".join([*lines, "", *said]) + "\n"


def _cell(summary: Summary) -> str:
    return f"{summary.mean:.2f}" + (f" ± {summary.std:.2f}" if summary.std is not None else "")


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"
