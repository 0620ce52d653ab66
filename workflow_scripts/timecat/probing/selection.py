"""Select the head of a replicate to report: by the evaluation split as the paper does, or by held-out training rows.

Both selections take the metrics of ONE replicate as columns, a mapping (a dict of arrays, or a pandas DataFrame) with
weight_decay, fit, epoch, split, top1 (percent) and loss. A loss that is not finite means that the head diverged; such a
head is never selected. ``block`` is the block of the config that the error message names if all heads diverged.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.timecat.errors import UserError

_DIVERGED = (
    "every head diverged (no finite {split} loss of fit {fit}); lower {block}.lr, or leave large values out of"
    " {block}.weight_decays"
)


class Selected(NamedTuple):
    """Selected head: its weight decay, its epoch (counted from 1), and its evaluation top-1 at that epoch (percent)."""

    weight_decay: float
    epoch: int
    top1: float


def paper(metrics: Mapping[str, Any], block: str = "probe") -> Selected:
    """Select the best evaluation top-1 over epochs and weight decays, among heads fitted to all training rows.

    Ties go to the earlier epoch, then to the larger weight decay. Raise UserError if no head has a finite loss.
    """
    rows = _rows(metrics, "full", "evaluation")
    if not rows:
        raise UserError(_DIVERGED.format(split="evaluation", fit="full", block=block))
    best = min(rows, key=paper_order)
    return Selected(best["weight_decay"], best["epoch"], best["top1"])


def paper_order(row: Mapping[str, Any]) -> tuple[float, int, float]:
    """Return the sort key of a head at an epoch (top1, epoch, weight_decay): `paper` selects the smallest."""
    return -row["top1"], row["epoch"], -row["weight_decay"]


def holdout(metrics: Mapping[str, Any], block: str = "probe") -> Selected:
    """Select the weight decay with the best held-out top-1 in the last epoch; report its `full` head in that epoch.

    Ties go to the lower held-out loss, then to the larger weight decay. A weight decay counts only if both of its fits
    end with a finite loss. Raise UserError if none does. A single weight decay that was fitted to all training rows
    only (scoring.needed_fits) is selected without held-out rows.
    """
    last = int(max(metrics["epoch"]))
    full = {row["weight_decay"]: row for row in _rows(metrics, "full", "evaluation") if row["epoch"] == last}
    rows = [row for row in _rows(metrics, "nine_tenths", "heldout") if row["epoch"] == last]
    rows = [row for row in rows if row["weight_decay"] in full]
    if set(metrics["fit"]) == {"full"} and len(set(metrics["weight_decay"])) == 1:
        rows = list(full.values())
    if not rows:
        raise UserError(_DIVERGED.format(split="heldout and evaluation", fit="nine_tenths and full", block=block))
    best = min(rows, key=lambda row: (-row["top1"], row["loss"], -row["weight_decay"]))["weight_decay"]
    return Selected(best, last, full[best]["top1"])


SELECTIONS = {"paper": paper, "holdout": holdout}


def _rows(metrics: Mapping[str, Any], fit: str, split: str) -> list[dict[str, Any]]:
    """Return the rows of a fit and split whose loss is finite, as dicts of Python numbers."""
    columns = {name: np.asarray(metrics[name]) for name in ("weight_decay", "fit", "epoch", "split", "top1", "loss")}
    chosen = (columns["fit"] == fit) & (columns["split"] == split) & np.isfinite(columns["loss"].astype(np.float64))
    numbers = [columns[name][chosen].tolist() for name in ("weight_decay", "epoch", "top1", "loss")]
    return [dict(zip(("weight_decay", "epoch", "top1", "loss"), row)) for row in zip(*numbers)]
