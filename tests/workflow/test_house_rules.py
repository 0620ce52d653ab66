"""Check rules for the code: complexity, layers of imports, thin stages, repeated lines in rules, existing names."""

import argparse
import ast
import collections
import importlib
import inspect
import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
import typing

import grimp
import pytest

from tests.support import names, pages
from tests.support.closures import rules, stages, table_stages
from tests.support.studies import ROOT
from workflow_scripts.timecat.study.paths import Files, Paths

GONE = "heads_" + "gone"  # a name that must not exist in any code; in two parts, so that this file does not contain it
RUN = 6  # number of lines; blank lines, bare directives and lines of brackets do not count
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]


def said(text: str) -> list[str]:
    """Return the lines of a rules file that count as repetition: no blank lines, bare directives or brackets."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line.strip("()[]{},\"'") and not (line.endswith(":") and " " not in line)]


def repeated_runs(texts: dict[str, str]) -> list[str]:
    """Return a message for each sequence of RUN lines that occurs in two places of these rules files.

    texts: name of a rules file -> its text.
    """
    places = collections.defaultdict(list)
    for name, text in texts.items():
        lines = said(text)
        for start in range(len(lines) - RUN + 1):
            places[tuple(lines[start : start + RUN])].append(name)
    return [
        f"{' and '.join(found)} have these {RUN} lines in common; write them once, as a name in the Snakefile that rules unpack"
        " (as TRAIN_LABELS or ONE_GPU) or as a method of the study's inputs or params:\n  " + "\n  ".join(run)
        for run, found in places.items()
        if len(found) > 1
    ]


def test_no_run_of_six_lines_occurs_twice_in_the_rules():
    assert not (found := repeated_runs({path.name: path.read_text() for path in RULES})), "\n".join(found)


def test_repeated_lines_in_rules_are_reported():
    """The message has the lines and a remedy."""
    lines = "".join(f"    {name}={name},\n" for name in "abcdef")
    (sentence,) = repeated_runs({"one.smk": lines + "    g=1,\n", "two.smk": f"rule two:\n{lines}", "three.smk": ""})
    assert sentence.startswith("one.smk and two.smk have these 6 lines in common; write them once")
    assert "(as TRAIN_LABELS or ONE_GPU)" in sentence and sentence.endswith(
        "  a=a,\n  b=b,\n  c=c,\n  d=d,\n  e=e,\n  f=f,"
    )
    assert {"TRAIN_LABELS = {", "ONE_GPU = {"} <= set((ROOT / "Snakefile").read_text().splitlines()), (
        "the Snakefile defines the names that the message gives as examples"
    )
    assert repeated_runs({"one.smk": lines[:-10], "two.smk": lines[:-10]}) == [], (
        "fewer than RUN common lines are allowed"
    )


def test_ruff_refuses_complex_functions():
    """Functions with many arguments and relative imports are refused, too."""
    many = "\n".join(f"    if a == {number}:\n        return {number}" for number in range(10))
    source = f"from . import b\n\n\ndef f(a):\n{many}\n    return b\n\n\ndef g(a, b, c, d, e, f, g, h):\n    return a\n"
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--stdin-filename"]
    for file in ("workflow_scripts/timecat/new.py", "tests/unit/test_new.py", "benchmarks/new.py"):
        done = subprocess.run([*command, file, "-"], cwd=ROOT, input=source, capture_output=True, text=True)
        assert done.returncode == 1 and {"C901", "PLR0913", "TID252"} <= set(re.findall(r"[A-Z]+\d+", done.stdout)), (
            file
        )
    sources = [
        path.read_text() for folder in ("workflow_scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    assert not [text for text in sources if re.search("noqa: *(C901|PLR0913|TID252)", text)]


def test_mypy_checks_all_code():
    """Every exception in the configuration of mypy has a reason."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["files"] == ["workflow_scripts"] and settings["disallow_untyped_defs"]
    assert not any(override.get("ignore_errors") for override in settings["overrides"])
    untyped = [name for one in settings["overrides"] if one.get("ignore_missing_imports") for name in one["module"]]
    assert untyped and not any(name.startswith(("*", "workflow_scripts")) for name in untyped)
    remarks = [
        line.partition("# type:")[2]
        for path in (ROOT / "workflow_scripts").rglob("*.py")
        for line in path.read_text().splitlines()
    ]
    assert [one for one in remarks if one and not re.fullmatch(r" ignore\[[a-z-]+\]  # \w.*", one)] == []


