"""Test that each rule lists exactly the modules that its stage imports when it runs."""

import ast
import json
import subprocess
import sys

import pytest

from tests.support.closures import SNAPSHOT, closures, report, rules, stages
from tests.support.studies import ROOT
from workflow_scripts.timecat.artifacts import source_code
from workflow_scripts.timecat.artifacts.source_code import NO_BYTE, PACKAGE, code_fingerprint, code_of
from workflow_scripts.timecat.errors import UserError

# Imports a stage and executes every import statement in its modules, except those for type checkers.
PROGRAM = """
import ast, importlib, json, sys
from pathlib import Path
importlib.import_module("workflow_scripts.{stage}")
done = set()
while pending := {{name for name in sys.modules if name.split(".")[0] == "workflow_scripts"}} - done:
    done |= pending
    for name in pending:
        tree = ast.parse(Path(sys.modules[name].__file__).read_text())
        checks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
        for_types = {{below for node in checks for child in node.body for below in ast.walk(child)}}
        for node in set(ast.walk(tree)) - for_types:
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "workflow_scripts":
                exec(compile(ast.Module([node], []), "imports", "exec"), {{}})
print(json.dumps(sorted(str(Path(sys.modules[name].__file__).relative_to(Path.cwd())) for name in done)))
"""
EVERYWHERE = {"workflow_scripts/timecat/errors.py", "workflow_scripts/timecat/runtime/command.py"}
COMPUTING = {
    "write_dataset",
    "pretrain",
    "download",
    "import_checkpoint",
    "extract_features",
    "probe",
    "evaluate_probe",
}
COMPUTING |= {"transfer", "reweight", "diagnose", "counterexample"}


@pytest.fixture
def tree(tmp_path):
    """Function that writes a package workflow_scripts, given name=source, and returns its root."""

    def write(**sources):
        for name, source in ({"__init__": ""} | sources).items():
            path = tmp_path / PACKAGE / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return tmp_path

    return write


def paths(*names: str) -> list[str]:
    return [f"{PACKAGE}/{name}.py" for name in names]


def test_every_rule_lists_the_code_of_its_stage():
    listed = rules()
    # A container image depends on its definition and requirements; its digest is an input of the stages that run in it.
    assert listed.pop("build_image") == ("", "build_image")
    assert {name: code for name, (code, _) in listed.items()} == {
        name: command for name, (_, command) in listed.items()
    }
    scripts = {path.stem for path in (ROOT / PACKAGE).glob("*.py")} - {"__init__"}
    assert scripts - set(stages()) == {"build_image", "keep", "plan"}, "a script that no rule runs"


def test_the_report_of_closures_shows_changed_modules():
    """The report shows the added and the removed modules of each stage."""
    before = {"probe": ["probe.py", "timecat/a.py"], "gone": ["gone.py"], "same": ["same.py"]}
    now = {"probe": ["probe.py", "timecat/b.py", "timecat/c.py"], "new": ["new.py"], "same": ["same.py"]}
    assert [line.split() for line in report(before, now).splitlines()] == [
        ["stage", "snapshot", "now"],
        *(["gone", "1", "0"], ["-", "gone.py"]),
        *(["new", "0", "1"], ["+", "new.py"]),
        *(["probe", "2", "3"], ["-", "timecat/a.py"], ["+", "timecat/b.py"], ["+", "timecat/c.py"]),
        ["same", "1", "1"],
    ]


@pytest.mark.parametrize("stage", stages())
def test_listed_code_equals_what_the_running_stage_imports(stage, root):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(stage=stage)], cwd=root, capture_output=True, text=True, check=True
    )
    imported = [path for path in json.loads(done.stdout) if not path.endswith("__init__.py")]
    assert code_of(stage) == [path for path in imported if path not in NO_BYTE]


def test_the_closures_equal_the_reviewed_snapshot():
    """If a change of imports is intended, run ``python -m tests.support.closures --write`` and review the diff."""
    assert closures() == json.loads(SNAPSHOT.read_text())


@pytest.mark.parametrize("stage", stages())
def test_leaving_files_out_does_not_remove_further_modules(stage):
    whole = source_code._closure(stage, ROOT, frozenset())
    assert whole - set(code_of(stage)) == whole & set(NO_BYTE)


def test_every_file_that_is_left_out_has_a_reason():
    assert all((ROOT / path).is_file() and len(reason) > 40 for path, reason in NO_BYTE.items())
    used = set().union(*(source_code._closure(stage, ROOT, frozenset()) for stage in stages()))
    assert set(NO_BYTE) <= used, "an entry that leaves nothing out"


