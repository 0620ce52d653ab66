"""Test the file of a probe's selected heads: loaded heads reproduce the reported results bit for bit."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support import settings as made
from tests.support.probes import data_set, feature_folders
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.files import EVALUATION
from workflow_scripts.timecat.probing.heads import StackedHeads
from workflow_scripts.timecat.probing.probe import evaluate, probe_replicate
from workflow_scripts.timecat.probing.saved_heads import BestHead, HeadsFile, SavedHead, saved_head, write_heads
from workflow_scripts.timecat.probing.selection import Selected

SEEDS = [2, 550]
# With this learning rate, some heads are best in early epochs, so `paper` and `holdout` select different epochs.
PROTOCOL = made.protocol(seed=7, weight_decays=(1e-3, 0.5), epochs=5, batch_size=16, lr=0.3)


pytestmark = pytest.mark.usefixtures("one_thread")


def description_of(probe, classes) -> dict:
    heads = {name: selected._asdict() for name, selected in probe.selected.items()}
    return {"classes": classes, "replicates": [{"members": SEEDS, "dimensions": [11, 6], "heads": heads}]}


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("classes", "grid"), [(2, (0.5,)), (2, (1e-3, 0.5)), (6, (0.0, 1e-3, 0.5)), (70, (1e-3, 0.5))])
def test_a_saved_head_reproduces_the_reported_results(tmp_path, classes, grid, batch_norm):
    data = data_set(classes, train=4 * classes + 97)
    folders = feature_folders(tmp_path, data, {"seed2": 11, "seed550": 6})
    protocol = replace(PROTOCOL, weight_decays=grid, batch_norm=batch_norm)
    probe = probe_replicate(0, SEEDS, folders, ["view0"], data, protocol)
    path = tmp_path / "heads.safetensors"
    write_heads(path, {(0, name): head for name, head in probe.heads.items()}, description_of(probe, classes))

    saved = HeadsFile(path)
    features = np.concatenate([np.load(folder / EVALUATION) for folder in folders], axis=1)
    for number, (selection, selected) in enumerate(probe.selected.items()):
        score = evaluate(saved.head(0, selection).stacked(), features, data.evaluation_labels)
        assert score.top1.tolist() == [selected.top1]
        assert np.array_equal(score.predicted[0], probe.predictions["predicted"][number])
        assert np.array_equal(score.probability[0], probe.predictions["probability"][number])
        assert saved.replicates[0]["heads"][selection] == selected._asdict()


def test_paper_and_holdout_select_different_epochs(tmp_path):
    """Without different epochs, the test above could not tell the two selections apart."""
    data = data_set()
    probe = probe_replicate(
        0, SEEDS, feature_folders(tmp_path, data, {"seed2": 11, "seed550": 6}), ["view0"], data, PROTOCOL
    )
    assert probe.selected["paper"].epoch < probe.selected["holdout"].epoch == PROTOCOL.epochs
    assert not torch.equal(probe.heads["paper"].weight, probe.heads["holdout"].weight)
    assert not torch.equal(probe.heads["paper"].running_mean, probe.heads["holdout"].running_mean)


@pytest.mark.parametrize(("classes", "dim"), [(37, 10240), (37, 1023), (3, 25), (2, 2048)])
def test_a_single_head_gives_the_same_bits_as_in_a_stack(classes, dim):
    """The dimensions are odd numbers and those of five real backbones, because MKL's rounding depends on alignment."""
    random = torch.Generator().manual_seed(0)
    heads = StackedHeads(torch.zeros(classes, dim), [0.0] * 3, momentum=0.9, batch_norm=True)
    for part in (heads.W, heads.b, heads.gamma, heads.beta, heads.running_mean):
        part.normal_(generator=random)
    features = torch.randn(65, dim, generator=random)
    together = heads.logits(features)
    for index in range(3):
        assert torch.equal(saved_head(heads, index).logits(features), together[:, index])


def stack(weight=0.0) -> StackedHeads:
    """Return three heads that can be told apart by their weights: weight + index."""
    heads = StackedHeads(torch.zeros(4, 2), [0.1, 0.3, 0.2], momentum=0.9, batch_norm=True)
    for index in range(3):
        heads.W[index] = weight + index
    return heads


def seen(*epochs) -> BestHead:
    """Return the best head after epochs with these scores, [(top1, loss) of each head] per epoch."""
    best = BestHead()
    for epoch, scores in enumerate(epochs, 1):
        top1, loss = np.array(scores, dtype=float).T
        best.see(epoch, SimpleNamespace(top1=top1, loss=loss), stack(10 * epoch), [0.1, 0.3, 0.2])
    return best


