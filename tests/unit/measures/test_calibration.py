"""Test the statistics of calibration against a plain reference and MCGrad, and the groups and segments of an index."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import kstest
from sklearn.calibration import calibration_curve

from tests.references.calibration import (
    ecce_reference,
    ece_reference,
    p_of_range_reference,
    segments_reference,
    sigma_reference,
    worst_group_reference,
    worst_segment_reference,
)
from workflow_scripts.timecat.measures import calibration
from workflow_scripts.timecat.measures.calibration import measure
from workflow_scripts.timecat.measures.groups import Grouping, by_frequency, groupings, make_segments
from workflow_scripts.timecat.randomness import key, uniform

ROWS = np.arange(600)


def drawn(name: str, rows=ROWS) -> np.ndarray:
    """Return uniform random numbers, which depend only on the name."""
    return uniform(key("example", name), rows)


def example():
    """Return p, y and three groupings of 600 rows; probabilities are too high where a is 1 and b is 0."""
    p = 0.3 + 0.699 * drawn("p")
    columns = {name: (values * drawn(name)).astype(int) for name, values in (("a", 3), ("b", 2), ("c", 3))}
    y = drawn("y") < p - 0.15 * (columns["a"] == 1) * (columns["b"] == 0)
    return p, y.astype(float), columns


def as_groupings(columns) -> list[Grouping]:
    return [Grouping(name, codes, [str(code) for code in range(codes.max() + 1)]) for name, codes in columns.items()]


def measured(p, y, segments, bins=15, draws=1):
    """Return the calibration of predictions whose row numbers are 0, 1, 2, ..."""
    return measure(p, y, np.arange(len(p)), segments, bins, draws)


@pytest.mark.parametrize(("minimum_rows", "depth", "bins"), [(10, 3, 15), (40, 2, 35), (190, 1, 1), (700, 2, 1000)])
def test_statistics_equal_the_plain_reference(minimum_rows, depth, bins):
    p, y, columns = example()
    segments = make_segments(600, as_groupings(columns), minimum_rows, depth)
    plain = segments_reference(600, {name: codes.tolist() for name, codes in columns.items()}, minimum_rows, depth)
    own = {
        name: segments.member[start : start + size].tolist()
        for name, start, size in zip(segments.names, segments.starts, segments.sizes)
    }
    assert own == plain and segments.segment.tolist() == np.repeat(range(len(plain)), segments.sizes).tolist()
    found = measured(p, y, segments, bins)
    sigma, (mce_sigma, worst) = sigma_reference(p), worst_segment_reference(p, y, plain)
    assert found.worst_segment == worst
    wanted = {
        "accuracy": 100 * sum(y) / 600,
        "confidence": 100 * sum(p) / 600,
        "ece": 100 * ece_reference(p, y, bins),
        "ecce_sigma": ecce_reference(p, y) / sigma,
        "ecce_p": p_of_range_reference(ecce_reference(p, y) / sigma),
        "mce_sigma": mce_sigma,
        "mce_p_unadjusted": p_of_range_reference(mce_sigma),
        "mce_abs": 100 * mce_sigma * sigma,
        "minimum_detectable": 500 * sigma,
    }
    assert {name: getattr(found, name) for name in wanted} == pytest.approx(wanted, rel=1e-10)
    if segments.groups:
        assert found.worst_group_accuracy == pytest.approx(100 * worst_group_reference(y, plain))
        assert y[plain[found.worst_group]].mean() == pytest.approx(found.worst_group_accuracy / 100)
    else:
        assert np.isnan(found.worst_group_accuracy) and found.worst_group == ""


# Results of MCGrad 0.1.5 (MIT; tests/references/mcgrad_figures.py computes them again) for example():
# depth, minimum rows -> segments, ECCE of all rows in σ, MCE_σ, MCE_abs, p of all rows, p of the worst segment; minimum
# detectable error; ECE.
MCGRAD = {
    (0, 10): (
        1,
        3.0417784589497177,
        3.0417784589497177,
        0.05418992565443598,
        0.009407387413362112,
        0.009407387413362112,
    ),
    (1, 10): (
        9,
        3.0417784589497177,
        3.4244607527999933,
        0.0610074915399462,
        0.009407387413362112,
        0.002464083203627676,
    ),
    (2, 10): (
        30,
        3.0417784589497177,
        4.417154974973118,
        0.07869254875996613,
        0.009407387413362112,
        4.0003411080791196e-05,
    ),
    (3, 10): (
        48,
        3.0417784589497177,
        4.417154974973118,
        0.07869254875996613,
        0.009407387413362112,
        4.0003411080791196e-05,
    ),
    (3, 40): (
        33,
        3.0417784589497177,
        4.417154974973118,
        0.07869254875996613,
        0.009407387413362112,
        4.0003411080791196e-05,
    ),
}
# Results for many_values(), with each value a segment, and with MCGrad's cap of 3 values: segments, MCE_σ.
MCGRAD_UNCAPPED, MCGRAD_CAPPED = (9, 4.445824394711559), (4, 2.6656714880105374)
# MCGrad's p of these errors in σ; it returns at least 2.2e-16.
MCGRAD_P = {
    0.25: 1.0,
    0.7: 0.9992753191379756,
    1.0: 0.9366354120795494,
    1.6: 0.42741916397945123,
    2.5: 0.04967273618182466,
    3.5: 0.0018610326118073672,
    5.0: 2.2932125749441923e-06,
    7.0: 1.0238587755395656e-11,
}
MCGRAD_DETECTABLE = 0.08907605597474541
MCGRAD_ECE = 0.05249269012942463  # with 6 bins; MCGrad rounds their edges to three digits, which does not matter here


@pytest.mark.parametrize(("depth", "minimum_rows"), list(MCGRAD))
def test_statistics_equal_mcgrads(depth, minimum_rows):
    p, y, columns = example()
    segments = make_segments(600, as_groupings(columns), minimum_rows, depth)
    found = measured(p, y, segments)
    own = len(segments.sizes), found.ecce_sigma, found.mce_sigma, found.mce_abs / 100, found.ecce_p
    assert own == pytest.approx(MCGRAD[depth, minimum_rows][:-1], rel=1e-10)
    assert found.mce_p_unadjusted == pytest.approx(MCGRAD[depth, minimum_rows][-1], rel=1e-10)
    assert found.minimum_detectable / 100 == pytest.approx(MCGRAD_DETECTABLE, rel=1e-10)
    if depth > 1:
        assert found.worst_segment == "a=1 & b=0"
    assert measured(p, y, segments, bins=6).ece / 100 == pytest.approx(MCGRAD_ECE, rel=1e-10)


def many_values():
    """Return p, y and a grouping of eight values of increasing frequency, of which only the second is miscalibrated."""
    p = 0.3 + 0.699 * drawn("p")
    value = np.sqrt(64 * drawn("many")).astype(int)
    return p, (drawn("y") < p - 0.5 * (value == 1)).astype(float), value


def test_rare_values_are_not_merged_as_mcgrad_does_by_default():
    """MCGrad keeps a column's two most frequent values and merges the rest, which hides the miscalibrated value."""
    p, y, value = many_values()
    merged = np.where(value < 6, 0, value - 5)
    for codes, segments_and_error in ((value, MCGRAD_UNCAPPED), (merged, MCGRAD_CAPPED)):
        segments = make_segments(600, as_groupings({"many": codes}), 5, 1)
        found = measured(p, y, segments)
        assert (len(segments.sizes), found.mce_sigma) == pytest.approx(segments_and_error, rel=1e-10)
        assert (found.worst_segment == "many=1" and found.mce_p_unadjusted < 0.01) == (codes is value)