def contracts() -> dict[str, dict]:
    """Return the import rules of import-linter (its "contracts"), by id."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["id"]: contract for contract in settings["contracts"]}


def test_no_contract_ignores_an_import():
    assert not any(key.startswith("ignore_imports") for contract in contracts().values() for key in contract)


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("timecat/artifacts/files.py", "from workflow_scripts.timecat.runtime import devices", "layers"),
        ("timecat/measures/groups.py", "from workflow_scripts.timecat.transfer import settings", "layers"),
        ("timecat/runtime/command.py", "from workflow_scripts.timecat.runtime.forkserver import server", "forkserver"),
    ],
)
def test_import_linter_finds_an_import_that_breaks_the_layers(tmp_path, file, line, broken):
    shutil.copytree(ROOT / "workflow_scripts", tmp_path / "workflow_scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with open(tmp_path / "workflow_scripts" / file, "a") as module:
        module.write(f"\n\ndef late():\n    {line}\n")
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and f"{contracts()[broken]['name']} BROKEN" in done.stdout, done.stdout + done.stderr


ABOVE_TABLES = ("config", "study", "planning")  # layers that no stage imports, so that an edit of them reruns no stage


@pytest.fixture
def imports() -> grimp.ImportGraph:
    """Graph of the project's imports.

    It includes imports inside functions, and leaves out imports that only type checkers see.
    """
    return grimp.build_graph("workflow_scripts", exclude_type_checking_imports=True, cache_dir=None)


def forbidden_imports(graph: grimp.ImportGraph) -> set[str]:
    """Return the forbidden imports, as "importer -> imported".

    No module may import a stage. A stage that a rule runs may not import the layers config, study and planning,
    directly or indirectly. Only stages that write tables may import tables.
    """
    package = "workflow_scripts"
    stages = {name for name in graph.find_children(package) if name != f"{package}.timecat"}
    found = {f"{name} -> {stage}" for stage in stages for name in graph.find_modules_that_directly_import(stage)}
    run, tables = {stage for _, stage in rules().values()}, table_stages()
    for stage in run:
        for layer in ABOVE_TABLES if stage in tables else (*ABOVE_TABLES, "tables"):
            if graph.chain_exists(f"{package}.{stage}", f"{package}.timecat.{layer}", as_packages=True):
                found.add(f"{package}.{stage} -> {package}.timecat.{layer}")
    return {line.replace(f"{package}.", "") for line in found}


def test_no_stage_imports_a_forbidden_layer(imports):
    assert forbidden_imports(imports) == set()
    assert {"tabulate", "calibration"} <= table_stages() < {stage for _, stage in rules().values()}


@pytest.mark.parametrize(
    ("importer", "imported", "found"),
    [
        ("probe", "transfer", {"probe -> transfer"}),
        ("calibration", "tabulate", {"calibration -> tabulate"}),
        ("timecat.measures.groups", "reweight", {"timecat.measures.groups -> reweight"}),
        ("reweight", "timecat.tables.calibration", {"reweight -> timecat.tables"}),
        ("build_image", "timecat.config.blocks", {"build_image -> timecat.config"}),
        ("counterexample", "timecat.study.paths", {"counterexample -> timecat.study"}),
        ("download", "timecat.planning.dag", {"download -> timecat.planning"}),
        ("timecat.counterexample.runs", "timecat.tables.notes", {"counterexample -> timecat.tables"}),
        ("tabulate", "timecat.config.blocks", {"tabulate -> timecat.config"}),
        ("tabulate_gap", "timecat.study.paths", {"tabulate_gap -> timecat.study"}),
        ("calibration", "timecat.planning.text", {"calibration -> timecat.planning"}),
        ("calibration", "timecat.tables.notes", set()),
        ("plan", "timecat.tables.notes", set()),
    ],
)
def test_a_forbidden_import_of_a_stage_is_found(imports, importer, imported, found):
    imports.add_import(importer=f"workflow_scripts.{importer}", imported=f"workflow_scripts.{imported}")
    lines = forbidden_imports(imports)
    assert found <= lines and bool(found) == bool(lines), lines


STAGES = sorted((ROOT / "workflow_scripts").glob("[!_]*.py"))
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
OF_A_STAGE = ast.Import | ast.ImportFrom | ast.If | DEFINITIONS  # logic_in checks the names of definitions


def logic_in(source: str) -> set[str]:
    """Return the parts of a stage's source that belong in the library.

    Allowed in a stage: the docstring, imports of the project and of Python's standard library, and a plain `main`.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        *(ast.unparse(node) for node in tree.body[1:] if not isinstance(node, OF_A_STAGE)),
        *(node.name for node in nodes if isinstance(node, DEFINITIONS) and node.name != "main"),
        *(type(node).__name__ for node in nodes if isinstance(node, ast.While | ast.Try)),
        *({name.split(".")[0] for name in names} - {"workflow_scripts", *sys.stdlib_module_names}),
    }


