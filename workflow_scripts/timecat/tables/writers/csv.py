"""Write tables as CSV."""

import csv
import io

from workflow_scripts.timecat.tables.table import Table


def csv_text(table: Table) -> str:
    """Return a header and a line per row of all sections of a table. Fields of missing values are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(name for column in table.columns for name in column.fields)
    for section in table.sections:
        for row in section.rows:
            line: list[str] = []
            for column, value in zip(table.columns, row, strict=True):
                fields = value.fields()
                if len(fields) != len(column.fields):
                    raise ValueError(f"column {column.fields}: a value has the fields {fields}")
                line += fields
            writer.writerow(line)
    return file.getvalue()