def test_the_p_of_a_range_equals_the_reference_and_mcgrad():
    """The reference sums a different series. Both return 1 for ranges that never occur, and a small p precisely."""
    for x in np.linspace(0.05, 6, 120):
        assert calibration.p_of_range(x) == pytest.approx(p_of_range_reference(x), rel=1e-9, abs=1e-14)
    for x, p in MCGRAD_P.items():
        assert calibration.p_of_range(x) == pytest.approx(p, rel=1e-9, abs=1e-15)
    assert calibration.p_of_range(0.0) == 1 and calibration.p_of_range(float("inf")) == 0
    assert 0 < calibration.p_of_range(20.0) < 1e-80  # MCGrad returns 2.2e-16 here


def of_simulations(number: int, rows: int, off: float = 0.0, draws: int = 39):
    """Return measurements of many sets of labels, drawn from the probabilities, minus ``off`` in one of three groups.

    Each set has different row numbers, so that the draws in `measure` differ, too.
    """
    generator = np.random.default_rng(16)
    p, group = 0.2 + 0.7 * generator.random(rows), np.arange(rows) % 3
    segments = make_segments(rows, as_groupings({"group": group, "half": np.arange(rows) // 3 % 2}), 10, 2)
    labels = [generator.random(rows) < p - off * (group == 1) for _ in range(number)]
    numbers = np.arange(number * rows).reshape(number, rows)
    return [measure(p, y.astype(float), own, segments, 5, draws) for y, own in zip(labels, numbers)]


def test_p_values_are_uniform_under_perfect_calibration():
    """The p of ECCE is uniform in the limit of many rows, the p of MCE always; MCGrad's p of MCE is not uniform."""
    assert kstest([one.ecce_p for one in of_simulations(400, 3000, draws=1)], "uniform").pvalue > 0.01
    many = of_simulations(300, 300)
    spread = [one.mce_p - (number % 10 + 0.5) / 400 for number, one in enumerate(many)]  # between the steps of 1 / 40
    assert kstest(spread, "uniform").pvalue > 0.01
    assert np.mean([one.mce_p <= 0.05 for one in many]) == pytest.approx(0.05, abs=0.035)
    assert np.mean([one.mce_p_unadjusted <= 0.05 for one in many]) > 0.15
    assert len({one.mce_p for one in many}) == 40 and min(one.mce_p for one in many) == 1 / 40


def test_p_values_are_small_where_a_group_is_miscalibrated():
    """Predictions of a third of the rows are too confident; the p of all rows is larger than the p of the segments."""
    many = of_simulations(60, 900, off=0.15)
    assert np.mean([one.mce_p == 1 / 40 for one in many]) > 0.9
    assert np.median([one.mce_p_unadjusted for one in many]) < 0.001 < np.median([one.ecce_p for one in many])


@pytest.mark.parametrize("bins", [1, 5, 6, 15, 40])
def test_ece_equals_scikit_learns_with_quantile_bins(bins):
    """scikit-learn's quantiles give the same bins if the number of rows is a multiple of the number of bins."""
    p, y, _ = example()
    of_labels, of_probabilities = calibration_curve(y, p, n_bins=bins, strategy="quantile")
    ece = measured(p, y, make_segments(600, [], 10, 1), bins).ece
    assert len(of_labels) == bins and ece == pytest.approx(100 * np.abs(of_labels - of_probabilities).mean(), rel=1e-10)


def test_calibrated_errors_are_the_mean_under_perfect_calibration():
    """Errors of labels drawn from the probabilities agree with ``*_calibrated``; errors of the example are larger."""
    p, y, columns = example()
    segments = make_segments(600, as_groupings(columns), 40, 2)
    many = [measured(p, drawn(f"y{number}") < p, segments) for number in range(60)]
    said = measured(p, y, segments, draws=200)
    for name in ("ece", "mce_sigma"):
        values = [getattr(one, name) for one in many]
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - getattr(said, f"{name}_calibrated")) < 4 * error
        assert getattr(said, name) > getattr(said, f"{name}_calibrated")
    # The expected error depends only on the probabilities.
    assert measured(p, 1 - y, segments, draws=200).ece_calibrated == said.ece_calibrated


def test_the_order_of_rows_does_not_change_the_statistics():
    """Rows with equal probabilities are included; networks often give many that are close to 1."""
    _, y, columns = example()
    p = np.round(0.3 + 0.699 * drawn("p"), 1)
    assert len(np.unique(p)) < 10
    order = np.argsort(drawn("order"))
    of = as_groupings({name: codes[order] for name, codes in columns.items()})
    one = measure(p, y, ROWS, make_segments(600, as_groupings(columns), 40, 2), 15, 3)
    two = measure(p[order], y[order], ROWS[order], make_segments(600, of, 40, 2), 15, 3)
    numbers = [{name: value for name, value in vars(of).items() if isinstance(value, float)} for of in (one, two)]
    assert len(numbers[0]) == 13 and numbers[0] == pytest.approx(numbers[1], rel=1e-10)
    assert (one.worst_group, one.worst_segment) == (two.worst_group, two.worst_segment)


def test_an_error_of_certain_predictions_is_infinite_in_units_of_sigma():
    sigma = np.array([0.0, 0.0, 0.1])
    assert calibration.in_units_of(sigma, np.array([0.0, 0.2, 0.2])).tolist() == [0.0, np.inf, 2.0]


def index(labels, class_names, **columns) -> pa.Table:
    own = {"row": range(len(labels)), "label": labels, "class_name": class_names, "source": ["x"] * len(labels)}
    return pa.table({name: list(values) for name, values in (own | columns).items()})


def test_columns_with_a_single_value_are_not_groupings():
    """In a part of a data set, the column `component` has the same value in all rows."""
    names = ["x/a", "y/b", "x/a", "y/b"]
    train = index([0, 1], ["x/a", "y/b"])
    (place,) = groupings(index([0, 1, 0, 1], names, component=[0] * 4, place=[1, 1, 2, 2]), train)
    assert place.name == "place"
    alone = groupings(index([0, 1, 0, 1], names, component=[0] * 4), train)
    assert [one.name for one in alone] == ["class", "superclass"], "as for an index without group columns"


def test_group_columns_of_the_index_are_the_groupings():
    evaluation = index(
        [0, 1, 0, 1], ["x/a", "y/b", "x/a", "y/b"], place=["land", None, "sea", "land"], site=[7, 7, 9, 7]
    )
    place, site = groupings(evaluation, index([0, 1], ["x/a", "y/b"]))
    assert (place.name, place.values[place.codes[1]], len(place.values)) == ("place", "None", 3)
    assert [site.values[code] for code in site.codes] == ["7", "7", "9", "7"]
    segments = make_segments(4, [place, site], 2, 2)
    assert dict(zip(segments.names, segments.sizes.tolist())) == {
        "all rows": 4,
        "place=land": 2,
        "site=7": 3,
        "place=land & site=7": 2,
    }
    assert segments.groups == 2


def test_without_group_columns_classes_define_the_groupings():
    """The groupings are the class, its superclass and its frequency."""
    labels, names = [0, 1, 2, 3, 3], ["birds/1", "birds/2", "fungi/3", "fungi/4", "fungi/4"]
    train = index([0] * 9 + [1] * 5 + [2] * 4 + [3] * 2, ["x"] * 20)
    found = {one.name: [one.values[code] for code in one.codes] for one in groupings(index(labels, names), train)}
    assert found == {
        "class": names,
        "superclass": ["birds", "birds", "fungi", "fungi", "fungi"],
        "training rows": ["frequent", "middle", "rare", "rare", "rare"],
    }
    even = index([0, 1, 2, 3], ["x"] * 4)
    flat = groupings(index(labels, [name[-1] for name in names]), even)
    assert [one.name for one in flat] == ["class"]  # no folders, and all classes equally frequent


def test_a_class_without_training_rows_is_rare():
    found = by_frequency(np.array([5, 0]), np.array([0, 0, 0, 1, 2, 2]))
    assert [found.values[code] for code in found.codes] == ["rare", "frequent"]