def test_stages_only_call_the_library():
    """A stage reads its command line and calls functions of the library."""
    assert {path.stem for path in STAGES} >= {*stages(), "build_image", "plan"}
    for path in STAGES:
        source = path.read_text()
        assert logic_in(source) == set(), path.name
        assert source.count("\ndef main() -> None:\n") == 1 and ast.get_docstring(ast.parse(source)), path.name


@pytest.mark.parametrize(
    ("addition", "found"),
    [
        ("def helper():\n    return 1\n", {"helper"}),
        ("class Origin:\n    pass\n", {"Origin"}),
        ("LOG_EVERY = 10\n", {"LOG_EVERY = 10"}),
        ("import numpy as np\n", {"numpy"}),
        ("def main():\n    import torch.nn\n    from timm import models\n", {"torch", "timm"}),
        ("def main():\n    def advance():\n        pass\n", {"advance"}),
        (
            "def main():\n    while True:\n        try:\n            work()\n        finally:\n            stop()\n",
            {"While", "Try"},
        ),
        ("from workflow_scripts.timecat.probing import job\n\ndef main():\n    job.run()\n", set()),
    ],
)
def test_logic_in_a_stage_is_found(addition, found):
    assert logic_in(f'"""A stage."""\n\nimport os\n\n{addition}') == found


def options_of(stage: str, monkeypatch) -> tuple[dict[str, object], type] | None:
    """Return (dict from an option of a stage to its type, the library's dataclass for the options).

    Return None if the library has no such dataclass.
    """
    module = importlib.import_module(f"workflow_scripts.{stage}")
    classes = {
        value.Options for value in vars(module).values() if inspect.ismodule(value) and hasattr(value, "Options")
    }
    if not classes:
        return None
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self: parsers.append(self) or sys.exit())
    with pytest.raises(SystemExit):
        module.main()
    (parser,), (options,) = parsers, classes
    kinds = {}
    for action in parser._actions[1:]:  # the first is --help
        kind = action.type or str
        kinds[action.dest] = (list[kind] if action.nargs in ("*", "+") else kind) if isinstance(kind, type) else None
    return kinds, options