@pytest.mark.parametrize(
    ("epochs", "weight_decay", "epoch", "weight"),
    [
        ([[(10, 1), (20, 1), (15, 1)], [(30, 1), (5, 1), (5, 1)]], 0.1, 2, 20),  # the best head
        ([[(30, 1), (5, 1), (5, 1)], [(5, 1), (30, 1), (5, 1)]], 0.1, 1, 10),  # a tie goes to the earlier epoch
        ([[(5, 1), (5, 1), (5, 1)], [(9, 1), (9, 1), (9, 1)]], 0.3, 2, 21),  # then the larger weight decay
        (
            [[(5, 1), (50, np.nan), (4, 1)], [(6, np.inf), (60, np.nan), (3, 1)]],
            0.1,
            1,
            10,
        ),  # a diverged head is not kept
    ],
)
def test_the_kept_head_is_the_one_that_paper_selects(epochs, weight_decay, epoch, weight):
    best = seen(*epochs)
    assert best.of(Selected(weight_decay, epoch, 0.0)).weight.unique().tolist() == [weight]
    with pytest.raises(RuntimeError, match="was kept"):
        best.of(Selected(weight_decay, epoch + 1, 0.0))


def test_further_training_does_not_change_a_saved_head():
    heads = stack()
    head = saved_head(heads, 1)
    before = {name: value.clone() for name, value in head.tensors().items()}
    heads.train_step(torch.randn(8, 2), torch.arange(8) % 4, 0.5)
    assert all(torch.equal(before[name], value) for name, value in head.tensors().items())
    assert not torch.equal(heads.running_mean, head.running_mean)


def random_head(classes=5, dim=7, batch_norm=True) -> SavedHead:
    random = torch.Generator().manual_seed(3)
    vectors = [torch.randn(dim, generator=random) for _ in range(3)] + [torch.rand(dim, generator=random) + 0.5]
    return SavedHead(
        torch.randn(classes, dim, generator=random),
        torch.randn(classes, generator=random),
        *(vectors if batch_norm else []),
    )


@pytest.mark.parametrize("batch_norm", [True, False])
def test_logits_equal_batch_norm_and_a_linear_layer(batch_norm):
    head, features = random_head(batch_norm=batch_norm), torch.randn(9, 7)
    x = features
    if batch_norm:
        x = head.gamma * (x - head.running_mean) / torch.sqrt(head.running_var + 1e-5) + head.beta
    torch.testing.assert_close(head.logits(features), x @ head.weight.T + head.bias)
    torch.testing.assert_close(head.of_classes([3, 1]).logits(features), head.logits(features)[:, [3, 1]])


def test_equal_content_gives_equal_bytes_and_digests(tmp_path):
    head, description = random_head(), {"classes": 5, "replicates": []}
    digests = [
        write_heads(tmp_path / "a", {(0, "paper"): random_head(), (1, "paper"): head}, description),
        write_heads(tmp_path / "b", {(1, "paper"): head, (0, "paper"): random_head()}, description),
        write_heads(tmp_path / "c", {(0, "paper"): random_head(), (1, "paper"): head}, description | {"classes": 6}),
        write_heads(tmp_path / "d", {(0, "paper"): head, (1, "paper"): random_head(dim=8)}, description),
    ]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert digests[0] == digests[1] and len(set(digests)) == 3
    plain = HeadsFile(tmp_path / "a").head(1, "paper").tensors()
    assert plain.keys() == head.tensors().keys()
    assert all(
        torch.equal(plain[name], value) and value.dtype == torch.float32 for name, value in head.tensors().items()
    )


def test_a_wrong_or_missing_file_of_heads_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"no safetensors")
    for name in ("x", "missing"):
        with pytest.raises(UserError, match=f"{name} is not a file of a probe's heads.*run again"):
            HeadsFile(tmp_path / name)
    write_heads(tmp_path / "y", {}, {"classes": 5, "replicates": [{"members": [2], "dimensions": [7], "heads": {}}]})
    HeadsFile(tmp_path / "y").check([[2]], [[7]])
    with pytest.raises(UserError, match=r"members \[\[2\]\], but the features have \[\[3\]\]"):
        HeadsFile(tmp_path / "y").check([[3]], [[7]])
    with pytest.raises(UserError, match=r"dimensions \[\[7\]\], but the features have \[\[8\]\]"):
        HeadsFile(tmp_path / "y").check([[2]], [[8]])
