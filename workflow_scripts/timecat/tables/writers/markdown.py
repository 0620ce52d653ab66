"""Write tables as Markdown, in GitHub's syntax for tables."""

from workflow_scripts.timecat.tables.table import Phrase, Section, Shown, Table
from workflow_scripts.timecat.tables.writers.text import escaped, phrase_text

_SPECIAL = {letter: f"\\{letter}" for letter in "\\|*_`<>[]"}


def markdown_text(table: Table) -> str:
    """Return a page: caption, notes on columns, each section's description and table, and a list of notes on rows."""
    parts = [_phrase(table.caption + table.remark + table.background) + "\n"]
    parts += [_phrase(note) + "\n" for note in table.column_notes]
    for section in table.sections:
        parts.append(f"**{section.kind.capitalize()} `{section.name}`**: {section.meaning}.\n")
        columns = table.columns_of(section)
        rules = ["---" if column.align == "left" else "---:" for column in columns]
        head = [escaped(column.title, _SPECIAL) + (f" ({column.mark})" if column.mark else "") for column in columns]
        parts.append("".join(f"{line}\n" for line in (_line(head), _line(rules), *_lines(table, section))))
    parts += [f"- {_phrase(note)}\n" for note in table.row_notes]
    return "\n".join(parts)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _lines(table: Table, section: Section) -> list[str]:
    return [_line([_cell(*cell) for cell in row]) for row in table.shown(section)]


def _cell(shown: Shown, bold: bool) -> str:
    text = escaped(shown.text, _SPECIAL)
    text = f"**{text}**" if bold else text
    spread = f" ± {shown.spread}" if shown.spread else ""
    return text + spread + (f" ({shown.aside})" if shown.aside else "")


def _phrase(phrase: Phrase) -> str:
    def escape(text: str) -> str:
        return escaped(text, _SPECIAL)

    return phrase_text(phrase, escape, lambda word: f"**{escape(word)}**", str)