@pytest.mark.parametrize("stage", [path.stem for path in STAGES])
def test_command_line_options_match_the_librarys_dataclass(stage, monkeypatch):
    """Names and types must match, because mypy cannot check `Options(**vars(...))`.

    Pydantic checks options in JSON.
    """
    found = options_of(stage, monkeypatch)
    assert (found is not None) == ("Options(" in (ROOT / f"workflow_scripts/{stage}.py").read_text())
    if found is None:
        return
    kinds, options = found
    wanted = typing.get_type_hints(options)
    assert set(kinds) == set(wanted)
    assert {name: kind for name, kind in kinds.items() if kind} == {
        name: wanted[name] for name, kind in kinds.items() if kind
    }


def test_continuous_integration_lints_first():
    """The order matters, because the script ends at the first command that fails."""
    script = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in script
    assert re.findall(r"make --no-print-directory (\S+)", script) == ["lint", "test", "test-infra"]
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile[makefile.index("\nlint:") : makefile.index("\ndag:")]
    for check in ("ruff check", "ruff format --check", "snakefmt --check", "snakemake --lint", "mypy", "lint-imports"):
        assert check in recipe


def test_rules_that_write_tables_are_local():
    """Rules that write tables take seconds, so Snakemake runs their jobs itself instead of on the cluster.

    Rules that build the image and download files are local, too. Calibration takes longer, and is an ordinary job.
    """
    local, names = set(), set()
    for path in RULES:
        _, *parts = re.split(r"^ *rule (\w+):$", path.read_text(), flags=re.MULTILINE)
        names |= set(parts[::2])
        local |= {name for name, text in zip(parts[::2], parts[1::2], strict=True) if "\n    localrule: True" in text}
    text = (ROOT / "Snakefile").read_text()
    listed = re.search(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)[1].replace(",", "").split()
    assert listed == ["all", "all_arms"], "rules in rules/ have `localrule: True` instead"
    assert local == {name for name in names if name.startswith("tabulate")} | {"build_image", "download"}


def texts() -> dict[str, list[str]]:
    """Return the texts for readers by file: prose of pages, docstrings and comments."""
    made = (
        ROOT / "docs/results/all_tables.md"
    )  # generated: its words that look like names of code are names of arms, data sets and groups
    found = {path: [pages.prose(path.read_text())] for path in pages.pages() if path != made}
    found |= {path: names.remarks(path) for path in names.files()}
    found |= {path: re.findall(r'"""[^"]*"""|#.*', path.read_text()) for path in RULES}
    for path in [*(path for path in names.project_files() if path.suffix in (".yaml", ".toml")), ROOT / "Makefile"]:
        found[path] = re.findall("#.*", path.read_text())
    return {str(path.relative_to(ROOT)): said for path, said in found.items()}


def test_texts_name_only_files_and_code_that_exist():
    """Pages, docstrings and comments must not name modules, files or functions that were moved or renamed."""
    for check in (names.unknown, names.missing_files):
        found = {file: [name for text in said for name in check(text)] for file, said in texts().items()}
        assert {file: wrong for file, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see study/paths.py, ../tests/conftest.py, docs/results/all_tables.md, config/tiny.yaml and page.md.j2.", []),
        ("`paths.py`, rules/{stage}.smk, STAGE.py, results/new.yaml, metrics.json, genomics.md, *.py", []),
        (
            f"see study/{GONE}.py, ../{GONE}.smk and docs/{GONE}.md.",
            [f"study/{GONE}.py", f"{GONE}.smk", f"docs/{GONE}.md"],
        ),
        (f"(`{GONE}.py`), {GONE}.yaml: here", [f"{GONE}.py", f"{GONE}.yaml"]),
        ("config/paths.py", ["config/paths.py"]),
    ],
)
def test_names_of_missing_files_are_found(text, wrong):
    assert names.missing_files(text) == wrong


