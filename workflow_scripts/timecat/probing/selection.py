"""Which head of a replicate is reported: on the evaluation split as the paper does, or on held-out training rows.

Both take the metrics of ONE replicate as columns, a mapping (a dict of arrays, or a pandas DataFrame) with
weight_decay, fit, epoch, split, top1 (percent) and loss. A row whose loss is not finite is of a head that diverged: it
is never selected. ``block`` of the config is what the error of heads that all diverged names.
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
    """A head, the epoch (from 1) at which it is read, and its evaluation top-1 there (percent)."""

    weight_decay: float
    epoch: int
    top1: float


def paper(metrics: Mapping[str, Any], block: str = "probe") -> Selected:
    """The maximum of the evaluation top-1 over epochs and weight decays, heads fitted to all of train.

    Of equals, the earlier epoch, then the larger weight decay. UserError when no head has a finite loss.
    """
    rows = _rows(metrics, "full", "evaluation")
    if not rows:
        raise UserError(_DIVERGED.format(split="evaluation", fit="full", block=block))
    best = min(rows, key=paper_order)
    return Selected(best["weight_decay"], best["epoch"], best["top1"])


def paper_order(row: Mapping[str, Any]) -> tuple[float, int, float]:
    """What sorts heads at an epoch (top1, epoch, weight_decay) from the one that `paper` takes to the worst."""
    return -row["top1"], row["epoch"], -row["weight_decay"]


def holdout(metrics: Mapping[str, Any], block: str = "probe") -> Selected:
    """The last epoch of the full head whose weight decay does best on held-out rows in the last epoch of nine_tenths.

    Of equals, the lower held-out loss, then the larger weight decay. A weight decay counts only where both of its fits
    end with a finite loss; UserError when there is none. Where there is one weight decay and it was fitted to all of train
    alone (scoring.needed_fits), there is nothing to choose.
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
    """The finite rows of a fit and split, as dicts of Python numbers."""
    columns = {name: np.asarray(metrics[name]) for name in ("weight_decay", "fit", "epoch", "split", "top1", "loss")}
    chosen = (columns["fit"] == fit) & (columns["split"] == split) & np.isfinite(columns["loss"].astype(np.float64))
    numbers = [columns[name][chosen].tolist() for name in ("weight_decay", "epoch", "top1", "loss")]
    return [dict(zip(("weight_decay", "epoch", "top1", "loss"), row)) for row in zip(*numbers)]
