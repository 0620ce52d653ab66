"""JSON options of tables' stages are typed: values of rules are parsed, and wrong values are reported."""

import argparse
import json

import pytest

from tests.support.studies import values_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import TableKey
from workflow_scripts.timecat.tables.model import Arm, Cell, DataSet, OtherBackbone, Style
from workflow_scripts.timecat.tables.options import table_parser
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks

ARM = {"name": "cat1", "members": 1, "steps": 8, "transfer": "probe"}

NETWORK = {"architecture": "small_residual", "width": 8, "blocks": "3"}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (list[Arm], [ARM, ARM | {"membres": 1}], "`1.membres` is not a key"),
        (list[Arm], [{"name": "cat1", "steps": None}], "`0.members` is missing; `0.transfer` is missing"),
        (list[Arm], [ARM | {"members": "1"}], "`0.members` is '1': input should be a valid integer"),
        (list[Arm], [ARM | {"one_seed": 1}], "`0.one_seed` is 1: input should be a valid boolean"),
        (list[Arm], [ARM | {"steps": "8"}], "`0.steps` is '8': input should be a valid integer, or input should be a"),
        (
            list[Arm],
            [ARM | {"transfer": "magic"}],
            "`0.transfer` is 'magic': input should be 'probe', 'finetune', 'dir",
        ),
        (
            list[Arm],
            [ARM | {"backbone": {"name": "b", "recipe": {}}}],
            "`0.backbone.changes` is missing; `0.backbone.rec",
        ),
        (
            list[Arm],
            [ARM | {"training": {"epochs": {}}}],
            "`0.training.epochs` is {}: input should be a valid boolean, or ",
        ),
        (list[ArmOfNetworks], [ARM], "`0.settings` is missing"),
        (
            list[ArmOfNetworks],
            [ARM | {"settings": NETWORK}],
            "`0.settings.blocks` is '3': input should be a valid integer",
        ),
        (list[DataSet], [{"name": "a"}], "`0.title` is missing; `0.in_distribution` is missing"),
        (list[Cell], [{"arm": "a"}], "`0.data_set` is missing"),
        (Style, {"height": "1"}, "`width_per_panel` is missing; `height` is '1': input should be a valid number"),
        (Style, [], r"\[\]: input should be"),
    ],
)
def test_a_wrong_value_is_reported_with_its_key(kind, value, message):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}"):
        json_of(kind)(json.dumps(value))


def test_a_stage_names_the_option_that_has_a_wrong_value(capsys):
    command = table_parser("a table", ("csv",), probes="one per cell")
    with pytest.raises(SystemExit):
        command.parse_args(["--cells", '[{"arm": "a", "dataset": "b"}]'])
    assert "argument --cells: `0.data_set` is missing; `0.dataset` is not a key" in capsys.readouterr().err


def test_arms_are_parsed_into_typed_values():
    described = ARM | {"steps": [8, 4], "backbone": {"name": "wide", "changes": {"lr": 0.1}}, "published": {"a": 81}}
    (arm,) = json_of(list[Arm])(json.dumps([described]))
    assert arm.steps == (8, 4) and arm.backbone == OtherBackbone("wide", {"lr": 0.1})
    assert arm.published_on("a") == "81" and arm.published_on("b") == ""


@pytest.mark.parametrize("name", ["config.yaml", "paper.yaml", "tiny.yaml"])
def test_the_values_that_a_study_passes_are_parsed(name):
    """Every key that a study writes is a field of the parsed type."""
    study = Study(read_config(values_of(f"config/{name}"), []))
    params, table2 = study.table_params, TableKey("table2")
    tables = [TableKey(table) for table in study.config.tables]
    grid = [params.grid_rows(None)] if study.config.grid else []
    told = {
        Arm: [
            params.rows(table2),
            params.compared_rows(table2),
            params.calibrated_rows(None),
            *grid,
            *map(params.rows, tables),
        ],
        ArmOfNetworks: [*map(params.rows_with_networks, tables)],
        Cell: [params.cells(table2), params.cells(TableKey("calibration")), params.diagnosed_cells(None)],
        DataSet: [params.calibrated_columns(None), *map(params.columns, tables)],
    }
    for kind, texts in told.items():
        for text in texts:
            assert len(json_of(list[kind])(text)) == len(json.loads(text))
    assert json_of(Style)(params.style(None)).height > 0
