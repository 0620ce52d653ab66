"""Test the reduction of features: it equals scikit-learn, sees only training rows, and is applied in later stages."""

import dataclasses
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.references.reduction import ReferenceReduction, orthonormal
from tests.references.regression import ReferenceRegression
from tests.support import settings as made
from tests.support.probes import data_set, feature_folders, write_index
from workflow_scripts import evaluate_probe, probe
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features import memory as job_memory
from workflow_scripts.timecat.features import reader
from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT, training_file
from workflow_scripts.timecat.measures.members import diagnose_head
from workflow_scripts.timecat.probing import job, reduction
from workflow_scripts.timecat.probing.heads import BN_EPS
from workflow_scripts.timecat.probing.probe import Machine, probe_replicate
from workflow_scripts.timecat.probing.projection import Projection
from workflow_scripts.timecat.probing.protocol import (
    Reduction,
    Regression,
    any_protocol,
)
from workflow_scripts.timecat.probing.reduction import fitted, random_matrix
from workflow_scripts.timecat.probing.regression import regress_replicate
from workflow_scripts.timecat.probing.saved_heads import HeadsFile

GRID = (1e-3, 1e-4, 1e-1)
VIEWS = ("view0", "view1")
WIDTHS = {"seed2": 14, "seed550": 9}
SEEDS = [2, 550]
METHODS = ("pca", "random")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data():
    return data_set(classes=6, train=700, evaluation=3000)


@pytest.fixture
def folders(tmp_path, data):
    """Feature folders of two members. Part of the second copies the first, and its last column is constant."""
    folders = feature_folders(tmp_path / "features", data, WIDTHS, VIEWS, noise=2.5)
    for file in folders[1].iterdir():
        second, first = np.load(file), np.load(folders[0] / file.name)
        second[:, :4] = first[:, :4] + 0.5 * second[:, :4]
        second[:, 8] = 0.25
        np.save(file, second)
    return folders


def reduced(method="pca", dimensions=7):
    """Return the settings of a reduction."""
    return Reduction(method=method, dimensions=dimensions)


def regression(method="pca", dimensions=7, **changes):
    whole = {"solver": "lbfgs", "batch_norm": True, "weight_decays": GRID, "reduce": reduced(method, dimensions)}
    return Regression(**whole | changes)


def sgd(method="pca", dimensions=7, **changes):
    whole = made.protocol(epochs=3, lr=0.1, weight_decays=GRID, **changes)
    return dataclasses.replace(whole, reduce=reduced(method, dimensions))


def run(folders, data, protocol, views=VIEWS[:1], machine=Machine()):
    """Probe one replicate with the solver of the protocol."""
    what = regress_replicate if isinstance(protocol, Regression) else probe_replicate
    return what(0, SEEDS, folders, views, data, protocol, machine)


def side_by_side(folders, name):
    return np.hstack([np.load(folder / name) for folder in folders]).astype(np.float64)


def content(found):
    heads = [{name: value.tolist() for name, value in head.tensors().items()} for head in found.heads.values()]
    projection = [value.tolist() for value in vars(found.projection).values()]
    return (
        found.metrics,
        {name: [part.tolist() for part in parts] for name, parts in found.predictions.items()},
        heads,
        projection,
    )


