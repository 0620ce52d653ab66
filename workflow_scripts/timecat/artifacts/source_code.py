"""Which files of this repository a stage runs: rules list them as input, so an edit re-runs that stage and what follows.

Snakemake compares such small inputs by content, so a fresh clone or a ``touch`` re-runs nothing. Resume files of long jobs are
kept under a digest of the same files (code_fingerprint).
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError

PACKAGE = "workflow_scripts"

# Files that stages import and that change no byte of any output, each with the reason: an edit of them re-runs nothing and
# resume files stay valid. Whoever adds one shows that no value which they return or set reaches a number. What they import
# does not count through them; a test sees to it that it counts otherwise or is listed too.
NO_BYTE = {
    "workflow_scripts/timecat/runtime/progress.py": "it counts calls and writes to standard error; all of its methods return "
    "None, and stages read nothing from it",
    "workflow_scripts/timecat/runtime/forkserver/client.py": "it passes a stage's command line on, and the fork imports the "
    "stage's own modules afresh; tests/end_to_end/test_equal_runs.py holds the bytes equal with and without it",
    "workflow_scripts/timecat/artifacts/project.py": "it says where the project's folder is and ends a stage that runs another "
    "folder's code; no value of it reaches a number",
    "workflow_scripts/timecat/artifacts/source_code.py": "it says which code counts and computes nothing of a result; where "
    "its answer changes, the inputs of rules and the fingerprints of resume files change by themselves",
}


def code_of(stage: str, root: Path | None = None) -> list[str]:
    """Return paths, relative to the root and sorted, of the stage's script and every module of this repository it imports.

    Imports inside functions count; imports for type checkers alone (``if TYPE_CHECKING:``), empty ``__init__.py`` files and
    the files of NO_BYTE do not. UserError where there is no such stage or a module is imported relatively.
    """
    return sorted(_closure(stage, root or ROOT, frozenset(NO_BYTE)))


def code_fingerprint(stage: str) -> str:
    """Return a digest of the source of every file that code_of lists for a stage."""
    return digest({file: (ROOT / file).read_text() for file in code_of(stage)})


def _closure(stage: str, root: Path, left_out: frozenset[str]) -> set[str]:
    """Paths of a stage's script and the modules that it imports, without those that are left out and what only they import."""
    if _path_of(f"{PACKAGE}.{stage}", root) is None:
        raise UserError(f"there is no stage {stage!r}: {PACKAGE}/{stage}.py does not exist; correct the rule")
    pending, found = [f"{PACKAGE}.{stage}"], set()
    while pending:
        module = pending.pop()
        path = _path_of(module, root)
        if path is None or path in found or path in left_out:
            continue
        found.add(path)
        parts = module.split(".")
        pending += [".".join(parts[:depth]) for depth in range(1, len(parts))]
        pending += _imports(root / path)
    return {path for path in found if (root / path).name != "__init__.py" or (root / path).stat().st_size}


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
    for node in _running(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise UserError(
                    f"{path}, line {node.lineno}: relative import; write the module's full name, beginning with {PACKAGE}, "
                    "since re-runs are decided by it"
                )
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, without what stands in ``if TYPE_CHECKING:``."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = node.orelse
    for child in children:
        yield from _running(child)
