"""Tables as LaTeX."""

from workflow_scripts.timecat.tables.table import Phrase, Shown, Table
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
}


def tex_text(table: Table) -> str:
    r"""Return a table environment to \input, labelled tab:NAME; it needs the package booktabs."""
    n_columns = len(table.columns)
    lines = [
        r"% \usepackage{booktabs}; a wide table may want \resizebox{\linewidth}{!}{...} around its tabular",
        r"\begin{table}",
        r"  \centering",
        f"  \\begin{{tabular}}{{{''.join(column.align[0] for column in table.columns)}}}",
        r"    \toprule",
        _line([_escaped(column.title) for column in table.columns]),
    ]
    if any(column.mark for column in table.columns):
        lines.append(_line([f"\\emph{{{column.mark}}}" if column.mark else "" for column in table.columns]))
    for section in table.sections:
        lines.append(r"    \midrule")
        lines.append(f"    \\multicolumn{{{n_columns}}}{{l}}{{\\emph{{{section.kind} {section.name}}}}} \\\\")
        lines += [_line([_cell(*cell) for cell in row]) for row in table.shown(section)]
    sentences = [table.caption]
    sentences += [(f"{each.kind.capitalize()} {each.name}: {each.meaning}.",) for each in table.sections]
    sentences += [*table.column_notes, *table.row_notes]
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}",
        f"  \\caption{{{' '.join(map(_phrase, sentences))}{_phrase(table.background)}}}",
        f"  \\label{{tab:{table.name}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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
