"""Test the probe that is fitted to convergence: scikit-learn agrees; its files; changes that must not matter."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.references.regression import ReferenceRegression
from tests.support import settings as made
from tests.support.probes import data_set, feature_folders, write_index
from workflow_scripts import probe as stage
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.names import EVALUATION, training_file
from workflow_scripts.timecat.features.reader import OnDisk
from workflow_scripts.timecat.probing import job, lbfgs, regression
from workflow_scripts.timecat.probing.probe import Machine, probe_replicate
from workflow_scripts.timecat.probing.protocol import Regression
from workflow_scripts.timecat.probing.regression import regress_replicate
from workflow_scripts.timecat.probing.saved_heads import HeadsFile
from workflow_scripts.timecat.tables.convergence import CONVERGED

GRID = (1e-3, 1e-4, 1e-1)
PROTOCOL = Regression(solver="lbfgs", batch_norm=True, weight_decays=GRID)
VIEWS = ("view0", "view1")
WIDTHS = {"seed2": 14, "seed550": 9}
SEEDS = [2, 550]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data():
    return data_set(classes=6, train=700, evaluation=3000)


@pytest.fixture
def folders(tmp_path, data):
    """Feature folders of two members. Part of the second copies the first, so columns are strongly correlated."""
    folders = feature_folders(tmp_path / "features", data, WIDTHS, VIEWS, noise=2.5)
    for file in folders[1].iterdir():
        second, first = np.load(file), np.load(folders[0] / file.name)
        second[:, :4] = first[:, :4] + 0.05 * second[:, :4]
        np.save(file, second)
    return folders


def run(folders, data, protocol=PROTOCOL, views=VIEWS[:1], machine=Machine()):
    return regress_replicate(0, SEEDS, folders, views, data, protocol, machine)


def side_by_side(folders, name):
    return np.hstack([np.load(folder / name) for folder in folders]).astype(np.float64)


def content(probe):
    heads = [{name: value.tolist() for name, value in head.tensors().items()} for head in probe.heads.values()]
    return probe.metrics, {name: [part.tolist() for part in parts] for name, parts in probe.predictions.items()}, heads


@pytest.mark.parametrize(("views", "batch_norm"), [(1, True), (2, True), (1, False)])
def test_the_fit_equals_scikit_learns(folders, data, views, batch_norm):
    """Losses, accuracies and predicted classes are compared for each fit and weight decay."""
    features = np.vstack([side_by_side(folders, training_file(view)) for view in VIEWS[:views]])
    evaluation, heldout = side_by_side(folders, EVALUATION), side_by_side(folders, "heldout.center.npy")
    for penalty in GRID:
        protocol = replace(PROTOCOL, weight_decays=(penalty,), batch_norm=batch_norm)
        found = run(folders, data, protocol, VIEWS[:views])
        head = found.heads["holdout"]
        for fit, own in data.fits().items():
            rows = np.concatenate([own + view * len(data.train_labels) for view in range(views)])
            labels = np.tile(data.train_labels, views)[rows]
            twin = ReferenceRegression(features[rows], labels, penalty, batch_norm)
            read, truth = (
                (evaluation, data.evaluation_labels) if fit == "full" else (heldout, data.train_labels[data.heldout])
            )
            z = twin.logits(read)
            (row,) = [row for row in found.metrics if row["fit"] == fit and row["split"] != "train"]
            (train,) = [row for row in found.metrics if row["fit"] == fit and row["split"] == "train"]
            assert row["top1"] == pytest.approx(100 * np.mean(z.argmax(1) == truth), abs=0.1)
            wanted = twin.objective(features[rows]) - penalty / 2 * (twin.W**2).sum()
            assert train["loss"] == pytest.approx(wanted, rel=1e-3)
            if fit == "full":
                W = head.weight.double().numpy()
                b = head.bias.double().numpy()
                assert twin.objective(features[rows], W, b) == pytest.approx(twin.objective(features[rows]), abs=1e-5)
                predicted = head.logits(torch.from_numpy(read)).argmax(1).numpy()
                assert np.mean(predicted == z.argmax(1)) >= 0.999


def test_two_classes_have_two_rows_of_weights(tmp_path):
    data = data_set(classes=2, train=300, evaluation=1000)
    folders = feature_folders(tmp_path, data, {"seed2": 8}, noise=4)
    features, penalty = side_by_side(folders, training_file("view0")), 1e-2
    found = regress_replicate(0, [2], folders, ["view0"], data, replace(PROTOCOL, weight_decays=(penalty,)))
    twin, head = ReferenceRegression(features, data.train_labels, penalty), found.heads["paper"]
    np.testing.assert_allclose(head.weight.numpy(), twin.W, atol=2e-4)
    assert twin.objective(features, head.weight, head.bias) == pytest.approx(twin.objective(features), abs=1e-6)


def test_every_head_converges_and_the_metrics_report_its_gradient(folders, data):
    found = run(folders, data)
    told = {(row["fit"], row["split"], row["weight_decay"]): row["relative_gradient"] for row in found.metrics}
    known = {where: value for where, value in told.items() if value is not None}
    assert set(known) == {("full", "train", decay) for decay in GRID}
    assert max(known.values()) < min(CONVERGED, 3 * lbfgs.TOLERANCE)


def test_metrics_have_the_rows_of_an_sgd_probe_with_one_epoch(folders, data):
    sgd = probe_replicate(0, SEEDS, folders, ["view0"], data, made.protocol(epochs=1, weight_decays=GRID))
    names = ("replicate", "members", "weight_decay", "fit", "epoch", "split")
    found = run(folders, data)
    assert [[row[name] for name in names] for row in found.metrics] == [
        [row[name] for name in names] for row in sgd.metrics
    ]
    assert [list(row) for row in found.metrics] == [list(row) for row in sgd.metrics]


def test_predictions_belong_to_the_selected_heads(folders, data):
    found = run(folders, data)
    x = torch.from_numpy(side_by_side(folders, EVALUATION))
    for number, (name, selected) in enumerate(found.selected.items()):
        predicted = found.heads[name].logits(x).argmax(1).numpy()
        assert (predicted == found.predictions["predicted"][number]).all()
        assert 100 * np.mean(predicted == data.evaluation_labels) == pytest.approx(selected.top1)


@pytest.mark.parametrize("views", [1, 2])
def test_features_read_from_disk_give_the_same_bits(tmp_path, views, monkeypatch):
    """Memory ranges from a few rows to everything, including the standardised rows."""
    data = data_set(classes=6, train=300, evaluation=50)
    folders = feature_folders(tmp_path, data, WIDTHS, VIEWS)
    wanted = content(run(folders, data, views=VIEWS[:views]))
    read, before = [], OnDisk.windows
    monkeypatch.setattr(OnDisk, "windows", lambda table, order: read.append(len(order)) or before(table, order))
    for memory, reads in ((2_000, True), (10_000, True), (10**6, False)):
        read.clear()
        assert content(run(folders, data, views=VIEWS[:views], machine=Machine(memory=memory))) == wanted, memory
        assert bool(read) == reads


def test_the_path_of_the_search_does_not_change_the_minimum(folders, data, monkeypatch):
    """Searches begin at zero or at the next larger weight decay's solution, with a long or a short history."""
    wanted = run(folders, data).metrics
    monkeypatch.setattr(lbfgs, "HISTORY", 4)
    alone = [run(folders, data, replace(PROTOCOL, weight_decays=(decay,))).metrics for decay in GRID]
    for row in wanted:
        (other,) = [
            one for rows in alone for one in rows if all(one[n] == row[n] for n in ("fit", "split", "weight_decay"))
        ]
        assert other["loss"] == pytest.approx(row["loss"], abs=2e-4)