def test_editing_a_file_that_is_left_out_keeps_the_fingerprint(monkeypatch):
    before = code_fingerprint("pretrain")
    edited = ("read_text", "# another text")

    def read_with(path):
        real = type(ROOT).read_text
        monkeypatch.setattr(
            type(ROOT), edited[0], lambda self: real(self) + (edited[1] if str(self).endswith(path) else "")
        )
        found = code_fingerprint("pretrain")
        monkeypatch.setattr(type(ROOT), edited[0], real)
        return found

    assert {read_with(path) for path in NO_BYTE} == {before}
    assert read_with("runtime/resume.py") != before


def test_an_edit_re_runs_only_the_stages_that_need_it():
    """Edits of tables, figures, config or plan do not re-run computations; edits of heads do not re-run pretraining."""
    of = {stage: set(files) for stage, files in closures().items()}
    every = set().union(*of.values())
    for stage in COMPUTING:
        tops = {path.split("/")[1] for path in of[stage] if "/" in path}
        assert not tops & {"tables", "config", "study", "planning"}, stage
    for stage in of:
        assert {path for path in of[stage] if "/" not in path} == {f"{stage}.py"}, "a stage imports another one"
        assert {path.removeprefix("workflow_scripts/") for path in EVERYWHERE} <= of[stage]
    apart = {
        "timecat/probing/heads.py": {"probe", "evaluate_probe", "diagnose", "transfer"},
        "timecat/transfer/training.py": {"transfer"},
        "timecat/pretraining/training.py": {"pretrain"},
        "timecat/measures/calibration.py": {"calibration"},
        "timecat/counterexample/networks.py": {"counterexample"},
        "timecat/probing/reweighting.py": {"reweight"},
        "timecat/tables/figures/counterexample.py": {"tabulate_counterexample"},
    }
    for path, users in apart.items():
        assert path in every and {stage for stage in of if path in of[stage]} == users, path
    assert not {path for path in every if "forkserver" in path}


def test_all_init_files_are_empty():
    """A non-empty __init__.py would be in the closure of every stage that imports a module of its package."""
    found = [*(ROOT / PACKAGE).rglob("__init__.py"), *(ROOT / "tests").rglob("__init__.py")]
    assert len(found) > 20 and [path for path in found if path.stat().st_size] == []


def test_no_module_is_named_in_a_string():
    """code_of does not find modules whose names are passed as text to importlib or to a new process.

    A stage may start a process of the same stage, whose modules are listed.
    """
    for stage in stages():
        for path in code_of(stage):
            for node in ast.walk(ast.parse((ROOT / path).read_text())):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and node.value != f"{PACKAGE}.{stage}"
                ):
                    assert not node.value.startswith(f"{PACKAGE}."), f"{path}, line {node.lineno}"


def test_imports_inside_functions_count(tree):
    root = tree(
        stage="def f():\n    from workflow_scripts import late\n",
        late="import workflow_scripts.later\n",
        later="import numpy\n",
    )
    assert code_of("stage", root) == paths("late", "later", "stage")


def test_an_init_file_counts_if_it_contains_code(tree):
    root = tree(stage="import workflow_scripts.sub.part\n", sub__in____init__="", sub__in__part="")
    assert code_of("stage", root) == paths("stage", "sub/part")
    root = tree(stage2="import workflow_scripts.full.part\n", full__in____init__="import workflow_scripts.more\n")
    tree(full__in__part="", more="")
    assert code_of("stage2", root) == paths("full/__init__", "full/part", "more", "stage2")


def test_imports_for_type_checkers_do_not_count(tree):
    root = tree(
        stage="import typing\nif typing.TYPE_CHECKING:\n    from workflow_scripts import one\nelse:\n"
        "    from workflow_scripts import other\n",
        one="",
        other="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import workflow_scripts.one\n",
    )
    assert code_of("stage", root) == paths("other", "stage")


@pytest.mark.parametrize("line", ["from . import part", "from .part import f"])
def test_a_relative_import_is_refused(tree, line):
    root = tree(stage=f"def f():\n    {line}\n", part="f = 1\n")
    with pytest.raises(UserError, match=r"stage\.py, line 2: relative import; write the module's full name"):
        code_of("stage", root)


def test_a_stage_that_does_not_exist_is_refused(tree):
    with pytest.raises(UserError, match="there is no stage 'stege'"):
        code_of("stege", tree(stage=""))
