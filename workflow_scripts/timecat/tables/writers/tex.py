"""Write tables as LaTeX."""

from collections.abc import Sequence

from workflow_scripts.timecat.tables.table import Phrase, Section, Shown, Table
from workflow_scripts.timecat.tables.writers.text import escaped, phrase_text

_SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
    "\N{MINUS SIGN}": "$-$",
}


def tex_text(table: Table) -> str:
    r"""Return a table environment to \input, labelled tab:NAME. It needs the package booktabs.

    Sections with different columns from the table's come after the rest, in one tabular per kind.
    """
    lines = [
        r"% needs \usepackage{booktabs}; if the table is too wide, put \resizebox{\linewidth}{!}{...} around a tabular",
        r"\begin{table}",
        r"  \centering",
    ]
    grouped: dict[str, list[Section]] = {}
    for section in table.sections:
        grouped.setdefault(section.kind if section.columns else "", []).append(section)
    for number, sections in enumerate(grouped.values()):
        lines += [r"  \par\medskip"] if number else []
        lines += _tabular(table, sections)
    sentences = [table.caption]
    sentences += [(f"{each.kind.capitalize()} {each.name}: {each.meaning}.",) for each in table.sections]
    sentences += [*table.column_notes, *table.row_notes]
    lines += [
        f"  \\caption{{{' '.join(map(_phrase, sentences))}{_phrase(table.background)}}}",
        f"  \\label{{tab:{table.name}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tabular(table: Table, sections: Sequence[Section]) -> list[str]:
    """Return the lines of a tabular of sections that have the same columns."""
    columns = table.columns_of(sections[0])
    lines = [
        f"  \\begin{{tabular}}{{{''.join(column.align[0] for column in columns)}}}",
        r"    \toprule",
        _line([_escaped(column.title) for column in columns]),
    ]
    if any(column.mark for column in columns):
        lines.append(_line([f"\\emph{{{column.mark}}}" if column.mark else "" for column in columns]))
    for section in sections:
        lines.append(r"    \midrule")
        lines.append(f"    \\multicolumn{{{len(columns)}}}{{l}}{{\\emph{{{section.kind} {section.name}}}}} \\\\")
        lines += [_line([_cell(*cell) for cell in row]) for row in table.shown(section)]
    return [*lines, r"    \bottomrule", r"  \end{tabular}"]


def _escaped(text: str) -> str:
    return escaped(text, _SPECIAL)


def _line(cells: list[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"


def _cell(shown: Shown, bold: bool) -> str:
    text = _escaped(shown.text)
    text = f"\\textbf{{{text}}}" if bold else text
    spread = f" {{\\scriptsize $\\pm$ {shown.spread}}}" if shown.spread else ""
    return text + spread + (f" ({_escaped(shown.aside)})" if shown.aside else "")


def _phrase(phrase: Phrase) -> str:
    return phrase_text(phrase, _escaped, _escaped, lambda letter: f"${letter}$")
