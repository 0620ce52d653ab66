"""Read the labels that probes and transfers train on, and log the report of each replicate afterwards."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.probing.files import read_index
from workflow_scripts.timecat.runtime import command

if TYPE_CHECKING:
    from workflow_scripts.timecat.probing.scoring import DataSet, Report


def read_data_set(train_index: PathLike, evaluation_index: PathLike, heldout: Heldout) -> "DataSet":
    """Return the scoring.DataSet of a training index and an evaluation index.

    heldout: which training rows to hold out (in every draw, if there are draws).
    """
    from workflow_scripts.timecat.draws import rows_of_draws
    from workflow_scripts.timecat.holdout import heldout_of_any, heldout_rows, with_heldout
    from workflow_scripts.timecat.probing.scoring import DataSet

    _, train_labels = read_index(train_index)
    evaluation_rows, evaluation_labels = read_index(evaluation_index)
    share = heldout.seed, heldout.fraction
    draws = with_heldout(rows_of_draws(train_index), train_labels, *share)
    return DataSet(
        train_labels=train_labels,
        evaluation_labels=evaluation_labels,
        evaluation_rows=evaluation_rows,
        heldout=heldout_of_any(draws) if draws else heldout_rows(train_labels, *share),
        draws=draws,
    )


def log_report(replicate: int, members: Sequence[int], report: "Report") -> None:
    """Log the head that each selection chose in a scoring.Report, and the heads that diverged."""
    chosen = "; ".join(
        f"{name}: weight decay {selected.weight_decay:g}, epoch {selected.epoch}, top-1 {selected.top1:.2f} %"
        for name, selected in report.selected.items()
    )
    command.log(f"replicate {replicate} (seeds {', '.join(map(str, members))}): {chosen}")
    diverged = {(row["fit"], row["weight_decay"]) for row in report.metrics if not math.isfinite(row["loss"])}
    for fit, weight_decay in sorted(diverged):
        command.log(f"replicate {replicate}: the {fit} head with weight decay {weight_decay:g} diverged, not selected")
