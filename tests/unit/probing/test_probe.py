"""Test the probe of one arm: a plain loop gives the same results; its files; changes that must not matter."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from tests.references.heads import ReferenceHeads
from tests.support import settings as made
from workflow_scripts import probe as stage
from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.artifacts.digests import array_digest, canonical_json
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.reader import OnDisk
from workflow_scripts.timecat.holdout import heldout_rows
from workflow_scripts.timecat.probing import job
from workflow_scripts.timecat.probing.heads import initial_weight
from workflow_scripts.timecat.probing.probe import (
    DataSet,
    Machine,
    batches,
    check_features,
    file_rows,
    probe_replicate,
)

CLASSES, TRAIN, EVALUATION = 6, 97, 41
VIEWS = ["view0", "view1"]
SEEDS = [2, 550]
# 97 rows leave a single row after six batches of 16; epoch 3 returns to the first view, at a lower learning rate.
PROTOCOL = made.protocol(
    seed=7, weight_decays=(1e-3, 0.5), epochs=3, batch_size=16, lr=0.05, lr_milestones=(2,), lr_gamma=0.5
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    train = random.integers(0, CLASSES, TRAIN)
    evaluation = random.integers(0, CLASSES, EVALUATION)
    return DataSet(
        train_labels=train,
        evaluation_labels=evaluation,
        evaluation_rows=np.arange(EVALUATION) + 1000,
        heldout=heldout_rows(train, seed=1, fraction=0.2),
    )


@pytest.fixture
def folders(tmp_path, data):
    """Feature folders of two members of different width."""
    random = np.random.default_rng(1)
    labels = {
        "evaluation.center": data.evaluation_labels,
        "heldout.center": data.train_labels[data.heldout],
        **{f"train.{view}": data.train_labels for view in VIEWS},
    }
    made = []
    for seed, width in zip(SEEDS, (11, 6)):
        made.append(tmp_path / f"seed{seed}")
        made[-1].mkdir()
        means = random.normal(size=(CLASSES, width))
        for name, own in labels.items():
            features = means[own] + random.normal(size=(len(own), width)) * 1.5
            np.save(made[-1] / f"{name}.npy", features.astype(np.float16))
    return made


def run(folders, data, protocol=PROTOCOL, views=VIEWS, replicate=0):
    return probe_replicate(replicate, SEEDS, folders, views, data, protocol)


def rows_of(probe, **wanted):
    return [row for row in probe.metrics if all(row[name] == value for name, value in wanted.items())]


def plain_probe(folders, data, views):
    """Return (fit, epoch) -> loss, top1, top5 of each head on evaluation or held-out rows, and its training top1."""

    def together(name):
        return torch.from_numpy(np.hstack([np.load(folder / f"{name}.npy") for folder in folders])).float()

    labels = torch.from_numpy(data.train_labels)
    everything = np.arange(TRAIN)
    found = {}
    for fit, rows, name, truth in (
        ("full", everything, "evaluation.center", torch.from_numpy(data.evaluation_labels)),
        ("nine_tenths", np.delete(everything, data.heldout), "heldout.center", labels[data.heldout]),
    ):
        weight = initial_weight(randomness.key("head", PROTOCOL.seed, 0), CLASSES, 17, PROTOCOL.init_std)
        heads = ReferenceHeads(weight, PROTOCOL.weight_decays)
        for epoch, (view, lr) in enumerate(zip(views, (0.05, 0.05, 0.025))):
            order = randomness.permutation(randomness.key("probe", PROTOCOL.seed, epoch), rows)
            pieces = [order[i : i + 16] for i in range(0, len(order), 16)]
            if len(pieces[-1]) == 1:
                pieces[-2:] = [np.concatenate(pieces[-2:])]
            x = together(f"train.{view}")
            top1 = sum(heads.train_step(x[piece], labels[piece], lr)[1] for piece in pieces)
            z = heads.logits(together(name))
            scores = []
            for h in range(len(PROTOCOL.weight_decays)):
                best = z[:, h].topk(5).indices == truth[:, None]
                hits = [100 * hit.double().mean().item() for hit in (best[:, 0], best.any(1))]
                scores.append([F.cross_entropy(z[:, h], truth).item(), *hits])
            found[fit, epoch + 1] = scores, (100 * top1.double() / len(rows)).tolist()
    return found


def test_the_probe_equals_a_plain_loop_that_cycles_through_the_views(folders, data):
    probe = run(folders, data)
    assert len(probe.metrics) == 2 * 2 * 3 * 2
    for (fit, epoch), (scores, train) in plain_probe(folders, data, ["view0", "view1", "view0"]).items():
        split = "evaluation" if fit == "full" else "heldout"
        for weight_decay, wanted, wanted_train in zip(PROTOCOL.weight_decays, scores, train):
            where = {"fit": fit, "epoch": epoch, "weight_decay": weight_decay}
            (row,) = rows_of(probe, split=split, **where)
            assert [row["loss"], row["top1"], row["top5"]] == pytest.approx(wanted, rel=1e-5)
            (row,) = rows_of(probe, split="train", **where)
            assert row["top1"] == pytest.approx(wanted_train)
            assert row["replicate"] == 0 and row["members"] == SEEDS


def test_every_epoch_reads_only_its_view(folders, data):
    before = run(folders, data).metrics
    np.save(folders[1] / "train.view1.npy", np.zeros((TRAIN, 6), np.float16))
    after = run(folders, data).metrics
    same = {epoch: all(a == b for a, b in zip(before, after) if a["epoch"] == epoch) for epoch in (1, 2, 3)}
    assert same == {1: True, 2: False, 3: False}


def test_adding_weight_decays_does_not_change_existing_rows(folders, data):
    grids = [(0.5,), (0.5, 1e-3), (1e-3, 0.5, 0.0, 1e-2, 2.0)]
    found = [rows_of(run(folders, data, replace(PROTOCOL, weight_decays=grid)), weight_decay=0.5) for grid in grids]
    assert found[0] == found[1] == found[2]


def content(probe):
    return probe.metrics, {name: [part.tolist() for part in parts] for name, parts in probe.predictions.items()}


@pytest.mark.parametrize("batch_size", [16, 5])
def test_features_read_from_disk_give_the_same_bits(folders, data, batch_size):
    """The windows hold one row, or end inside batches, or (with most memory) only the evaluation rows are not kept."""
    protocol = replace(PROTOCOL, batch_size=batch_size)
    wanted = content(run(folders, data, protocol))
    read, before = [], OnDisk.windows

    def windows(table, order):
        for window in before(table, order):
            read.append(len(window.features))
            yield window

    for memory, largest in ((0, 1), (1000, 4), (2000, 19), (3500, 20), (5300, 29)):
        read.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OnDisk, "windows", windows)
            found = content(probe_replicate(0, SEEDS, folders, VIEWS, data, protocol, Machine(memory=memory)))
        assert found == wanted, memory
        assert max(read) == largest


def test_one_pass_over_a_view_serves_both_fits(folders, data, monkeypatch):
    rows, before = [], OnDisk.windows

    def windows(table, order):
        rows.append(len(order))
        return before(table, order)

    monkeypatch.setattr(OnDisk, "windows", windows)
    probe_replicate(0, SEEDS, folders, VIEWS, data, PROTOCOL, Machine(memory=0))
    gradients = [TRAIN, TRAIN]  # one pass over each of both views at the end
    assert rows == 3 * [TRAIN, EVALUATION, len(data.heldout)] + gradients


def test_the_gradient_is_reported_for_last_and_selected_heads(folders, data):
    """Heads of earlier epochs have no gradient, except for the head that `paper` selects."""
    protocol = replace(PROTOCOL, epochs=5, lr=1.0, lr_milestones=())
    found = run(folders, data, protocol, VIEWS[:1])
    paper = found.selected["paper"]
    assert paper.epoch < 5
    gradients = {
        (row["fit"], row["split"], row["weight_decay"], row["epoch"]): row["relative_gradient"] for row in found.metrics
    }
    told = {where for where, value in gradients.items() if value is not None}
    assert told == {("full", "train", decay, 5) for decay in protocol.weight_decays} | {("full", "train", *paper[:2])}
    short = run(folders, data, replace(protocol, epochs=paper.epoch), VIEWS[:1])
    (row,) = rows_of(short, fit="full", split="train", epoch=paper.epoch, weight_decay=paper.weight_decay)
    assert row["relative_gradient"] == pytest.approx(gradients["full", "train", *paper[:2]], rel=1e-6)


def test_the_initial_weight_differs_only_between_replicates(folders, data):
    first, second = run(folders, data), run(folders, data, replicate=1)
    assert first.metrics == run(folders, data).metrics
    assert [row["loss"] for row in first.metrics] != [row["loss"] for row in second.metrics]


@pytest.mark.parametrize(
    ("rows", "sizes"), [(1, [1]), (2, [2]), (32, [16, 16]), (33, [16, 17]), (34, [16, 16, 2]), (17, [17])]
)
def test_a_last_batch_of_one_row_joins_the_previous_batch(rows, sizes):
    found = batches(rows, 16)
    assert [batch.stop - batch.start for batch in found] == sizes
    assert np.array_equal(np.concatenate([np.arange(rows)[batch] for batch in found]), np.arange(rows))


def test_the_learning_rate_falls_at_each_milestone():
    rates = [made.protocol(seed=0, weight_decays=(0.0,)).learning_rate(epoch) for epoch in range(28)]
    assert rates == pytest.approx([0.01] * 8 + [0.001] * 8 + [1e-4] * 8 + [1e-5] * 4)


def test_predictions_belong_to_the_selected_heads(folders, data):
    probe = run(folders, data)
    columns = {name: np.concatenate(parts) for name, parts in probe.predictions.items()}
    for selection, selected in probe.selected.items():
        own = columns["selection"] == selection
        assert columns["row"][own].tolist() == data.evaluation_rows.tolist()
        assert columns["label"][own].tolist() == data.evaluation_labels.tolist()
        assert 100 * (columns["predicted"] == columns["label"])[own].mean() == pytest.approx(selected.top1)
        assert columns["probability"].dtype == np.float32
        assert (columns["probability"][own] >= 1 / CLASSES - 1e-6).all() and (columns["probability"][own] <= 1).all()
    assert probe.selected["holdout"].epoch == 3


def test_a_diverging_head_is_not_selected(folders, data):
    """The remaining heads are not affected."""
    alone = run(folders, data)
    beside = run(folders, data, replace(PROTOCOL, weight_decays=(1e-3, 1e9, 0.5)))
    assert not math.isfinite(rows_of(beside, weight_decay=1e9, epoch=3, split="evaluation")[0]["loss"])
    assert [row for row in beside.metrics if row["weight_decay"] != 1e9] == alone.metrics
    assert beside.selected == alone.selected


def test_a_probe_whose_heads_all_diverge_is_refused(folders, data):
    with pytest.raises(UserError, match="replicate 0 .*seed2.*every head diverged.*lower probe.lr"):
        run(folders, data, replace(PROTOCOL, weight_decays=(1e20,)))


def test_a_training_split_without_held_out_rows_is_refused(folders, data):
    with pytest.raises(UserError, match="97 rows, 0 of them held out"):
        np.save(folders[0] / "heldout.center.npy", np.zeros((0, 11), np.float16))
        np.save(folders[1] / "heldout.center.npy", np.zeros((0, 6), np.float16))
        run(folders, replace(data, heldout=np.zeros(0, np.int64)))


def test_features_that_do_not_fit_the_index_are_refused(folders, data):
    files = file_rows(data, VIEWS)
    path = folders[1] / "train.view1.npy"
    for features, message in (
        (np.zeros((TRAIN - 1, 6), np.float16), r"seed550/train\.view1\.npy are 96 x 6, .* index has 97 rows"),
        (np.zeros((TRAIN, 5), np.float16), r"seed550/train\.view1\.npy have dimension 5"),
    ):
        np.save(path, features)
        with pytest.raises(UserError, match=message):
            check_features(folders, files)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"seed550/train\.view1\.npy are not a complete"):
        check_features(folders, files)
    path.unlink()
    with pytest.raises(UserError, match=r"seed550/train\.view1\.npy are missing; run the rule extract_features"):
        check_features(folders, files)


def command_line(tmp_path, folders, data, output, memory_gb=2.0):
    for split, labels in (("train", data.train_labels), ("evaluation", data.evaluation_labels)):
        table = pa.table({"row": np.arange(len(labels)), "label": labels, "name": ["x"] * len(labels)})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    protocol = made.protocol(seed=7, weight_decays=(1e-3, 0.5, 1e9), epochs=3, batch_size=16, lr=0.05)
    options = {
        "--replicates": "[[2], [550]]",
        "--train-index": tmp_path / "train.parquet",
        "--evaluation-index": tmp_path / "evaluation.parquet",
        "--views": canonical_json(VIEWS),
        "--protocol": canonical_json(protocol),
        "--heldout": '{"seed": 1, "fraction": 0.2}',
        "--torch-threads": 1,
        "--gpus": 0,
        "--memory-gb": memory_gb,
        "--metrics": tmp_path / f"{output}.parquet",
        "--predictions": tmp_path / f"{output}.predictions.parquet",
        "--heads": tmp_path / f"{output}.heads.safetensors",
    }
    return [str(word) for word in ("--features", *folders, *(word for pair in options.items() for word in pair))]


def test_the_stage_writes_the_same_bytes_in_two_processes(tmp_path, folders, data, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the stage sets it; monkeypatch restores it after the test
    monkeypatch.setattr(sys, "argv", ["probe", *command_line(tmp_path, folders, data, "one")])
    stage.main()
    log = capsys.readouterr().err
    assert "replicate 1 (seeds 550): paper: weight decay" in log
    assert "weight decay 1e+09 diverged, not selected" in log

    # The second process keeps almost no features in memory.
    options = command_line(tmp_path, folders, data, "two", memory_gb=1e-6)
    again = [sys.executable, "-m", "workflow_scripts.probe", *options]
    root = os.path.dirname(os.path.dirname(stage.__file__))
    subprocess.run(again, check=True, cwd=root, capture_output=True)
    heads = (".heads.safetensors", ".heads.safetensors.json")
    for suffix in (".parquet", ".predictions.parquet", ".predictions.parquet.json", *heads):
        one, two = ((tmp_path / f"{run}{suffix}").read_bytes() for run in ("one", "two"))
        assert one == two
        assert str(tmp_path).encode() not in one

    metrics = pq.read_table(tmp_path / "one.parquet")
    assert metrics.num_rows == 2 * 3 * 2 * 3 * 2
    assert metrics.schema.field("members").type == pa.list_(pa.int64())
    assert metrics["members"].to_pylist()[-1] == [550]
    predictions = pq.read_table(tmp_path / "one.predictions.parquet")
    assert predictions.num_rows == 2 * 2 * EVALUATION
    assert predictions.schema.field("probability").type == pa.float32()
    sidecar = read_sidecar(tmp_path / "one.predictions.parquet")
    assert len(sidecar["inputs"]) == 2 + 2 * 4 and sidecar["params"]["torch_threads"] == 1
    assert sidecar["inputs"]["1/550/train.view1.npy"] == array_digest(np.load(folders[1] / "train.view1.npy"))


def test_the_stage_takes_feature_digests_from_their_sidecar(tmp_path, folders, data, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    files = {"train.view0.npy": "digest from the sidecar"}
    write_sidecar(folders[1], content="", params={}, inputs={}, facts={"files": files})
    monkeypatch.setattr(sys, "argv", ["probe", *command_line(tmp_path, folders, data, "one")])
    stage.main()
    inputs = read_sidecar(tmp_path / "one.predictions.parquet")["inputs"]
    assert inputs["1/550/train.view0.npy"] == "digest from the sidecar"
    assert len(inputs["0/2/train.view0.npy"]) == 64


def test_a_missing_file_is_refused_before_training(tmp_path, folders, data, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (folders[1] / "heldout.center.npy").unlink()
    monkeypatch.setattr(sys, "argv", ["probe", *command_line(tmp_path, folders, data, "one")])
    with pytest.raises(UserError, match=r"seed550/heldout\.center\.npy are missing"):
        stage.main()
    assert not (tmp_path / "one.parquet").exists()


def test_a_wrong_number_of_feature_folders_is_refused(tmp_path, folders, data, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["probe", *command_line(tmp_path, folders[:1], data, "one")])
    with pytest.raises(UserError, match="names 1 folders, but --replicates names 2 members"):
        stage.main()


def test_the_stage_respects_its_memory_limit(tmp_path, folders, data, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    read, before = [], OnDisk.windows

    def windows(table, order):
        read.append(len(order))
        return before(table, order)

    monkeypatch.setattr(OnDisk, "windows", windows)
    # Two replicates read three files in each of three epochs, and both views once more.
    for memory_gb, passes in ((1e-3, 0), (1e-9, 2 * (3 * 3 + 2))):
        read.clear()
        options = command_line(tmp_path, folders, data, "one", memory_gb=memory_gb)
        monkeypatch.setattr(sys, "argv", ["probe", *options])
        stage.main()
        assert len(read) == passes


def test_heads_that_do_not_fit_the_gpu_are_refused_before_training(folders, data, monkeypatch):
    """The sizes are computed in features.memory; this test checks its arguments. (No test uses a GPU.)"""
    args = SimpleNamespace(features=folders, replicates=[SEEDS])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=10**9))
    with pytest.raises(UserError, match="^2 weight decays of 6 classes x 17 features, in batches of 16, need 2.1 GB"):
        job.check_device("cuda", args, data, PROTOCOL)
    job.check_device("cpu", args, data, PROTOCOL)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=10**10))
    job.check_device("cuda", args, data, PROTOCOL)
