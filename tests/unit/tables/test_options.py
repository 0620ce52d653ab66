"""JSON options of tables' stages are typed: what a rule passes is parsed, and what is wrong with a value is said."""

import argparse
import json

import pytest

from tests.support.studies import values_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, OtherBackbone, Style
from workflow_scripts.timecat.tables.options import parsed_as, table_parser

ARM = {"name": "cat1", "members": 1, "steps": 8}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (list[Arm], [ARM, ARM | {"membres": 1}], r"\[1\]\.membres: Unexpected keyword argument"),
        (list[Arm], [{"name": "cat1", "steps": None}], r"\[0\]\.members: Field required"),
        (list[Arm], [ARM | {"transfer": "magic"}], r"\[0\]\.transfer: Input should be 'probe', 'finetune', 'direct'"),
        (list[Arm], [ARM | {"backbone": {"name": "b", "recipe": {}}}], r"\[0\]\.backbone\.changes: Field required"),
        (list[DataSet], [{"name": "a"}], r"\[0\]\.title: Field required; \[0\]\.in_distribution: Field required"),
        (list[Cell], [{"arm": "a"}], r"\[0\]\.data_set: Field required"),
        (Style, {"height": 1.0}, "width_per_panel: Field required"),
        (Style, [], "Input should be"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(kind, value, message):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}"):
        parsed_as(kind)(json.dumps(value))


def test_text_that_is_no_json_is_said():
    with pytest.raises(argparse.ArgumentTypeError, match="^Invalid JSON"):
        parsed_as(list[Cell])("[")


def test_a_stage_that_is_told_something_else_says_which_option(capsys):
    command = table_parser("a table", ("csv",), probes="one per cell")
    with pytest.raises(SystemExit):
        command.parse_args(["--cells", '[{"arm": "a", "dataset": "b"}]'])
    assert "argument --cells: [0].data_set: Field required; [0].dataset: Unexpected" in capsys.readouterr().err


def test_arms_are_typed():
    described = ARM | {"steps": [8, 4], "backbone": {"name": "wide", "changes": {"lr": 0.1}}, "published": {"a": 81}}
    (arm,) = parsed_as(list[Arm])(json.dumps([described]))
    assert arm.steps == (8, 4) and arm.backbone == OtherBackbone("wide", {"lr": 0.1})
    assert arm.published_on("a") == "81" and arm.published_on("b") == ""


@pytest.mark.parametrize("name", ["config.yaml", "paper.yaml", "tiny.yaml"])
def test_what_a_study_passes_is_parsed(name):
    """Each key that a study writes is a field."""
    study = Study(read_config(values_of(f"config/{name}"), []))
    params, table2 = study.table_params, TableKey("table2")
    tables = [TableKey(table) for table in study.config.tables]
    grid = [params.grid_rows(None)] if study.config.grid else []
    told = {
        Arm: [params.rows(table2), params.calibrated_rows(None), *grid, *map(params.rows_with_networks, tables)],
        Cell: [params.cells(table2), params.cells(TableKey("calibration")), params.diagnosed_cells(None)],
        DataSet: [params.calibrated_columns(None), *map(params.columns, tables)],
    }
    for kind, texts in told.items():
        for text in texts:
            assert len(parsed_as(list[kind])(text)) == len(json.loads(text))
    assert parsed_as(Style)(params.style(None)).height > 0
