"""Every command line that README and documentation print is executed here: long ones as dry runs or with ``--help``."""

import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec

import pytest
import yaml
from pydantic import TypeAdapter

from tests.support.pages import pages
from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.model import Config

PAGES = [path for path in pages() if path.name != "CHANGELOG.md"]
SHELL = re.compile(r"^ *```(?:sh|bash|shell)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# Options with which a line of Snakemake runs no job, so that it is executed as it is printed.
AS_IT_IS = {"--lint", "--rulegraph", "--unlock"}


def command_lines() -> list[str]:
    """Return the lines of the pages' shell blocks without comments."""
    lines = []
    for page in PAGES:
        for block in SHELL.findall(page.read_text()):
            lines += [line.partition(" #")[0].strip() for line in block.splitlines()]
    return sorted(set(filter(None, lines)))


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> StudyFolder:
    """A copy of the repository that uses this environment."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("readme") / "study")
    (study.path / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["git", "init", "--quiet", "."], cwd=study.path, check=True)
    return study


def test_there_are_commands():
    assert {"make table2", "make test"} <= set(command_lines())
    assert "snakemake --cores 8 --resources gpu=4 -- results/table2.csv" in command_lines()


def runnable(line: str) -> str:
    """Return what is executed for a printed line: the same command, made short where it takes long."""
    words = shlex.split(line)
    match words[0]:
        case "make":
            return f"{line} -n"
        case "snakemake":
            return line if AS_IT_IS & set(words) or "-n" in words else line.replace("snakemake", "snakemake -n", 1)
        case "python":
            return f"{line} --help"
        case "." | "export" | "pre-commit" | "cp":
            return line
    pytest.fail(f"say in this test how to run {line!r}")


@pytest.mark.parametrize("line", command_lines())
def test_command_line_runs(clone, line):
    if "apptainer" in line and shutil.which("apptainer") is None:
        pytest.skip("Snakemake wants Apptainer even for a dry run; tests/infra runs this test where it is installed")
    done = subprocess.run(["bash", "-c", runnable(line)], cwd=clone.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_commands_in_running_text_exist():
    """`python -m MODULE` names a module, and `make TARGET` a target."""
    makefile = (ROOT / "Makefile").read_text()
    found = 0
    for page in pages():
        text = SHELL.sub("", page.read_text())
        for module in re.findall(r"`python -m ([\w.]+)", text):
            assert module == "workflow_scripts.STAGE" or find_spec(module), f"{page.name}: {module}"
            found += 1
        for target in re.findall(r"`make ([\w-]+)", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: {target}"
            found += 1
    assert found > 20


def test_blocks_of_config_are_valid():
    """Blocks of YAML on the pages are parts of a config that the workflow accepts."""
    checked = set()
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for key, value in yaml.safe_load(block).items():
                if key == "data_sets":
                    TypeAdapter(dict[str, AnyDataSet]).validate_python(value)
                else:
                    TypeAdapter(Config.model_fields[key].annotation).validate_python(value)
                checked.add(key)
    assert {"data_sets", "checkpoints", "arms", "table1", "gap"} <= checked


def test_no_target_is_swallowed_by_resources():
    """``--resources gpu=4 TARGET`` reads the target as a resource: a ``--`` must stand between."""
    for page in PAGES:
        for line in page.read_text().splitlines():
            assert not re.search(r"snakemake.*(--resources|--configfile|--config) \S+ results/", line), line
