"""List the source files that a stage runs. Rules take them as input, so an edit re-runs the stage and its dependents.

Snakemake compares such small inputs by content, so a fresh clone or a ``touch`` does not cause re-runs. Resume files of
long jobs carry a digest of the same files (code_fingerprint).
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import digest
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError

PACKAGE = "workflow_scripts"

# Files that stages import but that do not affect any output, each with the reason. After an edit of these files no
# stage re-runs and resume files stay valid. Add a file only after checking that none of the values that it returns or
# sets reaches a result. A file that is imported only through these files is left out, too; a test checks that it is
# listed.
NO_BYTE = {
    "workflow_scripts/timecat/runtime/progress.py": "it counts calls and writes to standard error; all of its methods return "
    "None, and stages read nothing from it",
    "workflow_scripts/timecat/runtime/forkserver/client.py": "it passes a stage's command line to the server, and the "
    "fork imports the stage's modules again; tests/end_to_end/test_equal_runs.py checks that outputs are equal with "
    "and without it",
    "workflow_scripts/timecat/artifacts/project.py": "it returns the project's folder and ends a stage that runs the "
    "code of another folder; none of its values reaches a result",
    "workflow_scripts/timecat/artifacts/source_code.py": "it lists files and computes no result; if its list changes, "
    "the inputs of rules and the fingerprints of resume files change with it",
}


def code_of(stage: str, root: Path | None = None) -> list[str]:
    """Return the sorted paths, relative to the root, of a stage's script and of every project module that it imports.

    Imports inside functions count. Imports for type checkers (``if TYPE_CHECKING:``), empty ``__init__.py`` files and
    the files in NO_BYTE do not count. Raise UserError if the stage does not exist or a file has a relative import.
    """
    return sorted(_closure(stage, root or ROOT, frozenset(NO_BYTE)))


def code_fingerprint(stage: str) -> str:
    """Return a digest of the source of every file that code_of lists for a stage."""
    return digest({file: (ROOT / file).read_text() for file in code_of(stage)})


def _closure(stage: str, root: Path, left_out: frozenset[str]) -> set[str]:
    """Return the paths of a stage's script and of the modules that it imports, directly or indirectly.

    left_out: paths of files that are not followed. A module that only these files import is left out, too.
    """
    if _path_of(f"{PACKAGE}.{stage}", root) is None:
        raise UserError(
            f"there is no stage {stage!r}: {PACKAGE}/{stage}.py does not exist; correct the stage's name in the rule"
        )
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
    """Return the dotted names that a file imports. ``from a import b`` gives a and a.b, which may be a module."""
    names = []
    for node in _running(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise UserError(
                    f"{path}, line {node.lineno}: relative import; write the module's full name, beginning with {PACKAGE}, "
                    "because re-runs are decided by full names"
                )
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all nodes below it, except the bodies of ``if TYPE_CHECKING:``."""
    yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children = node.orelse
    for child in children:
        yield from _running(child)
