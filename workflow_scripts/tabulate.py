"""Stage tabulate: probes of all (arm, data set) to the study's table (CSV, Markdown, LaTeX), figure and metrics."""

from pathlib import Path

from workflow_scripts.timecat import figures, tables
from workflow_scripts.timecat.artifacts import atomic_path, write_bytes
from workflow_scripts.timecat.command import json_value, log, log_start_up, parser, run


def main() -> None:
    """Read the command line and write all outputs."""
    command = parser(__doc__)
    command.add_argument("--probes", nargs="+", required=True, metavar="PARQUET", help="one per (arm, data set)")
    command.add_argument(
        "--cells",
        type=json_value,
        required=True,
        metavar="JSON",
        help='[{"arm", "data_set"}, ...], in the order of --probes',
    )
    command.add_argument(
        "--arms",
        type=json_value,
        required=True,
        metavar="JSON",
        help='[{"name", "members", "steps", "transfer"}, ...], the rows in order',
    )
    command.add_argument(
        "--data-sets",
        type=json_value,
        required=True,
        metavar="JSON",
        help='[{"name", "title", "in_distribution", "views"}, ...], the columns in order',
    )
    command.add_argument(
        "--style",
        type=json_value,
        required=True,
        metavar="JSON",
        help='{"width_per_panel", "height"} of a panel, in inches',
    )
    for output in ("csv", "markdown", "tex", "svg", "metrics"):
        command.add_argument(f"--{output}", required=True, metavar="PATH", help=f"output: {output}")
    given = command.parse_args()

    log_start_up()
    probes = tables.read_probes(given.probes, given.cells, given.arms, given.data_sets)
    rows = tables.table_rows(probes, given.arms, given.data_sets)
    write_metrics(given.metrics, tables.metrics_table(probes, given.arms))
    write_bytes(given.svg, draw(rows, given.data_sets, given.style, Path(given.svg).parent))
    write_bytes(given.tex, tables.tex_text(rows, given.data_sets).encode())
    write_bytes(given.markdown, tables.markdown_text(rows, given.data_sets).encode())
    write_bytes(given.csv, tables.csv_text(rows, given.data_sets).encode())
    log(f"{len(given.arms)} arms on {len(given.data_sets)} data sets: {given.csv}")


def write_metrics(path, metrics) -> None:
    """Write the long table as Parquet, atomically."""
    import pyarrow.parquet

    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(metrics, temporary, compression="zstd")


def draw(rows, data_sets, style: dict, folder: Path) -> bytes:
    """The figure (SVG)."""
    with figures.private_matplotlib(folder):
        return figures.members_figure(rows, data_sets, style)


if __name__ == "__main__":
    run(main)
