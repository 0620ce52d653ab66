"""Execute every command line in the documentation, long ones as dry runs, and validate its blocks of config."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from pydantic import TypeAdapter

from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.model import Config

PAGES = ["README.md", "config/README.md", "results/README.md"]


def command_lines() -> list[str]:
    """Return the command lines in the pages' shell blocks, without comments."""
    lines = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
            lines += [line.partition(" #")[0].strip() for line in block.splitlines()]
    return sorted(set(filter(None, lines)))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> StudyFolder:
    """Copy of the repository whose .venv is a link to that of this checkout."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("readme") / "study")
    (study.path / ".venv").symlink_to(ROOT / ".venv")
    return study


def test_the_pages_have_commands():
    assert {"make table2", "make test"} <= set(command_lines())
    assert "snakemake --cores 8 --resources gpu=4 -- results/table2.csv" in command_lines()


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_runs(clone, line):
    words = shlex.split(line)
    if "apptainer" in line and shutil.which("apptainer") is None:
        pytest.skip("Snakemake needs Apptainer even for a dry run; `make test-infra` runs this test with it")
    if words[0] == "make":
        line = shlex.join([*words, "-n"])
    elif words[0] == "snakemake" and not {"--lint", "--rulegraph", "--unlock"} & set(words):
        line = shlex.join(["snakemake", "-n", *words[1:]])
    elif words[0] not in ("snakemake", "."):
        pytest.fail(f"this test cannot run {line!r}: add a case for it")
    done = subprocess.run(["bash", "-c", line], cwd=clone.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_blocks_of_config_are_valid():
    """Every YAML block in the pages is a valid part of a config."""
    checked = set()
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
            for key, value in yaml.safe_load(block).items():
                if key == "data_sets":
                    TypeAdapter(dict[str, AnyDataSet]).validate_python(value)
                else:
                    TypeAdapter(Config.model_fields[key].annotation).validate_python(value)
                checked.add(key)
    assert {"data_sets", "checkpoints"} <= checked


def test_no_command_parses_its_target_as_a_resource():
    """Snakemake parses ``--resources gpu=4 TARGET`` as two resources: a ``--`` must separate the target."""
    for page in PAGES:
        for line in (ROOT / page).read_text().splitlines():
            assert not re.search(r"snakemake.*(--resources|--configfile|--config) \S+ results/", line), line
