"""Test the selections: the best head, ties, and heads that diverged."""

import numpy as np
import pytest

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.selection import holdout, paper


def columns(evaluation, heldout):
    """Return metrics from {weight decay: [(top1, loss) of each epoch]}: full on evaluation, nine_tenths on heldout."""
    rows = []
    for fit, split, table in (("full", "evaluation", evaluation), ("nine_tenths", "heldout", heldout)):
        for weight_decay, epochs in table.items():
            for epoch, (top1, loss) in enumerate(epochs, 1):
                rows.append((weight_decay, fit, epoch, split, top1, loss))
                rows.append((weight_decay, fit, epoch, "train", 100.0, 0.0))  # must be ignored
    names = ("weight_decay", "fit", "epoch", "split", "top1", "loss")
    return {name: list(values) for name, values in zip(names, zip(*rows))}


def test_paper_selects_the_maximum_over_epochs_and_weight_decays():
    metrics = columns({0.1: [(10, 1), (30, 1), (20, 1)], 0.2: [(5, 1), (29, 1), (29, 1)]}, {0.1: [(99, 1)] * 3})
    assert paper(metrics) == (0.1, 2, 30.0)


def test_ties_of_paper_go_to_the_earlier_epoch():
    """Ties within an epoch go to the larger weight decay."""
    assert paper(columns({0.1: [(9, 5), (9, 1)], 0.2: [(1, 1), (9, 1)]}, {})) == (0.1, 1, 9.0)
    assert paper(columns({0.1: [(9, 1)], 0.3: [(9, 1)], 0.2: [(9, 1)]}, {})) == (0.3, 1, 9.0)


def test_holdout_reads_the_last_epoch_of_the_full_head():
    evaluation = {0.1: [(90, 1), (40, 1)], 0.2: [(95, 1), (50, 1)]}
    heldout = {0.1: [(10, 1), (61, 1)], 0.2: [(99, 1), (60, 1)]}
    assert holdout(columns(evaluation, heldout)) == (0.1, 2, 40.0)


def test_ties_of_holdout_go_to_the_lower_loss():
    """Ties of the loss go to the larger weight decay."""
    evaluation = {0.1: [(1, 1)], 0.2: [(2, 1)], 0.3: [(3, 1)]}
    assert holdout(columns(evaluation, {0.1: [(9, 1)], 0.2: [(9, 0.5)], 0.3: [(9, 2)]})) == (0.2, 1, 2.0)
    assert holdout(columns(evaluation, {0.2: [(9, 1)], 0.3: [(9, 1)], 0.1: [(9, 1)]})) == (0.3, 1, 3.0)


def test_holdout_selects_a_single_weight_decay_without_held_out_rows():
    assert holdout(columns({0.1: [(90, 1), (40, 1)]}, {})) == (0.1, 2, 40.0)
    with pytest.raises(UserError, match="every head diverged"):
        holdout(columns({0.1: [(90, 1), (40, float("nan"))]}, {}))
    with pytest.raises(UserError, match="every head diverged"):  # two weight decays need the fit `nine_tenths`
        holdout(columns({0.1: [(40, 1)], 0.2: [(40, 1)]}, {}))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_head_that_diverged_is_never_selected(loss):
    evaluation = {0.1: [(10, 1), (20, 1)], 0.2: [(15, 1), (90, loss)], 0.3: [(5, 1), (6, 1)]}
    heldout = {0.1: [(5, 1), (30, 1)], 0.2: [(5, 1), (60, 1)], 0.3: [(5, 1), (70, loss)]}
    assert paper(columns(evaluation, heldout)) == (0.1, 2, 20.0)
    assert holdout(columns(evaluation, heldout)) == (0.1, 2, 20.0)


def test_selecting_among_heads_that_all_diverged_is_refused():
    dead = {0.1: [(10, float("nan"))], 0.2: [(10, float("inf"))]}
    for select in (paper, holdout):
        with pytest.raises(UserError, match="every head diverged.*lower probe.lr"):
            select(columns(dead, {0.1: [(1, 1)], 0.2: [(1, 1)]}))
    with pytest.raises(UserError, match="nine_tenths"):
        holdout(columns({0.1: [(1, 1)]}, {0.1: [(10, float("nan"))]}))


def test_columns_may_be_arrays_or_a_data_frame():
    pandas = pytest.importorskip("pandas")
    metrics = columns({0.1: [(10, 1), (30, 1)], 0.2: [(5, 1), (29, 1)]}, {0.1: [(1, 1)] * 2, 0.2: [(2, 1)] * 2})
    for kind in (pandas.DataFrame, lambda lists: {name: np.array(values) for name, values in lists.items()}):
        assert paper(kind(metrics)) == (0.1, 2, 30.0)
        assert holdout(kind(metrics)) == (0.2, 2, 29.0)
