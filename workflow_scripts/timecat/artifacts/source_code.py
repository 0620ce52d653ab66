"""Which files of this repository a stage runs: rules list them as input, so an edit re-runs that stage and what follows.

Snakemake compares such small inputs by content, so a fresh clone or a ``touch`` re-runs nothing.
"""

import ast
from functools import cache
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import digest

PACKAGE = "workflow_scripts"


def code_of(stage: str, root: Path | None = None) -> list[str]:
    """Paths, relative to the root and sorted, of the stage's script and every module of this repository it imports.

    Imports inside functions count; so do the ``__init__.py`` of the packages on the way.
    """
    root = root or Path(__file__).resolve().parents[3]
    pending, found = [f"{PACKAGE}.{stage}"], set()
    while pending:
        module = pending.pop()
        path = _path_of(module, root)
        if path is None or path in found:
            continue
        found.add(path)
        parts = module.split(".")
        pending += [".".join(parts[:depth]) for depth in range(1, len(parts))]
        pending += _imports(root / path)
    return sorted(found)


def code_fingerprint(stage: str) -> str:
    """Digest of the source of every file of this repository that a stage runs."""
    root = Path(__file__).resolve().parents[3]
    return digest({file: (root / file).read_text() for file in code_of(stage)})


def _path_of(module: str, root: Path) -> str | None:
    if module.split(".")[0] != PACKAGE:
        return None
    stem = module.replace(".", "/")
    for path in (f"{stem}.py", f"{stem}/__init__.py"):
        if (root / path).is_file():
            return path
    return None


@cache
def _imports(path: Path) -> list[str]:
    """Dotted names that a file imports; ``from a import b`` counts as a and as a.b, which may be a module."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names
