"""Tests of benchmarks.views at small scale: lines differ only in views or batch size; bounds of losses hold."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from benchmarks import views
from tests.support.studies import values_of
from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.checkpoints.files import write_weights
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.features.names import training_file
from workflow_scripts.timecat.probing import probe

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = {"train": 160, "evaluation": 120}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Config and folder of a small study with four untrained networks."""
    values = values_of("config/tiny.yaml")
    values["data_sets"] |= {"digits": {"kind": "digits"}, "cue0": {"kind": "cues", "label": "cue0", "rows": ROWS}}
    values["pretrain"]["seeds"] = [2, 550, 23, 477]
    values["probe"] |= {"lr": 0.1, "weight_decays": [0.001, 0.01]}
    config, folder = read_config(values, []), tmp_path_factory.mktemp("study")
    for seed, path in views.checkpoints(folder, config).items():
        path.parent.mkdir(parents=True)
        backbone = config.backbones[str(config.backbone)].settings()
        torch.manual_seed(seed)
        write_weights(path, Classifier(build_backbone(backbone), 16), {"backbone": vars(backbone)})
    return config, folder


def test_the_study_has_the_measured_data_sets_and_seeds():
    config = read_config(values_of(views.CONFIG), [])
    assert set(views.DATA_SETS) <= set(config.data_sets) and len(config.pretrain.seeds) >= views.SEEDS
    paths = [str(path) for path in views.checkpoints(Path("there"), config).values()]
    assert (
        paths[0] == "there/results/checkpoints/cues/residual8/seed2/step360.safetensors" and len(paths) == views.SEEDS
    )


@pytest.fixture
def fewer(monkeypatch):
    """Reduce the number of data sets, views and batches."""
    monkeypatch.setattr(views, "DATA_SETS", ("cue0",))
    variants = {views.FRESH: views.Variant(4), "1 view": views.Variant(1), "batch": views.Variant(4, 16)}
    monkeypatch.setattr(views, "VARIANTS", variants)


def test_lines_differ_only_in_views_or_batch_size(study, fewer, monkeypatch):
    config, folder = study
    seen = []

    def watched(*given, of=probe.probe_replicate):
        seen.append(given)
        return of(*given)

    monkeypatch.setattr(probe, "probe_replicate", watched)
    lines = views.measure(config, folder, ROWS)
    assert [(line.members, line.variant) for line in lines] == [(m, v) for m in (1, 2) for v in ("1 view", "batch")]
    assert [seeds for _, seeds, *_ in seen] == 3 * [(2,), (550,), (23,), (477,)] + 3 * [(2, 550), (23, 477)]
    every = ["view0", "view1", "view2", "view3"]
    own, protocol = config.probe.batch_size, seen[0][5]
    for block in (seen[:12], seen[12:]):
        size = len(block) // 3
        assert [given[3] for given in block] == size * [every] + size * [["view0"]] + size * [every]
        assert [given[5].batch_size for given in block] == 2 * size * [own] + size * [16]
        for one, other in zip(block, block[size:]):
            assert one[:3] == other[:3] and one[4] is other[4], "the same networks and rows"
            assert vars(one[5]) | {"batch_size": 0} == vars(other[5]) | {"batch_size": 0}
    data = seen[0][4]
    assert (len(data.train_labels), len(data.evaluation_labels)) == (
        160,
        120,
    ) and protocol.epochs == config.probe.epochs
    text = "\n".join(views.page(lines, config, "config/tiny.yaml"))
    changes = [cost.contrast.mean for line in lines if line.variant == "batch" for cost in line.costs.values()]
    assert (
        f"- batch: {min(changes):+.2f} to {max(changes):+.2f} points." in text
        and "- 1 view: a loss of more than 0.5" in text
    )
    assert text.count("| cue0 |") == 4 and "4 networks of `config/tiny.yaml` after 12 steps" in text


