"""Tests of benchmarks.arms and of its page, docs/results/all_tables.md, which contains the numbers of other pages."""

import re

from benchmarks import arms
from tests.support.studies import ROOT, StudyFolder

TOLD = ("seeds_or_width.md", "other_arguments.md")
PAIR = re.compile(r"(\d+\.\d+)\*{0,2} ± (\d+\.\d+)")  # in bold or not


def test_a_csv_becomes_a_table(tmp_path):
    (tmp_path / "x.csv").write_text("method,n,ece,ece_std,mce\na,3,1.234,0.567,\nb,1,2,,5\n")
    assert arms.table(tmp_path / "x.csv", ["method"], ["ece", "mce"]).splitlines() == [
        "| method | ece | mce |",
        "| --- | ---: | ---: |",
        "| a | 1.23 ± 0.57 |  |",
        "| b | 2.00 | 5.00 |",
    ]


def test_jobs_are_counted_by_rule(tmp_path):
    for path, seconds in (("probe/a/b", 2.5), ("probe/c", 1.0), ("pretrain/d", 4.0)):
        file = tmp_path / f"results/benchmarks/{path}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    assert arms.jobs_by_rule(StudyFolder(tmp_path)) == ({"probe": 2, "pretrain": 1}, 7.5)


def test_the_page_has_every_table_and_figure():
    text = arms.PAGE.read_text()
    for name in arms.FIGURES:
        assert f"](../figures/{name}.svg)" in text and (ROOT / f"docs/figures/{name}.svg").exists(), name


def test_the_study_takes_at_most_thirty_minutes():
    """The limit is for two cores. It is checked if the page describes a single run in an empty folder."""
    text = arms.PAGE.read_text()
    measured = re.findall(r"\*\*([\d.]+) minutes\*\*", text)
    assert all(float(minutes) <= 30 for minutes in measured)
    assert measured or "was not measured" in text


def test_numbers_on_the_pages_of_results_are_in_the_tables():
    told = "".join((arms.PAGE.parent / page).read_text() for page in TOLD)
    known = [(float(mean), float(std)) for mean, std in PAIR.findall(arms.PAGE.read_text())]
    pairs = PAIR.findall(told)
    assert len(pairs) > 40
    for pair in pairs:
        near = [0.5 * 10 ** -len(number.partition(".")[2]) + 1e-9 for number in pair]
        mean, std = map(float, pair)
        assert any(abs(mean - m) <= near[0] and abs(std - s) <= near[1] for m, s in known), " ± ".join(pair)
