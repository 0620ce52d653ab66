"""The documentation is complete: its site builds without a warning, and its references list what the workflow has."""

import re
import runpy
import subprocess
import sys
from dataclasses import astuple, is_dataclass

import pytest

from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.study.paths import Paths

RESULTS = (ROOT / "docs/reference/results.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \| (\w+) \|$", re.MULTILINE)


def test_the_site_builds_without_a_warning(tmp_path):
    """A page that is in no table of contents, or a link that leads nowhere, is a warning."""
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html"]
    done = subprocess.run([*command, "docs", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site/reference/configuration.html").exists()


def test_the_page_of_stages_is_current():
    """``make docs`` writes it."""
    stages = runpy.run_path(str(ROOT / "docs/stages.py"))
    assert (ROOT / "docs/reference/stages.md").read_text() == stages["page"]()
    rules = {
        rule for path in (ROOT / "rules").glob("*.smk") for rule in re.findall(r"^rule (\w+):", path.read_text(), re.M)
    }
    assert {rule for rule in rules if f"`{rule}`" not in stages["page"]()} == set()


def templates() -> set[str]:
    """Return the templates of all files below results/, without sidecars, logs and forms of tables."""
    paths = Paths("results")
    found = set()
    for name, value in vars(paths).items():
        if name == "table":
            continue
        found |= set(astuple(value)) if is_dataclass(value) else {value}
    folders = {paths.root, paths.data_sets, paths.checkpoints, paths.downloads}
    return {path for path in found - folders if not path.endswith(".json") or path == paths.published_digests}


def test_the_page_of_results_lists_every_file():
    listed = set(re.findall(r"^\| `(results/[^`]*)` \|", RESULTS, re.MULTILINE))
    assert listed == templates()


def test_the_page_of_results_lists_every_table_with_its_forms(tmp_path):
    """Dry runs of all tables of the embedded study say which files each has, and which rule makes them."""
    targets = ["all_arms", "results/diagnostics.csv"]
    study = StudyFolder.fresh(tmp_path / "study")
    said = study.snakemake("-n", "--", *targets, config=None).stdout
    made: dict[str, tuple[set[str], str]] = {}
    for rule, outputs in re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    output: (.*)$", said, re.MULTILINE):
        for path in outputs.split(", "):
            table = re.fullmatch(r"results/([a-z]+\d?)\.((?:contrasts\.)?\w+)", path)
            if table and rule.startswith(("tabulate", "calibration")) and table[1] != "metrics":
                made.setdefault(table[1], (set(), rule))[0].add(table[2])
    listed = {name: (set(forms.split(", ")), rule) for name, forms, rule in ROW.findall(RESULTS)}
    assert len(listed) > 10 and listed == made


@pytest.mark.parametrize("page", ["docs/index.md", "README.md"])
def test_the_first_figure_has_floors_and_contrasts(page):
    """The figure is drawn as paths; matplotlib keeps the texts as comments."""
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (ROOT / page).read_text())
    assert pictures[0].endswith("figures/table2.svg")
    figure = (ROOT / "docs/figures/table2.svg").read_text()
    for text in ("floor (untrained)", "contrasts: 95 % interval", "cat1 (points)"):
        assert f"<!-- {text}" in figure, text
