"""Find habits of language that make this project's texts hard to read; ``make lint`` runs it.

The list is short and by example: phrases that earlier versions overused, and docstrings whose first line does not say what
the thing is or does.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.names import project_files
from tests.support.studies import ROOT

# A pattern, and what to write in its place.
PHRASES = {
    r"\bof (its|their|his|one's) own\b": "leave it out, or say what is separate",
    r"\bstands? (there|in the (table|config|README|page))\b": "say 'is'",
    r"\b(is|are|was|were) asked for\b": "say who requests it",
    r"\bmend(s|ed|ing)?\b": "say 'fix' or 'repair'",
    r"\bso many\b": "say 'that many', or name the number",
    r"\bthere twice\b": "say 'duplicate'",
    r"\banew\b": "say 'again'",
    r"\b(goes|go|gone|going|went) on (with|from|to the end|where)\b": "say 'continue' or 'resume'",
}
# First words of a docstring that leave its subject to the reader's guess.
OPENINGS = r"(Of|The same|What|How|Which|Where|That|So that|As|Its|It|Their|They|From|By|With)\b"
# This file quotes what it looks for; the page is generated from results.
LEFT_OUT = {
    ROOT / "tests/support/language.py",
    ROOT / "tests/unit/test_language.py",
    ROOT / "docs/results/all_tables.md",
}
TEXTS = {".md", ".smk", ".yaml", ".yml", ".def", ".j2", ".cff"}


def main() -> None:
    found = [habit for path in project_files() if path not in LEFT_OUT for habit in habits(path)]
    for habit in found:
        print(habit)
    if found:
        sys.exit(f"{len(found)} phrases to rewrite (tests/support/language.py says why)")


def habits(path: Path) -> list[str]:
    """Return what to rewrite in a file, as lines "path:line: phrase: advice"."""
    if path.suffix == ".py":
        found = python_habits(path.read_text())
    elif path.suffix in TEXTS or path.name in ("Snakefile", "Makefile", "setup"):
        found = phrases(path.read_text(), 1)
    else:
        return []
    return [f"{path.relative_to(ROOT)}:{line}: {said}" for line, said in found]


def python_habits(source: str) -> list[tuple[int, str]]:
    """Return (line, phrase and advice) for the docstrings, comments and strings of a Python file."""
    found = [(line, said) for start, text in texts(source) for line, said in phrases(text, start)]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            opening = re.match(OPENINGS, ast.get_docstring(node) or "")
            if opening:
                advice = "begin with what the thing is or does"
                found.append((node.body[0].lineno, f"docstring begins with {opening[0]!r}: {advice}"))
    return sorted(set(found))


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield (first line, text) of each comment and string of a Python file."""
    comments: list[tuple[int, str]] = []  # lines of comments that follow each other are one text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if comments and token.start[0] != comments[-1][0] + 1:
                yield comments[0][0], "\n".join(text for _, text in comments)
                comments = []
            comments.append((token.start[0], token.string))
        elif token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            yield token.start[0], token.string
    if comments:
        yield comments[0][0], "\n".join(text for _, text in comments)


def phrases(text: str, first: int) -> list[tuple[int, str]]:
    """Return (line, phrase and advice) for a text whose first line has the number ``first``. Line breaks count as spaces."""
    found = []
    for pattern, advice in PHRASES.items():
        for match in re.finditer(pattern.replace(" ", r"\s+(?:# )?"), text, re.IGNORECASE):
            said = " ".join(match[0].split())
            found.append((first + text.count("\n", 0, match.start()), f"{said!r}: {advice}"))
    return found


if __name__ == "__main__":
    main()
