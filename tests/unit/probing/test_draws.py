"""Test that each replicate of a few-shot data set with several draws trains as on a data set with its draw only."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import settings as made
from tests.support.probes import feature_folders
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.probing import reweighting_job
from workflow_scripts.timecat.probing.probe import EVALUATION, HELDOUT, DataSet, Machine, probe_replicate, training_file
from workflow_scripts.timecat.probing.protocol import Reduction, Regression
from workflow_scripts.timecat.probing.regression import regress_replicate
from workflow_scripts.timecat.probing.replicates import read_data_set
from workflow_scripts.timecat.probing.reweighting_settings import Reweighting

pytestmark = pytest.mark.usefixtures("one_thread")

VIEWS, SEEDS, WIDTHS = ("view0", "view1"), [2, 550], {"seed2": 7, "seed550": 5}
SHARE = Heldout(seed=1, fraction=0.2)
SGD = made.protocol(seed=7, weight_decays=(1e-3, 0.5), epochs=3, batch_size=16, lr=0.05)
LBFGS = Regression(solver="lbfgs", batch_norm=True, weight_decays=(1e-3, 1e-1))


def index(path: Path, labels, draws=None, **columns) -> Path:
    """Write an index and return its path.

    draws: whether a draw has a row, bool [rows, draws].
    """
    table = {"row": np.arange(len(labels)), "label": labels, **columns}
    if draws is not None:
        table["draws"] = [np.flatnonzero(row).tolist() for row in draws]
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture
def few(tmp_path):
    """Data set with two draws that share rows, its features, and for each draw a data set with only its rows."""
    random = np.random.default_rng(3)
    labels, truth = random.integers(0, 4, 120), random.integers(0, 4, 40)
    place = random.integers(0, 2, 120)
    drawn = random.random((120, 2)) < 0.6
    drawn[0] = [True, False]  # so that the rows of the second draw have other numbers in the file
    evaluation = index(tmp_path / "evaluation.parquet", truth)
    data = read_data_set(index(tmp_path / "train.parquet", labels, drawn, place=place), evaluation, SHARE)
    folders = feature_folders(tmp_path / "all", data, WIDTHS, VIEWS)
    alone = []
    for number, mask in enumerate(drawn.T):
        rows = np.flatnonzero(mask)
        path = index(tmp_path / f"draw{number}.parquet", labels[rows], place=place[rows])
        own = read_data_set(path, evaluation, SHARE)
        held = np.searchsorted(data.heldout, rows[own.heldout])
        assert np.array_equal(data.heldout[held], rows[own.heldout])
        mine = []
        for folder in folders:
            mine.append(tmp_path / f"draw{number}" / folder.name)
            mine[-1].mkdir(parents=True)
            np.save(mine[-1] / EVALUATION, np.load(folder / EVALUATION))
            np.save(mine[-1] / HELDOUT, np.load(folder / HELDOUT)[held])
            for view in VIEWS:
                np.save(mine[-1] / training_file(view), np.load(folder / training_file(view))[rows])
        alone.append((mine, own))
    return folders, data, alone


def content(probe):
    heads = [{name: value.tolist() for name, value in head.tensors().items()} for head in probe.heads.values()]
    return probe.metrics, {name: [part.tolist() for part in parts] for name, parts in probe.predictions.items()}, heads


@pytest.mark.parametrize("memory", [float("inf"), 2000.0])
@pytest.mark.parametrize(
    "protocol", [SGD, LBFGS, replace(SGD, reduce=Reduction(method="pca", dimensions=6))], ids=["sgd", "lbfgs", "pca"]
)
def test_a_probe_equals_one_on_its_draw_alone_bit_for_bit(few, protocol, memory):
    folders, data, alone = few
    probe = regress_replicate if isinstance(protocol, Regression) else probe_replicate
    for replicate in (0, 1, 3):
        found = probe(replicate, SEEDS, folders, VIEWS, data, protocol, Machine(memory=memory))
        own_folders, own = alone[replicate % 2]
        assert content(found) == content(probe(replicate, SEEDS, own_folders, VIEWS, own, protocol))


def test_held_out_rows_belong_to_the_draw(few):
    _, data, alone = few
    for replicate in range(4):
        own, draw = data.of_replicate(replicate), data.draws[replicate % 2]
        assert np.isin(draw.heldout, draw.rows).all() and np.array_equal(own.in_file(own.heldout), draw.heldout)
        assert own.heldout.tolist() == alone[replicate % 2][1].heldout.tolist()
        assert own.in_file(own.fits()["nine_tenths"]).tolist() == np.setdiff1d(draw.rows, draw.heldout).tolist()
    assert data.heldout.tolist() == sorted({row for draw in data.draws for row in draw.heldout.tolist()})


def test_every_replicate_has_the_classes_of_all_draws():
    labels = np.array([0, 0, 1, 1, 2, 2])
    draws = [(np.arange(4), np.array([0, 2])), (np.arange(2, 6), np.array([2, 4]))]
    data = DataSet(
        train_labels=labels,
        evaluation_labels=np.array([0, 1]),
        evaluation_rows=np.arange(2),
        heldout=np.array([0, 2, 4]),
        draws=draws,
    )
    assert [data.of_replicate(replicate).classes for replicate in (0, 1)] == [3, 3]


def test_a_reweighted_last_layer_equals_one_fitted_on_its_draw_alone(tmp_path, few):
    folders, data, alone = few
    settings = Reweighting(c=[1.0, 0.1], resamples=2, seed=3, groups=["place"])
    place = pq.read_table(tmp_path / "train.parquet")["place"].to_numpy()

    def two_classes(path):
        table = pq.read_table(path)
        return pq.write_table(table.set_column(1, "label", pa.array(table["label"].to_numpy() % 2)), path)

    for name in ("train", "evaluation", "draw0", "draw1"):
        two_classes(tmp_path / f"{name}.parquet")

    def reweighted(name, own_folders, replicates):
        """Run the stage reweight on the named index; return its metrics and predictions."""
        files = {end: str(tmp_path / f"{name}.{end}.parquet") for end in ("metrics", "predictions")}
        reweighting_job.run(
            reweighting_job.Options(
                features=[str(folder) for own in own_folders for folder in own],
                replicates=replicates,
                train_index=str(tmp_path / f"{name}.parquet"),
                evaluation_index=str(tmp_path / "evaluation.parquet"),
                views=list(VIEWS),
                settings=settings,
                **files,
            )
        )
        return pq.read_table(files["metrics"]).to_pylist(), pq.read_table(files["predictions"]).to_pylist()

    assert len(place) == 120
    metrics, predictions = reweighted("train", [folders] * 3, [SEEDS, SEEDS, SEEDS])
    for replicate in range(3):
        own, _ = alone[replicate % 2]
        mine = reweighted(f"draw{replicate % 2}", [own], [SEEDS])
        for found, wanted in zip((metrics, predictions), mine, strict=True):
            assert [row for row in found if row["replicate"] == replicate] == [
                row | {"replicate": replicate} for row in wanted
            ]
    assert json.loads((tmp_path / "train.predictions.parquet.json").read_text())["inputs"]["train_index"]
