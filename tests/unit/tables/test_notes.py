"""Notes of tables on the views and draws of the training images that probes read."""

from dataclasses import replace

from tests.support.studies import values_of
from tests.support.tables import arm_of, arms_of, data_sets_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables.accuracies import accuracy_table
from workflow_scripts.timecat.tables.contrasts import NOTHING
from workflow_scripts.timecat.tables.gap import gap_table
from workflow_scripts.timecat.tables.model import DataSet, Row, summarize
from workflow_scripts.timecat.tables.notes import draws_notes, views_note
from workflow_scripts.timecat.tables.spurious import spurious_table
from workflow_scripts.timecat.tables.width import width_table
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


def column(title: str, views) -> DataSet:
    return DataSet(title, title, False, views)


def test_data_sets_with_the_same_number_of_views_are_listed_together():
    columns = [
        column("a", 4),
        column("b", 28),
        column("c", 4),
        column("d", "center"),
        column("e", 4),
        column("f", None),
    ]
    assert views_note(columns) == (
        " Views of the training images that probes read: 4 for a, c and e, 28 for b, the evaluation crop alone for d."
    )


def test_without_known_numbers_of_views_there_is_no_note():
    assert views_note(data_sets_of([{"name": "a", "title": "a", "in_distribution": True}])) == ""
    assert views_note([column("v2", None)]) == ""


def test_the_note_on_views_needs_an_arm_that_is_probed():
    arms = arms_of([{"name": name, "members": 1, "steps": 2, "transfer": name} for name in ("finetune", "direct")])
    assert views_note([column("c", 28)], arms) == ""
    assert (
        views_note([column("c", 28)], [*arms, arm_of(name="d", members=1, steps=2)])
        == " Views of the training images that probes read: 28 for c."
    )


def study(name: str) -> Study:
    return Study(read_config(values_of(f"config/{name}"), []))


def test_the_papers_study_notes_its_numbers_of_views():
    columns = json_of(list[DataSet])(study("paper.yaml").table_params.columns(TableKey("table2")))
    assert views_note(columns) == (
        " Views of the training images that probes read: 4 for ImageNet-1k and iNat18, 28 for CIFAR-100 and CIFAR-10."
    )


def test_a_data_set_for_evaluation_only_has_no_number_of_views():
    values = values_of("config/paper.yaml")
    values["data_sets"]["v2"] = {"kind": "evaluation_folder", "root": "data/v2", "probe_of": "imagenet"}
    values["data_sets"]["cifar10"]["views"] = ["center"]
    values["targets"] += ["v2"]
    columns = json_of(list[DataSet])(Study(read_config(values, [])).table_params.columns(TableKey("table2")))
    assert [each.views for each in columns] == [4, 4, 28, "center", None]


def test_markdown_and_latex_have_the_note_on_views():
    columns = [column("50% of a_b", 3)]
    summaries = {(each.name, selection): summarize([50.0]) for each in columns for selection in SELECTIONS}
    table = accuracy_table([Row(arm_of(name="cat1", members=1, steps=2), 1, summaries)], columns)
    markdown, tex = markdown_text(table), tex_text(table)
    assert "for each replicate. Views of the training images that probes read: 3 for 50% of a\\_b.\n" in markdown
    assert r" Views of the training images that probes read: 3 for 50\% of a\_b.}" in tex


def test_every_kind_of_table_notes_several_draws():
    few, other = (DataSet(name, name.title(), False, draws=draws) for name, draws in (("few", 5), ("other", 1)))
    names = ("few", "few.average", "few.worst_group")
    summaries = {(name, selection): summarize([50.0]) for name in names for selection in SELECTIONS}
    row = Row(arm_of(name="a", members=1, steps=2), 1, summaries)
    tables = [
        lambda columns: accuracy_table([row], columns),
        lambda columns: gap_table([row], columns, "Accuracy", NOTHING),
        lambda columns: spurious_table([row], columns, NOTHING),
        lambda columns: width_table([], columns, NOTHING, "study"),
    ]
    for table in tables:
        (said,) = [text for (text, *_) in table([few]).column_notes if "draw" in text]
        assert said.startswith(
            "Replicates train on different draws of the training rows (Few: 5 draws). Replicate r of every arm"
        )
        assert not any("draw" in text for (text, *_) in table([replace(few, draws=1)]).column_notes)
    assert draws_notes([other]) == () and len(draws_notes([few, other])) == 1
