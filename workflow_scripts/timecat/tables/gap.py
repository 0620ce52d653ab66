"""Direct or transferred? How far each transferred arm stays behind direct training, component by component.

Section 2 of the paper (Yang, Zhang, Bottou 2025) compares a network pretrained on a mixture, and transferred to one of its
components, with the same network trained on that component alone. The gap is the metric of direct training minus that of
the arm: positive where something was lost in pretraining.
"""

import csv
import io
import math
from dataclasses import dataclass

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.metrics import METRICS
from workflow_scripts.timecat.probing.readers import read_predictions
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables.accuracies import Summary, summarize
from workflow_scripts.timecat.tables.arms import budget_cells, mode, notes, published_of, steps_cell, total_steps

MEAN = "mean"  # what the mean over components is called where they have names
DIRECT = "direct"
LEVEL = 0.95  # of intervals
SELECTION = "holdout"  # which readers and the figure are shown: it does not look at the evaluation split
COLUMNS = ("selection", "replicate", "label", "predicted")


@dataclass(frozen=True)
class Gap:
    """Direct minus transferred, in percent, and its interval (None where an arm has one replicate)."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class GapRow:
    """An arm on a component (or MEAN): Summary and Gap by selection; no gap of a direct arm itself.

    reference: the name of the direct arm that it is compared with; "" of a direct arm.
    """

    arm: dict
    component: str
    summaries: dict[str, Summary]
    gaps: dict[str, Gap]
    reference: str = ""


def read_values(path, metric: str) -> dict[str, list[float]]:
    """The metric of one arm's predictions on one component: selection -> replicate by replicate, in percent."""
    columns = read_predictions(path, COLUMNS)
    values = {}
    for selection in SELECTIONS:
        chosen = columns["selection"] == selection
        if not chosen.any():
            raise UserError(f"{path}: has no row of selection {selection}; delete it and run again")
        replicates = np.unique(columns["replicate"][chosen])
        own = [chosen & (columns["replicate"] == replicate) for replicate in replicates]
        values[selection] = [METRICS[metric](columns["label"][rows], columns["predicted"][rows]) for rows in own]
    return values


def welch(direct: list[float], transferred: list[float]) -> Gap:
    """Mean difference, and Welch's interval for it, for replicates of two arms that are independent of one another.

    (Where arms share seeds, a direct network starts from the weights that the pretrained one started from, and nothing else
    is common; that is neglected.) Source: Welch 1947, with Satterthwaite's degrees of freedom.
    """
    both = summarize(direct), summarize(transferred)
    difference = both[0].mean - both[1].mean
    if any(one.std is None for one in both):
        return Gap(difference, None, None)
    shares = [one.std**2 / one.n for one in both]
    error = math.sqrt(sum(shares))
    if error == 0:
        return Gap(difference, difference, difference)
    from scipy.stats import t

    freedom = sum(shares) ** 2 / sum(share**2 / (one.n - 1) for share, one in zip(shares, both))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Gap(difference, difference - half, difference + half)


def reference_of(arm: dict, arms: list[dict]) -> dict:
    """The direct arm that an arm is compared with: of as many members where there is one, else the first."""
    direct = [other for other in arms if mode(other) == DIRECT]
    if not direct:
        raise UserError("a table of gaps needs an arm with `transfer: direct`; add one to its block of the config")
    return next((other for other in direct if other["members"] == arm["members"]), direct[0])


def gap_rows(values: dict, arms: list[dict], components: list[str]) -> list[GapRow]:
    """The lines of the table: arm after arm, each on all components and then on their MEAN.

    values: (arm's name, component) -> selection -> replicate by replicate. The mean over components is taken replicate by
    replicate, since one replicate is of the same checkpoints on all of them.
    """
    values = dict(values)
    for arm in arms:
        own = [values[arm["name"], component] for component in components]
        counts = {len(of[selection]) for of in own for selection in SELECTIONS}
        if len(counts) > 1:
            raise UserError(f"arm {arm['name']!r} has {sorted(counts)} replicates on different components; run it anew")
        values[arm["name"], MEAN] = {
            selection: np.mean([of[selection] for of in own], axis=0).tolist() for selection in SELECTIONS
        }
    rows = []
    for arm in arms:
        reference = reference_of(arm, arms)
        for component in (*components, MEAN):
            own, direct = (values[name, component] for name in (arm["name"], reference["name"]))
            gaps = {} if mode(arm) == DIRECT else {name: welch(direct[name], own[name]) for name in SELECTIONS}
            compared = reference["name"] if gaps else ""
            rows.append(GapRow(arm, component, {name: summarize(own[name]) for name in SELECTIONS}, gaps, compared))
    return rows


def csv_text(rows: list[GapRow], metric: str) -> str:
    """A line for each arm, component and selection; what there is none of is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    fixed = ["method", "transfer", "members", "steps_per_member", "total_steps", "component", "selection", "replicates"]
    writer.writerow(
        [*fixed, metric, f"{metric}_std", "gap", "gap_low", "gap_high", "compared_with", f"{metric}_published"]
    )
    for row in rows:
        arm = row.arm
        budget = [arm["members"], steps_cell(arm) or "", total_steps(arm) or ""]
        for selection, summary in row.summaries.items():
            gap = row.gaps.get(selection, Gap(math.nan, None, None))
            numbers = [_number(value) for value in (summary.mean, summary.std, gap.mean, gap.low, gap.high)]
            where = [row.component, selection, summary.n]
            published = published_of(arm, row.component)
            writer.writerow([arm["name"], mode(arm), *budget, *where, *numbers, row.reference, published])
    return file.getvalue()


def markdown_text(rows: list[GapRow], data_sets: list[dict], metric_title: str) -> str:
    """Selection `holdout`: a line for each arm, a column for each component; below, what is what."""
    titles = {each["name"]: each["title"] for each in data_sets} | {MEAN: "mean"}
    head = ["method", "members × steps", "n", *titles.values(), "gap (95 %)"]
    lines = [f"| {' | '.join(head)} |", f"|---|---|---:|{'---:|' * (len(titles) + 1)}"]
    by_arm = {}
    for row in rows:
        by_arm.setdefault(row.arm["name"], {})[row.component] = row
    for name, of in by_arm.items():
        cells = [_cell(of[component], published_of(of[component].arm, component)) for component in titles]
        arm, mean = of[MEAN].arm, of[MEAN]
        gap = _gap_cell(mean.gaps.get(SELECTION))
        lines.append(
            f"| {name} | {budget_cells(arm)[0]} | {mean.summaries[SELECTION].n} | {' | '.join(cells)} | {gap} |"
        )
    shown = [of[MEAN] for of in by_arm.values()]
    references = ", ".join(f"`{name}`" for name in dict.fromkeys(row.reference for row in shown if row.reference))
    said = [
        f"{metric_title}, mean ± standard deviation over n replicates, selection `{SELECTION}`; published figures in "
        "parentheses.",
        f"Gap: direct ({references}) minus transferred, mean over components, with Welch's 95 % interval.",
        *notes(shown, lambda text: f"`{text}`"),
    ]
    return "\n".join([*lines, "", *said]) + "\n"


def _cell(row: GapRow, published: str) -> str:
    summary = row.summaries[SELECTION]
    text = f"{summary.mean:.2f}" + (f" ± {summary.std:.2f}" if summary.std is not None else "")
    return f"{text} ({published})" if published else text


def _gap_cell(gap: Gap | None) -> str:
    if gap is None:
        return ""
    return f"{gap.mean:+.2f}" + (f" ({gap.low:+.2f} to {gap.high:+.2f})" if gap.low is not None else "")


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"
