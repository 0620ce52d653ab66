"""The study's table as LaTeX."""

from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.tables import evaluations
from workflow_scripts.timecat.tables.accuracies import MEANINGS, columns_of, data_cells, escaped
from workflow_scripts.timecat.tables.arms import fixed_cells, fixed_titles, notes
from workflow_scripts.timecat.tables.notes import views_note

_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "–": "--",
}


def _tex_line(cells) -> str:
    return "    " + " & ".join(cells) + r" \\"


def tex_text(rows, data_sets, name: str = "timecat") -> str:
    r"""A table environment to \input, with both selections, labelled tab:{name}; needs the package booktabs."""
    columns = columns_of(rows, data_sets)
    header = fixed_titles(rows, r"members $\times$ steps")
    n_fixed, n_columns = len(header), len(header) + len(columns)
    header += [escaped(data_set["title"], _TEX) for data_set, _ in columns]
    marks = [
        r"\emph{published}" if published else r"\emph{in distribution}" if data_set["in_distribution"] else ""
        for data_set, published in columns
    ]
    lines = [
        r"% \usepackage{booktabs}; a wide table may want \resizebox{\linewidth}{!}{...} around its tabular",
        r"\begin{table}",
        r"  \centering",
        f"  \\begin{{tabular}}{{l{'r' * (n_columns - 1)}}}",
        r"    \toprule",
        _tex_line(header),
    ]
    if any(marks):
        lines.append(_tex_line([""] * n_fixed + marks))
    for selection in SELECTIONS:
        lines.append(r"    \midrule")
        lines.append(f"    \\multicolumn{{{n_columns}}}{{l}}{{\\emph{{selection {selection}}}}} \\\\")
        for row in rows:
            line = [escaped(text, _TEX) for text in fixed_cells(row, rows)]
            line += data_cells(row, rows, columns, selection, r"\textbf{{{}}}", r" {{\scriptsize $\pm$ {}}}")
            lines.append(_tex_line(line))
    sentences = [f"Selection {selection}: {meaning}." for selection, meaning in MEANINGS.items()]
    sentences += [escaped(note, _TEX) for note in evaluations.notes(data_sets)]
    sentences += notes(rows, lambda name: escaped(name, _TEX), dash="--")
    caption = (
        "Top-1 accuracy in percent, mean $\\pm$ standard deviation over $n$ replicates (no $\\pm$ where $n$ is 1). "
        f"Bold: the best mean of a column. {' '.join(sentences)}{escaped(views_note(data_sets, [row.arm for row in rows]), _TEX)}"
    )
    lines += [
        r"    \bottomrule",
        r"  \end{tabular}",
        f"  \\caption{{{caption}}}",
        f"  \\label{{tab:{name}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
