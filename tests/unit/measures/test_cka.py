"""Test linear CKA: it equals HSIC's formula for either kind of product and any chunk size, and is invariant."""

import numpy as np
import pytest

from tests.references.cka import linear_cka_reference
from workflow_scripts.timecat.measures import cka
from workflow_scripts.timecat.measures.cka import linear_cka


def members(rows: int, dims=(9, 6, 7), dtype=np.float32) -> list[np.ndarray]:
    """Return sets of features that share three directions and have a mean far from zero."""
    random = np.random.default_rng(0)
    common = random.normal(size=(rows, 3))
    mixed = [common @ random.normal(size=(3, dim)) + random.normal(size=(rows, dim)) + 5 for dim in dims]
    return [features.astype(dtype) for features in mixed]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("rows", "way"), [(5, "_by_images"), (60, "_by_features")])
def test_cka_equals_hsics_formula_from_either_kind_of_product(monkeypatch, rows, way, dtype):
    ways = []
    for name in ("_by_images", "_by_features"):
        real = getattr(cka, name)
        monkeypatch.setattr(cka, name, lambda *args, name=name, real=real: ways.append(name) or real(*args))
    features = members(rows, dtype=dtype)
    found = linear_cka(features)
    assert ways == [way]
    wanted = [[linear_cka_reference(X, Y) for Y in features] for X in features]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert 0.05 < found[0, 1] < 0.95  # not one of the trivial values


@pytest.mark.parametrize("chunk", [1, 7, 60, 1000])
def test_the_size_of_chunks_does_not_change_the_result(chunk):
    features = members(60)
    np.testing.assert_allclose(linear_cka(features, chunk=chunk), linear_cka(features), rtol=1e-12)


def test_products_of_images_and_of_features_agree():
    features = [own.astype(np.float64) for own in members(20)]
    means = [own.mean(0) for own in features]
    one, two = cka._by_images(features, means, "cpu"), cka._by_features(features, means, "cpu", 8)
    np.testing.assert_allclose(one, two, rtol=1e-10)


def test_cka_is_invariant_to_shift_scale_and_rotation():
    X, Y, _ = members(60)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(9, 9)))
    found = linear_cka([X, 3 * X.astype(np.float64) @ rotation - 2, Y])
    assert found[0, 1] == pytest.approx(1) and found[0, 2] == pytest.approx(found[1, 2])
    skewed = X * np.array([100.0] + [1.0] * 8)  # a linear map that is not a rotation
    assert linear_cka([X, skewed])[0, 1] < 0.9


def test_constant_features_have_no_cka():
    X, Y, _ = members(60)
    found = linear_cka([X, np.full_like(Y, 2.0)])
    assert found[0, 0] == pytest.approx(1) and np.isnan(found[0, 1])


def test_features_may_be_mapped_from_disk(tmp_path):
    features = members(60, dtype=np.float16)
    for number, own in enumerate(features):
        np.save(tmp_path / f"{number}.npy", own)
    mapped = [np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(3)]
    assert np.array_equal(linear_cka(mapped), linear_cka(features))
