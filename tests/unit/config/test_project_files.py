"""Files about the project: the schema that editors use, and how to cite."""

import jsonschema
import pytest
import yaml

from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.config.reference import SCHEMA
from workflow_scripts.timecat.version import VERSION

OTHER = {"throughputs.yaml"}  # figures of `make plan`, not a study
STUDIES = sorted(path for path in (ROOT / "config").glob("*.yaml") if path.name not in OTHER)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_names_its_schema_first_and_fits_it(path):
    text = path.read_text()
    prefix, _, named = text.splitlines()[0].partition("=")
    assert prefix == "# yaml-language-server: $schema"
    assert (path.parent / named).resolve() == SCHEMA and SCHEMA.is_file()
    jsonschema.validate(yaml.safe_load(text), yaml.safe_load(SCHEMA.read_text()))


def test_the_citation_has_the_version_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == VERSION
    assert {"message", "title", "authors"} <= set(citation)
