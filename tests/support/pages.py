"""Read the project's Markdown pages: their prose, headings and links."""

import re
from functools import cache
from pathlib import Path

from tests.support.names import project_files

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return the paths of the project's Markdown pages."""
    return [path for path in project_files() if path.suffix == ".md"]


def prose(text: str) -> str:
    """Return the text of a page without its code blocks."""
    return FENCED.sub("", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings in a page's text, as GitHub makes them."""
    found: dict[str, int] = {}
    for title in HEADING.findall(prose(text)):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, 0) + 1
    return {f"{anchor}-{number}" if number else anchor for anchor, count in found.items() for number in range(count)}


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """Return the anchors of the headings of a page, given its path."""
    return frozenset(anchors(path.read_text()))


def broken_links(text: str, page: Path) -> list[str]:
    """Return the targets of broken links in the text of a page; links to other sites are not checked."""
    broken = []
    for target in LINK.findall(prose(text)):
        if re.match(r"\w+:", target):
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        found = anchors(text) if path == page else anchors_of(path) if anchor and path.suffix == ".md" else set()
        if (place and not path.exists()) or (anchor and anchor not in found):
            broken.append(target)
    return broken
