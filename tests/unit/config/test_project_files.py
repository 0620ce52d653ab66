"""Tests of files about the project: the schema that editors use, and the citation."""

from typing import get_args

import jsonschema
import pytest
import yaml

from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.reference import SCHEMA, blocks_in
from workflow_scripts.timecat.version import VERSION

OTHER = {"throughputs.yaml"}  # speeds for `make plan`, not a study
STUDIES = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name not in OTHER)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_first_line_of_a_study_names_its_schema_and_the_study_conforms_to_it(path):
    text = path.read_text()
    prefix, _, named = text.splitlines()[0].partition("=")
    assert prefix == "# yaml-language-server: $schema"
    assert (path.parent / named).resolve() == SCHEMA and SCHEMA.is_file()
    jsonschema.validate(yaml.safe_load(text), yaml.safe_load(SCHEMA.read_text()))


def test_the_citation_has_the_version_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == VERSION
    assert {"message", "title", "authors"} <= set(citation)


def test_the_schema_reports_a_wrong_key_for_each_kind_of_data_set():
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    study = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    kinds = [kind for block in blocks_in(AnyDataSet) for kind in get_args(block.model_fields["kind"].annotation)]
    assert len(kinds) > 5
    for kind in kinds:
        wrong = study | {"data_sets": {"wrong": {"kind": kind, "wrong_key": 1}}}
        messages = [error.message for error in validator.iter_errors(wrong)]
        assert any("'wrong_key' was unexpected" in message for message in messages), kind
        assert not any("any of the given schemas" in message for message in messages), kind
