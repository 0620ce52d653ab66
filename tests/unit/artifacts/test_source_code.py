"""Each rule lists every module its stage imports: computed here from what the running stage really imports."""

import json
import subprocess
import sys

import pytest

from workflow_scripts.timecat.artifacts.source_code import code_of

STAGES = ["write_dataset", "pretrain", "download", "import_checkpoint", "extract_features", "probe", "tabulate"]
STAGES += ["evaluate_probe", "diagnose", "tabulate_diagnostics", "transfer", "tabulate_arms", "tabulate_grid"]
STAGES += ["calibration", "counterexample"]

# Runs a stage's own main() up to its command line, with every import that stands in its modules really done.
PROGRAM = """
import ast, importlib, json, sys
from pathlib import Path
importlib.import_module("workflow_scripts.{stage}")
done = set()
while pending := {{name for name in sys.modules if name.split(".")[0] == "workflow_scripts"}} - done:
    done |= pending
    for name in pending:
        for node in ast.walk(ast.parse(Path(sys.modules[name].__file__).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "workflow_scripts":
                exec(compile(ast.Module([node], []), "imports", "exec"), {{}})
print(json.dumps(sorted(str(Path(sys.modules[name].__file__).relative_to(Path.cwd())) for name in done)))
"""


@pytest.mark.parametrize("stage", STAGES)
def test_listed_code_is_what_the_stage_imports(stage, root):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stage=stage)], cwd=root, capture_output=True, text=True, check=True
    )
    assert code_of(stage) == json.loads(done.stdout)


def test_stages_do_not_share_what_would_re_run_too_much():
    """An edit of the probe's heads or of the figures must not re-run what comes before."""
    timecat = "workflow_scripts/timecat"
    assert f"{timecat}/heads.py" in code_of("probe")
    for stage in ("write_dataset", "pretrain", "extract_features"):
        assert f"{timecat}/heads.py" not in code_of(stage) and f"{timecat}/figures.py" not in code_of(stage)
    assert f"{timecat}/probing.py" not in code_of("transfer") and f"{timecat}/transferring.py" not in code_of("probe")
    for stage in STAGES:
        assert f"{timecat}/configuration.py" not in code_of(stage)  # no stage reads the config


def test_imports_inside_functions_and_of_packages_count(tmp_path):
    package = tmp_path / "workflow_scripts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "stage.py").write_text("def f():\n    from workflow_scripts import late\n")
    (package / "late.py").write_text("import workflow_scripts.later\n")
    (package / "later.py").write_text("import numpy\n")
    names = ("__init__", "late", "later", "stage")
    assert code_of("stage", tmp_path) == [f"workflow_scripts/{name}.py" for name in names]
