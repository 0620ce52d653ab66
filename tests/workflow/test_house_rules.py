"""What keeps the code readable: short files, and nothing of some length that stands twice in the rules."""

import collections

from tests.support.studies import ROOT

RUN = 6  # lines that say something: no blank ones, no bare directives, no brackets alone
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
MODULES = [ROOT / "workflow_scripts", ROOT / "containers", ROOT / "benchmarks"]


def said(text: str) -> list[str]:
    """The lines of a rules file that say something."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.strip("()[]{},\"'") and not (line.endswith(":") and " " not in line)]


def test_no_run_of_six_lines_stands_twice_in_the_rules():
    places = collections.defaultdict(list)
    for path in RULES:
        lines = said(path.read_text())
        for start in range(len(lines) - RUN + 1):
            places[tuple(lines[start : start + RUN])].append(path.name)
    assert {lines: names for lines, names in places.items() if len(names) > 1} == {}


def test_no_rules_file_and_no_module_is_long():
    modules = [path for folder in MODULES for path in folder.rglob("*.py")]
    lengths = {path: len(path.read_text().splitlines()) for path in [*RULES, *modules]}
    assert {path.name: lengths[path] for path in RULES if lengths[path] > 150} == {}
    assert {path.name: lengths[path] for path in modules if lengths[path] > 300} == {}