def twin_of(folders, data, method, dimensions):
    """Return the reference reduction, fitted to the training rows that are not held out, in the first view."""
    rows = np.setdiff1d(np.arange(len(data.train_labels)), data.heldout)
    return ReferenceReduction(side_by_side(folders, training_file("view0"))[rows], method, dimensions, SEEDS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dimensions", [1, 7, 22])
def test_the_projection_equals_the_reference(folders, data, method, dimensions):
    """Other views and splits are projected, too. 22 of 23 columns vary, so up to 22 components are unique."""
    projection = run(folders, data, regression(method, dimensions), VIEWS).projection
    twin = twin_of(folders, data, method, dimensions)
    np.testing.assert_allclose(projection.matrix.numpy(), twin.matrix, atol=2e-5)
    for name in (training_file("view1"), EVALUATION, HELDOUT):
        x = side_by_side(folders, name)
        np.testing.assert_allclose(projection(torch.from_numpy(x).float()).numpy(), twin(x), atol=1e-4)


def test_principal_components_are_scikit_learns_with_fixed_signs(folders, data):
    matrix = run(folders, data, regression(dimensions=7)).projection.matrix.double().numpy()
    theirs = twin_of(folders, data, "pca", 7).model.components_
    np.testing.assert_allclose(np.abs(np.sum(matrix * theirs, 1)), 1, atol=1e-6)
    assert (matrix[np.arange(7), np.abs(matrix).argmax(1)] > 0).all()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(7), atol=1e-6)
    flipped = [(torch.from_numpy(-side_by_side(folders, training_file("view0"))).float(), None)]
    turned = fitted(reduced(), flipped, SEEDS)[0].matrix
    assert (turned[torch.arange(7), turned.abs().argmax(1)] > 0).all(), "for any signs of the eigenvectors"


