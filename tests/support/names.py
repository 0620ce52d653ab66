"""Names of the project's modules and of what they define, as docstrings and comments mention them."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

from tests.support.studies import ROOT

FOLDERS = ("workflow_scripts", "tests", "benchmarks")
DOTTED = re.compile(r"(?<![\w./{-])([a-z_]\w*(?:\.[A-Za-z_]\w*)+)")
SUFFIXES = frozenset({"csv", "json", "md", "parquet", "py", "smk", "svg", "tsv", "yaml"})
FOREIGN = {"category_id"}  # keys of files that others publish
QUOTED = re.compile(r"(?<!`)`{1,2}([a-z]+(?:_[a-z0-9]+)+)`{1,2}(?!`)")


@cache
def modules() -> dict[str, list[Path]]:
    """Return the project's Python files by each of their dotted names: whole, or with leading packages left out."""
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
    """Return every word of a file's code and texts, without its docstrings and comments."""
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
    """Return every key of the config's reference: a block may have a module's name. Empty for other names."""
    text = (ROOT / "config/README.md").read_text()
    headed = re.search(rf"^### .*`{block}`", text, re.MULTILINE)
    return frozenset(re.findall(r"`(\w+)`", text)) if headed else frozenset()


def unknown(remark: str) -> list[str]:
    """Return the names in a docstring or comment that lead nowhere: `a_b` that no code has, and module.name without it."""
    found = [name for name in QUOTED.findall(remark) if name not in known_names() | FOREIGN and name not in modules()]
    for name in DOTTED.findall(remark):
        module, _, last = name.rpartition(".")
        if module in modules() and name not in modules():
            # The words of all modules of that name, and what a config's block of the same name may have.
            words = SUFFIXES.union(*(code_names(path) for path in modules()[module]), settings_of(module))
            if last not in words:
                found.append(name)
    return found