def test_no_link_of_a_page_is_broken():
    found = {str(path.relative_to(ROOT)): pages.broken_links(path.read_text(), path) for path in pages.pages()}
    assert len(found) > 10 and {page: broken for page, broken in found.items() if broken} == {}


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (
            "[a](index.md) [b](../README.md#two-commands) ![c](figures/table2.svg) [d](https://example.org/x) [e](..)",
            [],
        ),
        ("[a](gone.md) [b](docs/index.md) ![c](gone.svg)", ["gone.md", "docs/index.md", "gone.svg"]),
        ("# Of `a_b`, and [c](index.md)!\n# Two\n# Two\n[a](#of-a_b-and-c) [b](#two-1) [c](#two-2)", ["#two-2"]),
        ("[a](../README.md#no-such-heading) [b](#no)", ["../README.md#no-such-heading", "#no"]),
        ("```\n# In code\n[a](gone.md)\n```\n[b](#in-code)", ["#in-code"]),
    ],
)
def test_broken_links_are_found(text, broken):
    assert pages.broken_links(text, ROOT / "docs/page.md") == broken


@pytest.mark.parametrize(
    ("remark", "wrong"),
    [
        (f"as `{GONE}` does, and `initial_weight`", [GONE]),
        ("see heads.initial_weight and heads.initial_wait", ["heads.initial_wait"]),
        ("see probing.heads and probing.head", ["probing.head"]),
        ("tests.references.heads.ReferenceHeads, tests.references.heads.Absent", ["tests.references.heads.Absent"]),
        ("probe.lr, features.views, `limits.memory_gb`, numpy.random, data_sets.NAME, e.g. this", []),
    ],
)
def test_names_of_missing_code_are_found(remark, wrong):
    assert names.unknown(remark) == wrong


def texts_of_rules(source: str) -> list[str]:
    """Return the strings of a rules file, except docstrings.

    From Python 3.12 on, an f-string consists of several tokens.
    """
    kinds = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string for token in tokens if token.type in kinds and not token.string.endswith('"""')]


def texts_of_module(source: str) -> list[str]:
    """Return the strings of a module, except docstrings; parts of f-strings are included."""
    nodes = list(ast.walk(ast.parse(source)))
    documented = [node for node in nodes if isinstance(node, DEFINITIONS | ast.Module) and ast.get_docstring(node)]
    docstrings = [node.body[0].value for node in documented]
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
    ]


def test_paths_of_results_are_defined_in_one_module():
    """Rules, stages and the library take the paths of results from study/paths.py.

    Documentation and the config may contain such paths.
    """
    package = ROOT / "workflow_scripts"
    modules = [path for path in package.rglob("*.py") if not path.is_relative_to(package / "timecat/config")]
    found = {path: texts_of_rules(path.read_text()) for path in RULES}
    found |= {path: texts_of_module(path.read_text()) for path in modules}
    assert {path.name: text for path, texts in found.items() for text in texts if "results/" in text} == {}
    assert {"tables.smk", "tabulate.py", "paths.py", "rows.py", "calibration.py"} <= {path.name for path in found}


@pytest.mark.parametrize("text", ['"results/a.csv"', 'f"results/{table}.csv"', 'f"{root}/results/{table}.csv"'])
def test_a_path_of_results_is_found_wherever_it_is_written(text):
    source = f'"""Makes results/it.csv."""\n\ndef at(root, table):\n    """Return results/it.csv."""\n    return open({text})\n'
    for texts in (texts_of_rules(source), texts_of_module(source)):
        assert ["results/" in one for one in texts].count(True) == 1


def test_contracts_of_rules_name_paths_that_exist():
    """The docstring of a rules file must only name outputs that a rule writes."""
    paths = Paths()
    written = {path for files in vars(paths).values() if isinstance(files, Files) for path in files.all}
    written |= {text for text in vars(paths).values() if isinstance(text, str)}
    of_one_table = ("calibration", "counterexample", "diagnostics")
    written |= {path for table in of_one_table for path in paths.table.at(table=table).all}
    for path in RULES[1:]:
        contract = path.read_text().split('"""')[1]
        for named in re.findall(r"results/[\w{}./]*[\w{}]", contract):
            assert named in written, f"{path.name}: {named}"
