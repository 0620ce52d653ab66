"""Time the important parts of the workflow and write docs/benchmarks/benchmarks.md (``make bench``).

All sides of a comparison are timed alternately in the same run, and medians are reported. These measurements are not
tests. Each module of SECTIONS has a function ``section()``, which measures and returns its lines of the page.
"""

import argparse
from pathlib import Path

from benchmarks import (
    capacity,
    converged,
    dry_run,
    embedded_study,
    extraction,
    gpu,
    growth,
    loader,
    stacked_heads,
    table_cell,
    views,
)
from benchmarks.timing import machine
from workflow_scripts.timecat.runtime.command import log

PAGE = Path(__file__).resolve().parents[1] / "docs/benchmarks/benchmarks.md"
SECTIONS = {
    "embedded_study": embedded_study,
    "table_cell": table_cell,
    "views": views,
    "stacked_heads": stacked_heads,
    "converged": converged,
    "capacity": capacity,
    "extraction": extraction,
    "loader": loader,
    "growth": growth,
    "dry_run": dry_run,
    "gpu": gpu,
}


def main() -> None:
    """Run all sections and write the page, or run the given sections and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"run and print only these: {', '.join(SECTIONS)}")
    chosen = parser.parse_args().sections
    lines = [
        "# Benchmarks",
        "",
        f"Made by `make bench` on {machine()}",
        "Figures are medians; compared figures were measured in the same run, in turn. Shared machines are noisy, so "
        "ratios are more reliable than seconds.",
    ]
    for name in chosen or SECTIONS:
        log(f"benchmark: {name}")
        lines += ["", *SECTIONS[name].section()]
    if chosen:
        print("\n".join(lines))
    else:
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
