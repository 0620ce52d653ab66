"""Estimate from a finished pilot study how many more seeds are needed to resolve each contrast of its tables."""

import csv
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.contrasts import Contrast
from workflow_scripts.timecat.measures.power import MOST, POWER, seeds_needed
from workflow_scripts.timecat.planning.plan import Plan
from workflow_scripts.timecat.planning.text import WIDTH, table
from workflow_scripts.timecat.tables.contrasts import GAIN

SELECTION = "holdout"  # it does not look at the evaluation split


@dataclass(frozen=True)
class PilotContrast:
    """One contrast of a pilot.

    members: number of members of its arm, or None if the study no longer has an arm with this name.
    """

    table: str
    arm: str
    data_set: str
    contrast: Contrast
    members: int | None


def read_pilot(plan: Plan, root: str | Path = ".") -> list[PilotContrast]:
    """Return the contrasts on targets in those of the plan's tables that an earlier run has written."""
    study, found = plan.planned.study, []
    for name in plan.tables:
        path = Path(root) / study.paths.table.at(table=name).contrasts
        if not path.exists():
            continue
        for line in csv.DictReader(path.read_text().splitlines()):
            if (line.get("kind"), line.get("selection")) != (GAIN, SELECTION):
                continue
            if line["data_set"] != study.tables.source(name):
                arm = study.arms.get(line["arm"])
                members = None if arm is None else 1 if arm.one_seed else arm.members
                found.append(PilotContrast(name, line["arm"], line["data_set"], contrast_of(line, path), members))
    return found


def contrast_of(line: Mapping[str, str], path: Path) -> Contrast:
    """Return the contrast in a line of a table of contrasts (long form).

    Raise UserError if the line lacks a column or has a value that is not a number.
    """
    try:
        error, degrees = (float(line[name]) if line[name] else None for name in ("se", "df"))
        numbers = int(line["seeds"]), int(line["replicates"])
        return Contrast(float(line["mean"]), error, degrees, *numbers, line["interval"], line["no_interval_because"])
    except (KeyError, TypeError, ValueError) as problem:
        raise UserError(
            f"{path} is not a table of contrasts ({problem}); delete this file and run the study again"
        ) from None


def pilot_text(pilot: list[PilotContrast]) -> str:
    """Return the text that `make plan` prints about a pilot, or "" if there is none."""
    if not pilot:
        return ""
    rows = [["contrast of the pilot", "data set", "points", "95 % interval", "seeds", "more seeds"]]
    for each in pilot:
        ends = each.contrast.interval
        interval = "-" if ends is None else "{:+.2f} to {:+.2f}".format(*ends)
        cells = [f"{each.contrast.mean:+.2f}", interval, str(each.contrast.seeds), _more(each)]
        rows.append([f"{each.table}: {each.arm}", each.data_set, *cells])
    lines = [
        f"More seeds: the number that is needed so that the interval excludes zero in {POWER:.0%} of studies, if the "
        "true difference and the spread equal the pilot's, which are uncertain themselves. Selection: "
        f"{SELECTION}. To see what they cost, add seeds to `pretrain.seeds` and plan again.",
    ]
    if any(each.contrast.error is None for each in pilot):
        lines.append(
            "An arm has an interval if there are at least members + 1 seeds with `replicates: cyclic` or `all`, or at "
            "least twice as many seeds as members with disjoint replicates."
        )
    if any(each.contrast.method == "t" and each.contrast.seeds > each.contrast.replicates for each in pilot):
        lines.append(
            "Disjoint replicates use each seed once. `replicates: {design: all}` shortens their intervals without "
            "another seed, at the cost of more probes."
        )
    return "\n".join([table(rows, left=2), "", *(textwrap.fill(line, WIDTH) for line in lines)])


def _more(each: PilotContrast) -> str:
    """Return the number of further seeds that a contrast needs, as the text of a table cell."""
    found, ends = each.contrast, each.contrast.interval
    if ends is None:
        return "?" if each.members is None else f"at least {max(each.members + 1 - found.seeds, 1)}"
    if not ends[0] <= 0 <= ends[1]:
        return "resolved"
    needed = seeds_needed(found)
    return f"over {MOST - found.seeds}" if needed is None else str(max(needed - found.seeds, 1))