def test_views_are_different_crops_of_the_same_images(study, fewer, tmp_path):
    config, folder = study
    images = views.written(tmp_path, "cue0", config, ROWS)
    (weights, *_) = views.checkpoints(folder, config).values()
    views.extract(weights, images, tmp_path / "features", config)
    first, second = (np.load(tmp_path / "features" / training_file(f"view{number}")) for number in (0, 1))
    assert first.shape == second.shape == (160, 8) and (first != second).any()
    own = [np.corrcoef(one, other)[0, 1] for one, other in zip(first.astype(float), second.astype(float))]
    others = [np.corrcoef(one, other)[0, 1] for one, other in zip(first.astype(float), second[::-1].astype(float))]
    assert np.mean(own) > np.mean(others)


def probed(seed: int, right) -> views.Probed:
    """Return the result of a network's probe that is right on these evaluation rows, for both selections."""
    right = np.array(right)
    return views.Probed(
        (seed,), dict.fromkeys(views.SELECTIONS, 100 * right.mean()), dict.fromkeys(views.SELECTIONS, right)
    )


def test_the_interval_of_a_cost_covers_seeds_and_rows():
    """The cost itself is paired by seed."""
    generator = np.random.default_rng(5)
    fresh = generator.random((6, 400)) < 0.8
    few = fresh & (generator.random((6, 400)) < 0.97)
    found = views.cost([*map(probed, range(6), few)], [*map(probed, range(6), fresh)], "paper")
    differences = 100 * (few.mean(1) - fresh.mean(1))
    test = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert found.contrast.interval == pytest.approx((test.low, test.high))
    rows = 100 * (few.astype(float) - fresh).mean(0)
    assert found.rows == pytest.approx(scipy.stats.sem(rows))
    error = math.hypot(scipy.stats.sem(differences), scipy.stats.sem(rows))
    assert found.most == pytest.approx(scipy.stats.t.ppf(0.975, 5) * error - differences.mean())
    (alone,) = [views.cost([probed(1, few[0])], [probed(1, fresh[0])], "paper")]
    assert alone.most == math.inf, "one network excludes no loss"


def test_the_bound_holds_for_a_known_loss():
    """In simulations with a known loss, the largest loss that is not excluded is rarely below the true loss."""
    generator, below = np.random.default_rng(16), 0
    for _ in range(200):
        hard, loss = generator.random(300), 0.02 + 0.01 * generator.normal(size=8)
        fresh = generator.random((8, 300)) > 0.4 * hard
        few = fresh & (generator.random((8, 300)) > loss[:, None])
        found = views.cost([*map(probed, range(8), few)], [*map(probed, range(8), fresh)], "holdout")
        below += found.most < 100 * 0.8 * 0.02
    assert below / 200 <= 0.05


def line(most: float, name: str = "cue0") -> views.Line:
    """Return a line whose interval ends at a loss of ``most`` points."""
    cost = views.Cost(views.Contrast(-most, 1e-9, 5.0, 6, 6, "t"), 0.0)
    return views.Line(name, 1, "1 view", 100, 50.0, {"holdout": cost, "paper": cost})


def test_the_verdict_names_the_data_sets_with_a_bounded_loss():
    said = views.verdict([line(0.4), line(0.7, "cues"), line(0.5 - 1e-6, "digits")], "1 view")
    assert "on 2 of 3 lines (networks in parentheses): cue0 (1), digits (1)." in said
    assert said.endswith("is 0.70 points, on cues (1).")
    assert ": none. The largest" in views.verdict([line(0.7)], "1 view")


@pytest.mark.parametrize(("old", "after"), [("", ""), ("\n## What few views cost\n\nold\n", "\n## B\n\nb\n")])
def test_the_rest_of_the_page_is_kept(old, after):
    text = views.replaced(f"# Page\n\n## A\n\na\n{old}{after}", [views.TITLE, "", "new"])
    assert text == f"# Page\n\n## A\n\na\n\n## What few views cost\n\nnew\n{after}"
    assert views.replaced(text, [views.TITLE, "", "new"]) == text
