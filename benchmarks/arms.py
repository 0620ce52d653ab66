"""Run the embedded study in an empty folder and write its tables and run time to docs/results/all_tables.md.

``python -m benchmarks.arms`` runs the study and writes the page, its figures, and table 2 on the study's page. With
``--made FOLDER`` it uses the results of a finished `snakemake --cores 2 -- all_arms` in a folder; ``--minutes`` is the
duration of that command, if the study was finished in one run.
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
# Tables with a Markdown version. For tables without one, COLUMNS lists the columns that the page shows, with means and
# deviations.
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
    """Read the command line, run the study if necessary and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--made", type=Path, help="folder of a study whose tables all exist")
    parser.add_argument("--minutes", type=float, help="duration of that run, if it was one run on an idle machine")
    given = parser.parse_args()
    if given.made is None and given.minutes is not None:
        parser.error("--minutes needs --made")
    if given.made:
        write(StudyFolder(given.made), given.minutes)
        return
    with tempfile.TemporaryDirectory() as folder:
        study = StudyFolder.fresh(Path(folder) / "study")
        seconds = seconds_of(lambda: study.snakemake("--", "all_arms", config=None, timeout=3600))
        write(study, seconds / 60)


def write(study: StudyFolder, minutes: float | None) -> None:
    """Write the page, its figures, and table 2 on the study's page, from a finished study."""
    PAGE.write_text(page(study, minutes))
    for name in FIGURES:
        shutil.copyfile(study.path / f"results/{name}.svg", ROOT / f"docs/figures/{name}.svg")
    show_table(study)


def page(study: StudyFolder, minutes: float | None) -> str:
    """Return the text of docs/results/all_tables.md."""
    rules, seconds = jobs_by_rule(study)
    counted = ", ".join(f"{number} {rule}" for rule, number in rules.items())
    took = "The time of one run was not measured:" if minutes is None else f"That run took **{minutes:.1f} minutes**:"
    parts = [
        "# Every table of the embedded study",
        f"Written by `python -m benchmarks.arms` from {MADE if minutes is None else ONE_RUN}, on {machine()} {took} "
        f"{sum(rules.values())} jobs, whose times add up to {seconds:.0f} s ({counted}). Means and deviations on the "
        "other pages of results are from this page, unless they name another source; a test looks for each of them. "
        "On a CPU with other vector instructions, the last bits of the study differ, and so do its networks.",
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
    """Return the number of jobs of each rule and the seconds of all jobs together, from Snakemake's benchmark files."""
    rules = sorted(folder.name for folder in (study.path / "results/benchmarks").iterdir())
    measured = {rule: benchmarks_of(study, rule) for rule in rules}
    counts = {rule: len(jobs) for rule, jobs in sorted(measured.items(), key=lambda pair: -len(pair[1]))}
    return counts, sum(float(job["s"]) for jobs in measured.values() for job in jobs)


def table(path: Path, fixed: list[str], measured: list[str]) -> str:
    """Return a CSV file as a Markdown table.

    fixed: columns that are copied. measured: columns that are shown as means with their deviations.
    """
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
    """Return a mean and its deviation as the Markdown tables write them, or "" if there is no mean."""
    if not mean:
        return ""
    return f"{float(mean):.2f}" + (f" ± {float(deviation):.2f}" if deviation else "")


if __name__ == "__main__":
    main()
