"""Tests of the schema of studies, the citation, the changelog, and the files for pre-commit and issues."""

import re
from typing import get_args

import jsonschema
import pytest
import yaml

from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.reference import SCHEMA, blocks_in
from workflow_scripts.timecat.version import VERSION

OTHER = {"throughputs.yaml"}  # speeds for `make plan`, not a study
# Headings of Keep a Changelog.
KEPT = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
STUDIES = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name not in OTHER)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_conforms_to_the_schema_that_it_names(path):
    """The first line of a study names the schema, which editors use."""
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


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("backbones", "residual4"), {"wrong_key": 1}),
        (("backbones", "other"), {"architecture": "resnet18", "wrong_key": 1}),
        (("backbones", "other"), {"architecture": "small_vit", "wrong_key": 1}),
        (("arms", 0), {"wrong_key": 1}),
        (("arms", 0, "reduce"), {"method": "pca", "dimensions": 2, "wrong_key": 1}),
        (("table1",), {"arms": ["cat1"], "wrong_key": 1}),
        (("table1",), {"arms": [{"name": "x", "members": 1, "steps": 4, "wrong_key": 1}]}),
        (("floors",), {"wrong_key": 1}),
        (("ceiling",), {"wrong_key": 1}),
        (("ceiling",), {"arm": {"name": "x", "members": 1, "steps": 4, "wrong_key": 1}}),
        (("probe",), {"wrong_key": 1}),
        (("pretrain",), {"wrong_key": 1}),
        (("width",), {"wrong_key": 1}),
        (("container",), {"wrong_key": 1}),
        (("limits",), {"wrong_key": 1}),
    ],
)
def test_the_schema_names_a_wrong_key_of_each_block(place, value):
    """No message says only that no alternative of a union fits, because the schema selects the alternative first."""
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    study = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    *path, last = place
    block = study
    for step in path:
        block = block[step]
    there = block[last] if isinstance(block, list) else block.get(last)
    block[last] = (there or {}) | value
    messages = [error.message for error in validator.iter_errors(study)]
    assert any("'wrong_key' was unexpected" in message for message in messages), messages
    assert not any("any of the given schemas" in message for message in messages)


def test_the_schema_accepts_every_alternative_of_a_union():
    validator = jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text()))
    study = yaml.safe_load((ROOT / "config/tiny.yaml").read_text())
    allowed = {"floors": None, "table1": {"arms": ["cat1", {"name": "x", "members": 1, "steps": 4}]}, "width": None}
    assert list(validator.iter_errors(study | allowed)) == []
    assert list(validator.iter_errors(study | {"floors": "yes"})) != []
    assert len(list(validator.iter_errors(study | {"data_sets": {"x": "text"}}))) == 1


def test_every_hook_of_pre_commit_is_a_check_of_make_lint():
    """Hooks call the tools of the environment, so that a commit and `make lint` never disagree."""
    hooks = [
        hook
        for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
        for hook in repo["hooks"]
    ]
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {"ruff", "snakefmt", "codespell", "mypy"} <= {hook["entry"].split()[0] for hook in hooks}
    for hook in hooks:
        command = " ".join(word for word in hook["entry"].split() if not word.startswith("--"))
        assert command in recipe, hook["id"]


def test_the_changelog_has_the_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
    versions = re.findall(r"^## \[(.*?)\]", text, re.MULTILINE)
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert versions[0] == "Unreleased" and all("Rules whose results change:" in part for part in parts)
    for part in parts:
        headings = re.findall(r"^### (\w+)$", part, re.MULTILINE)
        assert len(headings) == len(set(headings)) and set(headings) <= KEPT


def test_forms_for_issues_have_required_fields():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form), path.name
            assert any(part.get("validations", {}).get("required") for part in form["body"]), path.name
