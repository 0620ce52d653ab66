"""Find names of modules, functions and files in docstrings, comments and pages that do not exist in the project."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

from tests.support.studies import ROOT

FOLDERS = ("workflow_scripts", "tests", "benchmarks")
DOTTED = re.compile(r"(?<![\w./{-])([a-z_]\w*(?:\.[A-Za-z_]\w*)+)")
SUFFIXES = frozenset({"csv", "def", "json", "md", "parquet", "py", "sif", "smk", "svg", "tsv", "yaml"})
# Keys of published files, and names from other projects.
FOREIGN = {"category_id", "retry_if_failed", "schedule_free_adamw_v2", "imagenet_resnet"}
FOREIGN_FILES = {"uv.toml"}
# A path without placeholders and with a suffix that no result has. A bare NAME.md is left out: it may be a table.
FILE = re.compile(
    r"(?<![\w./{}*<~$-])((?:\.{1,2}/)*(?:[\w.-]+/)*[a-z_][\w-]*\.(?:py|smk|yaml|toml|def|md\.j2)|(?:[\w.-]+/)+[\w-]+\.md)"
    r"(?![\w{*]|\.\w)"
)
PLACES = ("benchmarks", "config", "containers", "docs", "envs", "profiles", "rules", "tests", "workflow_scripts")
QUOTED = re.compile(r"(?<!`)`{1,2}([a-z]+(?:_[a-z0-9]+)+)`{1,2}(?!`)")


@cache
def modules() -> dict[str, list[Path]]:
    """Return the project's Python files by each of their dotted names: complete, or without leading packages."""
    found: dict[str, list[Path]] = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for start in range(len(parts)):
            found.setdefault(".".join(parts[start:]), []).append(path)
    return found


def files() -> list[Path]:
    """Return the project's Python files."""
    return sorted(set().union(*modules().values()))


@cache
def project_files() -> tuple[Path, ...]:
    """Return the paths of the project's files, without results and data."""
    inside = [path for place in PLACES for path in (ROOT / place).rglob("*") if "__pycache__" not in path.parts]
    return tuple(path for path in [*ROOT.iterdir(), ROOT / "results/README.md", *inside] if path.is_file())


@cache
def ends_of_paths() -> frozenset[str]:
    """Return the paths of the project's files relative to its root and to each folder that contains them."""
    parts = [path.relative_to(ROOT).parts for path in project_files()]
    return frozenset("/".join(path[start:]) for path in parts for start in range(len(path)))


def missing_files(text: str) -> list[str]:
    """Return the files that a text names but the project does not have."""
    found = [re.sub(r"^(\.{1,2}/)+", "", name) for name in FILE.findall(text)]
    return [name for name in found if name not in ends_of_paths() | FOREIGN_FILES and not name.startswith("results/")]


def remarks(path: Path) -> list[str]:
    """Return the docstrings and comments of a file."""
    text = path.read_text()
    found = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = (ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, documented))
    return found + [text for text in docstrings if text]


@cache
def code_names(path: Path) -> frozenset[str]:
    """Return every word of a file's code and strings, without its docstrings and comments."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return frozenset(re.findall(r"\w+", ast.unparse(tree)))


@cache
def known_names() -> frozenset[str]:
    """Return every word of the project's code, its rules and its configs."""
    others = [*ROOT.glob("rules/*"), ROOT / "Snakefile", *ROOT.glob("config/*.yaml"), *ROOT.glob("config/schemas/*")]
    words = {word for path in others for word in re.findall(r"\w+", path.read_text())}
    return frozenset(words.union(*(code_names(path) for path in files())))


@cache
def settings_of(block: str) -> frozenset[str]:
    """Return all keys on the reference page of the config if ``block`` is one of its blocks, or else an empty set.

    A block of the config may have the same name as a module.
    """
    text = (ROOT / "docs/reference/configuration.md").read_text()
    headed = re.search(rf"^### .*`{block}`", text, re.MULTILINE)
    return frozenset(re.findall(r"`(\w+)`", text)) if headed else frozenset()


def unknown(remark: str) -> list[str]:
    """Return the names in a docstring or comment that do not exist: `a_b` in no code, or module.name in no module."""
    found = [name for name in QUOTED.findall(remark) if name not in known_names() | FOREIGN and name not in modules()]
    for name in DOTTED.findall(remark):
        module, _, last = name.rpartition(".")
        if module in modules() and name not in modules() and not last.isupper():  # a placeholder: data_sets.NAME
            # The words of all modules of that name, and the keys of a block of the config with the same name.
            words = SUFFIXES.union(*(code_names(path) for path in modules()[module]), settings_of(module))
            if last not in words:
                found.append(name)
    return found