def test_the_share_of_the_variance_equals_scikit_learns(folders, data):
    x = side_by_side(folders, training_file("view0"))
    pieces = [(torch.from_numpy(part).float(), None) for part in np.array_split(x, 9)]
    _, share = fitted(reduced(dimensions=5), pieces, SEEDS)
    twin = ReferenceReduction(x, "pca", 5)
    assert share == pytest.approx(twin.model.explained_variance_ratio_.sum(), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_equal_scikit_learns_regression_on_reduced_features(folders, data, method):
    twin, penalty = twin_of(folders, data, method, 7), 1e-3
    found = run(folders, data, regression(method, 7, weight_decays=(penalty,)))
    model = ReferenceRegression(
        twin(side_by_side(folders, training_file("view0"))), data.train_labels, penalty, batch_norm=False
    )
    wanted = model.logits(twin(side_by_side(folders, EVALUATION)))
    assert np.mean(found.predictions["predicted"][0] == wanted.argmax(1)) >= 0.999


@pytest.mark.parametrize("method", METHODS)
def test_reducing_to_all_dimensions_gives_the_unreduced_probe(folders, data, method):
    """A rotation changes neither the cross entropy nor |W|; only the standardisation differs.

    Columns are standardised by the rows that the projection is fitted to, those of the fit `nine_tenths`. So this fit
    is equal to the solver's tolerance. The full fit has the same objective on columns scaled by 1 +- 1/sqrt(held-out
    rows) / 10, which changes the predictions of a few of 3,000 rows.
    """
    found = run(folders, data, regression(method, 23))
    whole = run(folders, data, Regression(solver="lbfgs", batch_norm=True, weight_decays=GRID))
    for own, other in zip(found.metrics, whole.metrics, strict=True):
        close = {"loss": 1e-4, "top1": 0.2} if own["fit"] == "nine_tenths" else {"loss": 5e-3, "top1": 0.5}
        for name, tolerance in close.items():
            assert own[name] == pytest.approx(other[name], abs=tolerance), (own, name)


def test_held_out_and_evaluation_rows_do_not_change_the_projection(folders, data):
    before = run(folders, data, regression(), VIEWS).projection
    for folder in folders:
        for name in (EVALUATION, HELDOUT, training_file("view1")):
            np.save(folder / name, 7 * np.load(folder / name))
        x = np.load(folder / training_file("view0"))
        x[data.heldout] *= 3
        np.save(folder / training_file("view0"), x)
    after = run(folders, data, regression(), VIEWS).projection
    assert all(torch.equal(own, other) for own, other in zip(vars(before).values(), vars(after).values()))


@pytest.mark.parametrize("make", [regression, sgd])
@pytest.mark.parametrize("method", METHODS)
def test_the_memory_limit_does_not_change_the_results(folders, data, monkeypatch, make, method):
    """Features that do not fit are read window by window; covariances and products come from the same pieces."""
    in_memory = content(run(folders, data, make(method), VIEWS))
    windows = []
    seen = reader.OnDisk.windows
    monkeypatch.setattr(reader.OnDisk, "windows", lambda self, order: windows.append(1) or seen(self, order))
    assert content(run(folders, data, make(method), VIEWS, Machine(memory=20_000))) == in_memory
    assert windows


def test_a_smaller_random_projection_is_part_of_a_larger_one():
    """Random projections depend on the seeds of the members."""
    large, small = random_matrix(9, 40, SEEDS), random_matrix(4, 40, SEEDS)
    np.testing.assert_allclose(large[:4], small, atol=1e-12)
    assert not torch.allclose(small, random_matrix(4, 40, [550, 2]))
    np.testing.assert_allclose(orthonormal(small.numpy()), small, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_features_stored_as_float16_or_float32_are_accepted(folders, data, dtype):
    for folder in folders:
        for file in folder.iterdir():
            np.save(file, np.load(file).astype(dtype))
    assert run(folders, data, regression()).projection.matrix.dtype == torch.float32


def test_a_constant_column_has_no_weight_in_the_projection(folders, data):
    matrix = run(folders, data, regression(dimensions=22)).projection.matrix
    assert matrix[:, -1].abs().max() < 1e-6


@pytest.mark.parametrize(("method", "dimensions", "message"), [
    ("pca", 24, "seeds 2, 550: `reduce.dimensions` is 24, but the members have only 23 features together: "
     "lower it to 23 or less"),
    ("random", 24, "the members have only 23 features together"),
])  # fmt: skip
@pytest.mark.parametrize("make", [regression, sgd])
def test_too_many_dimensions_are_refused(folders, data, make, method, dimensions, message):
    with pytest.raises(UserError, match=message):
        run(folders, data, make(method, dimensions))


def test_more_components_than_rows_are_refused():
    with pytest.raises(UserError, match="10 training rows have at most as many principal components"):
        reduction.check_dimensions(reduced(dimensions=11), 64, 10, "seeds 2")
    reduction.check_dimensions(reduced("random", 11), 64, 10, "seeds 2")


def test_principal_components_that_do_not_fit_the_gpu_are_refused():
    assert reduction.room_beside(80 * 10**9, reduced(dimensions=2048), 10240) > 79 * 10**9
    with pytest.raises(
        UserError, match="principal components of 20480 features need 18.9 GB on the GPU, which has 16.0 GB"
    ):
        reduction.room_beside(16 * 10**9, reduced(), 20480)
    reduction.room_beside(16 * 10**9, reduced("random"), 20480)


def test_a_probe_of_reduced_features_needs_less_gpu_memory(folders, data, monkeypatch):
    """Heads of 7 features and the projection fit into memory that is too small for heads of 23 features."""
    given = SimpleNamespace(features=folders, replicates=[SEEDS])
    monkeypatch.setattr(job_memory, "RESERVED_BYTES", 0)
    needed = {dimension: job_memory.device_bytes(len(GRID), data.classes, dimension, 256, 700) for dimension in (7, 23)}
    total = (needed[7] + needed[23]) // 2 + reduction.PIECE * 23 * 8
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=total))
    job.check_device("cuda", given, data, sgd("random"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=total // 2))
    with pytest.raises(UserError, match="x 7 features"):
        job.check_device("cuda", given, data, sgd("random"))


# --- files ---


def stage(tmp_path, monkeypatch, module, folders, **options):
    arguments = [
        "--features",
        *map(str, folders),
        "--replicates",
        json.dumps([SEEDS]),
        "--torch-threads",
        "1",
        "--gpus",
        "0",
    ]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    module.main()


@pytest.fixture
def probed(tmp_path, folders, data, monkeypatch):
    """Function that runs the stage probe with a protocol and returns the path of the heads."""

    def function(protocol, name="one"):
        stage(
            tmp_path,
            monkeypatch,
            probe,
            folders,
            train_index=write_index(tmp_path / "train.parquet", data.train_labels),
            evaluation_index=write_index(tmp_path / "evaluation.parquet", data.evaluation_labels),
            views=json.dumps(["view0"]),
            protocol=canonical_json(protocol),
            heldout='{"seed": 1, "fraction": 0.2}',
            memory_gb=1,
            **{what: tmp_path / f"{name}.{what}" for what in ("metrics", "predictions", "heads")},
        )
        return tmp_path / f"{name}.heads"

    return function


@pytest.mark.parametrize("make", [regression, sgd])
@pytest.mark.parametrize("method", METHODS)
def test_evaluation_applies_the_projection_of_the_probe(tmp_path, folders, data, monkeypatch, probed, make, method):
    """Evaluated on the probe's evaluation rows, the heads give the probe's predictions bit for bit."""
    heads = probed(make(method))
    read = {name: tmp_path / f"read.{name}" for name in ("metrics", "predictions")}
    index = tmp_path / "evaluation.parquet"
    stage(tmp_path, monkeypatch, evaluate_probe, folders, heads=heads, evaluation_index=index, **read)
    own, again = (pq.read_table(path).to_pandas() for path in (tmp_path / "one.predictions", read["predictions"]))
    for name in ("predicted", "probability"):
        assert (own[name].to_numpy() == again[name].to_numpy()).all()


@pytest.mark.parametrize("make", [regression, sgd])
def test_a_head_for_unreduced_features_has_the_same_logits(folders, data, probed, make):
    saved = HeadsFile(probed(make()))
    projection = saved.projection(0)
    x = torch.from_numpy(side_by_side(folders, EVALUATION)).float()
    for selection in ("paper", "holdout"):
        head = saved.head(0, selection)
        whole = head.before(projection)
        np.testing.assert_allclose(whole.logits(x), head.logits(projection(x)), atol=2e-4)
        members = [np.load(folder / EVALUATION) for folder in folders]
        found = diagnose_head(whole, members, data.evaluation_labels)
        z = whole.logits(x).numpy()
        without = x.numpy().copy()
        without[:, :14] = projection.mean[:14]
        z = head.logits(projection(torch.from_numpy(without))).argmax(1).numpy()
        assert found.leave_one_out_accuracy[0] == pytest.approx(100 * np.mean(z == data.evaluation_labels), abs=0.1)


def test_files_of_an_unreduced_probe_do_not_mention_reductions(probed, tmp_path):
    protocol = Regression(solver="lbfgs", batch_norm=True, weight_decays=GRID)
    saved = HeadsFile(probed(protocol))
    assert saved.projection(0) is None and saved.head(0, "paper").before(None) is not None
    told = json.loads((tmp_path / "one.heads.json").read_text())
    assert "reduce" not in json.dumps(told)
    probed(regression(), "other")
    assert json.loads((tmp_path / "other.heads.json").read_text())["config"] != told["config"]


def test_json_protocols_of_both_solvers_are_recognised_by_their_keys():
    for protocol in (
        regression(),
        sgd(),
        Regression(solver="lbfgs", batch_norm=True, weight_decays=GRID),
        made.protocol(),
    ):
        read = any_protocol(canonical_json(protocol))
        assert read == protocol and type(read) is type(protocol)


def test_columns_are_standardised_as_in_batch_norm():
    x = 3 + torch.randn(50, 4)
    projection = Projection(x.mean(0), x.var(0, unbiased=False), torch.eye(4))
    np.testing.assert_allclose(
        projection(x), (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + BN_EPS), atol=1e-5
    )
    assert replace(projection, matrix=torch.ones(2, 4)).dimension == 2
