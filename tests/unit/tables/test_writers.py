"""The writers print the columns, values and notes of one table as CSV, Markdown and LaTeX."""

from dataclasses import dataclass

import pytest

from workflow_scripts.timecat.tables.model import Interval, Summary
from workflow_scripts.timecat.tables.table import (
    Column,
    Count,
    Difference,
    Measured,
    Numbers,
    Symbol,
    Table,
    Term,
    Text,
    section_of,
    table_of,
)
from workflow_scripts.timecat.tables.writers.csv import csv_text
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text


@dataclass(frozen=True)
class Line:
    name: str
    summary: Summary
    gap: Interval | None


LINES = [
    Line("a_1", Summary(50.0, 1.5, 3), Interval(2.0, 1.0, 3.0)),
    Line("b|2", Summary(60.0, None, 1), Interval(-1.0, None, None)),
    Line("c", Summary(60.001, 0.5, 3), None),
]
COLUMNS = [
    Column("na_me", ("method",), lambda line: Text(line.name), align="left"),
    Column("top % 1", ("x", "x_std"), lambda line: Measured(line.summary), mark="published", best_is_bold=True),
    Column("gap", ("gap", "low", "high"), lambda line: Difference(line.gap)),
]
TABLE = Table(
    tuple(COLUMNS),
    (section_of(COLUMNS, LINES, "selection", "paper", "the best"),),
    "mine",
    caption=("Mean ± deviation over ", Symbol("n"), "."),
    remark=(" More.",),
    column_notes=((Term("na_me"), " is a name."),),
    row_notes=(("Weights of R&D_2.",),),
    background=(" Views: 4.",),
)


def test_the_csv_has_a_header_and_all_fields():
    assert csv_text(TABLE).splitlines() == [
        "method,x,x_std,gap,low,high",
        "a_1,50.00,1.50,2.00,1.00,3.00",
        "b|2,60.00,,-1.00,,",
        "c,60.00,0.50,,,",
    ]


def test_the_markdown_has_caption_notes_and_table():
    assert markdown_text(TABLE).splitlines() == [
        "Mean ± deviation over n. More. Views: 4.",
        "",
        "**na\\_me** is a name.",
        "",
        "**Selection `paper`**: the best.",
        "",
        "| na\\_me | top % 1 (published) | gap |",
        "| --- | ---: | ---: |",
        "| a\\_1 | 50.00 ± 1.50 | +2.00 (+1.00 to +3.00) |",
        "| b\\|2 | **60.00** | -1.00 |",
        "| c | **60.00** ± 0.50 |  |",
        "",
        "- Weights of R&D\\_2.",
    ]


def test_the_latex_has_a_tabular_and_a_caption_with_the_notes():
    lines = tex_text(TABLE).splitlines()
    assert lines[3:15] == [
        r"  \begin{tabular}{lrr}",
        r"    \toprule",
        r"    na\_me & top \% 1 & gap \\",
        r"     & \emph{published} &  \\",
        r"    \midrule",
        r"    \multicolumn{3}{l}{\emph{selection paper}} \\",
        r"    a\_1 & 50.00 {\scriptsize $\pm$ 1.50} & +2.00 (+1.00 to +3.00) \\",
        r"    b\textbar{}2 & \textbf{60.00} & -1.00 \\",
        r"    c & \textbf{60.00} {\scriptsize $\pm$ 0.50} &  \\",
        r"    \bottomrule",
        r"  \end{tabular}",
        r"  \caption{Mean $\pm$ deviation over $n$. Selection paper: the best. na\_me is a name. Weights of R\&D\_2. Views: 4.}",
    ]
    assert lines[15] == r"  \label{tab:mine}"


def test_missing_values_are_empty_in_a_csv():
    assert Numbers((None, float("nan"), 0.5), ".1f").fields() == ("", "", "0.5")
    assert Count(None).fields() == ("",) and Count(None).shown().text == "–" and Count(4500).shown().text == "4,500"
    assert Measured(None).fields() == ("", "") and Measured(None).shown().text == ""


def test_a_value_with_more_fields_than_its_column_is_refused():
    with pytest.raises(ValueError, match=r"column \('x',\): a value has the fields \('60.00', ''\)"):
        csv_text(table_of([Column("", ("x",), lambda line: Measured(line.summary))], LINES[1:2]))
