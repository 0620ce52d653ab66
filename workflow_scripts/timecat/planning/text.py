"""Format numbers for readers, and text tables with aligned columns."""

WIDTH = 110  # characters of a line of prose


def count(number: float) -> str:
    """Return a count as text: in full up to a million (12,345), beyond that with two digits (2.3e9)."""
    if number < 999_999.5:
        return f"{round(number):,}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def size(number: float) -> str:
    """Return a number of bytes as text, in decimal units (1 kB is 1,000 B)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.0999 * factor if unit == "TB" else number >= 0.9995 * factor:
            return f"{_short(number / factor)} {unit}"
    return f"{round(number)} B"


def duration(seconds: float, of: str = "") -> str:
    """Return seconds as text: 12 s, 3.4 min, 5.6 h or 78 days. With ``of="GPU"`` units are GPU-s, GPU-days, etc."""
    hyphen = f"{of}-" if of else ""
    for unit, factor, least in (("days", 86400, 2), ("h", 3600, 2), ("min", 60, 2)):
        if seconds >= least * factor:
            return f"{_short(seconds / factor)} {hyphen}{unit}"
    return f"{_short(seconds) if seconds else 0} {hyphen}s"


def ratio(more: float, less: float) -> str:
    """Return the ratio of ``more`` to ``less`` as text ("3.4 x"), or "-" if ``less`` is 0."""
    return f"{_short(more / less)} x" if less else "-"


def table(rows: list[list[str]], left: int = 1) -> str:
    """Return a text table of rows of cells, the first of which is the header. left: number of left-aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _short(number: float) -> str:
    """Return a number with about two significant digits and commas for thousands: 0.73, 3.4, 76, 1,234."""
    if number >= 9.95:
        return f"{number:,.0f}"
    return f"{number:.2f}" if number < 0.995 else f"{number:.1f}"