def test_held_out_rows_do_not_change_the_evaluated_heads(folders, data):
    before = {
        row["weight_decay"]: row["loss"]
        for row in run(folders, data).metrics
        if (row["fit"], row["split"]) == ("nine_tenths", "train")
    }
    for folder in folders:
        features = np.load(folder / training_file("view0"))
        features[data.heldout] = 1
        np.save(folder / training_file("view0"), features)
    after = {
        row["weight_decay"]: row["loss"]
        for row in run(folders, data).metrics
        if (row["fit"], row["split"]) == ("nine_tenths", "train")
    }
    assert after == before


def command_line(tmp_path, folders, data, name, protocol):
    words = {
        "replicates": json.dumps([SEEDS]),
        "train-index": write_index(tmp_path / "train.parquet", data.train_labels),
        "evaluation-index": write_index(tmp_path / "evaluation.parquet", data.evaluation_labels),
        "views": json.dumps(VIEWS),
        "protocol": protocol,
        "heldout": '{"seed": 1, "fraction": 0.2}',
        "torch-threads": 1,
        "gpus": 0,
        "memory-gb": 1,
        "metrics": tmp_path / f"{name}.parquet",
        "predictions": tmp_path / f"{name}.predictions.parquet",
        "heads": tmp_path / f"{name}.heads.safetensors",
    }
    return [
        "probe",
        "--features",
        *map(str, folders),
        *(str(word) for key, value in words.items() for word in (f"--{key}", value)),
    ]


def test_the_stage_writes_the_files_of_a_probe(tmp_path, folders, data, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("one", "two"):
        monkeypatch.setattr(sys, "argv", command_line(tmp_path, folders, data, name, canonical_json(PROTOCOL)))
        stage.main()
    for ending in ("parquet", "predictions.parquet", "heads.safetensors"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    heads = HeadsFile(tmp_path / "one.heads.safetensors")
    predictions = pq.read_table(tmp_path / "one.predictions.parquet").to_pandas()
    x = torch.from_numpy(side_by_side(folders, EVALUATION))
    for selection, own in predictions.groupby("selection"):
        assert (heads.head(0, selection).logits(x).argmax(1).numpy() == own["predicted"]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"solver": "newton", "batch_norm": true, "weight_decays": [0.1]}', "`solver` is 'newton'"),
        ('{"solver": "lbfgs", "weight_decays": [0.1]}', "`batch_norm` is missing"),
        ('{"lr": 0.1}', "`seed` is missing"),
        ("{", "not JSON"),
    ],
)
def test_a_wrong_protocol_is_refused_by_the_stage(tmp_path, folders, data, monkeypatch, capsys, text, message):
    monkeypatch.setattr(sys, "argv", command_line(tmp_path, folders, data, "one", text))
    with pytest.raises(SystemExit):
        stage.main()
    assert message in capsys.readouterr().err


def test_a_regression_that_does_not_fit_the_gpu_is_refused():
    regression.check_device(10**10, 6, 100, 2048)
    with pytest.raises(UserError, match="^a regression of 8142 classes x 10240 features with 3 weight decays needs"):
        regression.check_device(10**10, 3, 8142, 10240)
    assert job.Regression is Regression
