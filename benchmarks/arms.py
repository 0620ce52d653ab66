"""Every table of the embedded study, from nothing: how long it takes, and docs/results/all_tables.md with what it says.

``python -m benchmarks.arms`` runs it and writes the page, its figures, and the README's table 2 and figure; ``--made FOLDER``
takes a folder in which `snakemake --cores 2 -- all_arms` has been run, instead, in so many ``--minutes`` if it was one run.
"""

import argparse
import csv
import shutil
import tempfile
from pathlib import Path

from benchmarks.embedded_study import benchmarks_of, show_table
from benchmarks.timing import machine, seconds_of
from tests.support.studies import ROOT, StudyFolder

PAGE = ROOT / "docs/results/all_tables.md"
# Tables that have a page for readers, and of those that have none the columns that are shown: each name's mean and deviation.
PAGES = {
    "table2": "Table 2: the budget divided",
    "table1": "Table 1: seeds or size",
    "controls": "Controls",
    "width": "Accuracy against dimensions",
    "gap": "Direct or transferred",
    "families": "Other networks",
    "spurious": "Spurious features",
    "genomics": "Sequences",
}
COLUMNS = {
    "grid": ("Members and steps", ["members", "steps_per_member", "replicates"], ["cues", "cue0"]),
    "calibration": (
        "Calibration",
        ["method", "data_set", "selection", "replicates"],
        ["accuracy", "ece", "ece_calibrated", "worst_group_accuracy", "mce_sigma", "mce_p", "mce_sigma_calibrated"],
    ),
    "counterexample": (
        "The counterexample",
        ["network", "weight_decay", "lr"],
        ["keeps_one", "solved", "solved_together", "error"],
    ),
}
ONE_RUN = "one run of `snakemake --cores 2 -- all_arms` in an empty folder"
MADE = "`snakemake --cores 2 -- all_arms`, in several runs beside other work"
FIGURES = [*PAGES, *COLUMNS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--made", type=Path, help="a folder in which all tables are made")
    parser.add_argument("--minutes", type=float, help="what that took, if it was one run on a quiet machine")
    given = parser.parse_args()
    if given.made is None and given.minutes is not None:
        parser.error("--minutes goes with --made")
    if given.made:
        write(StudyFolder(given.made), given.minutes)
        return
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        seconds = seconds_of(lambda: study.snakemake("--", "all_arms", config=None, timeout=3600))
        write(study, seconds / 60)


def write(study: StudyFolder, minutes: float | None) -> None:
    """The page, its figures, and the README's table of a finished study."""
    PAGE.write_text(page(study, minutes))
    for name in FIGURES:
        shutil.copyfile(study.path / f"results/{name}.svg", ROOT / f"docs/figures/{name}.svg")
    show_table(study)


def page(study: StudyFolder, minutes: float | None) -> str:
    """docs/results/all_tables.md."""
    rules, seconds = jobs_by_rule(study)
    counted = ", ".join(f"{number} {rule}" for rule, number in rules.items())
    took = (
        "How long one run takes was not measured:" if minutes is None else f"That run took **{minutes:.1f} minutes**:"
    )
    parts = [
        "# Every table of the embedded study",
        f"Written by `python -m benchmarks.arms` from {MADE if minutes is None else ONE_RUN}, on {machine()} {took} "
        f"{sum(rules.values())} jobs, {seconds:.0f} s of jobs together ({counted}). Means and deviations in the README's "
        "sections on arms are from here, unless it says otherwise; a test looks for each. On a CPU with other "
        "vector instructions the same study has other last bits, and with them other networks.",
    ]
    for name, title in PAGES.items():
        parts += [
            f"## {title}",
            f"![{title}](../figures/{name}.svg)",
            study.read(f"results/{name}.md").decode().strip(),
        ]
    for name, (title, fixed, measured) in COLUMNS.items():
        parts += [
            f"## {title}",
            f"![{title}](../figures/{name}.svg)",
            table(study.path / f"results/{name}.csv", fixed, measured),
        ]
    return "\n\n".join(parts) + "\n"


def jobs_by_rule(study: StudyFolder) -> tuple[dict[str, int], float]:
    """How many jobs each rule had, and the seconds of all together, by Snakemake's benchmark files."""
    rules = sorted(folder.name for folder in (study.path / "results/benchmarks").iterdir())
    measured = {rule: benchmarks_of(study, rule) for rule in rules}
    counts = {rule: len(jobs) for rule, jobs in sorted(measured.items(), key=lambda pair: -len(pair[1]))}
    return counts, sum(float(job["s"]) for jobs in measured.values() for job in jobs)


def table(path: Path, fixed: list[str], measured: list[str]) -> str:
    """A CSV's lines as Markdown: columns as they are, then means with their deviations."""
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    head = [*fixed, *measured]
    rows = [
        [*(line[name] for name in fixed), *(cell(line[name], line.get(f"{name}_std", "")) for name in measured)]
        for line in lines
    ]
    rule = ["---"] * len(fixed) + ["---:"] * len(measured)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def cell(mean: str, deviation: str) -> str:
    """As tables for readers write it; "" where there is none."""
    if not mean:
        return ""
    return f"{float(mean):.2f}" + (f" ± {float(deviation):.2f}" if deviation else "")


if __name__ == "__main__":
    main()
