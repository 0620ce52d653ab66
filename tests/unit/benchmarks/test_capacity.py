"""Tests of benchmarks.capacity at small scale: losses, labels, images and probes. No accuracy is tested."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks import capacity
from tests.support.images import read_split
from tests.support.studies import BESIDE_TABLE_2, values_of
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.images.datasets.cues import CLASSES, FAMILIES
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.images.views import normalise
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.pretraining.batch_norm_statistics import recompute_batch_norm
from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream, batch_stream

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS, SEED = 3, 2


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> capacity.Bench:
    """Benchmark of a study with a smaller network, fewer images and a few steps."""
    values = {key: value for key, value in values_of("config/config.yaml").items() if key not in BESIDE_TABLE_2}
    values["backbones"]["residual8"] |= {"width": 4, "blocks": 2}
    values["pretrain"] |= {"batch_size": 32, "batch_norm_batches": 2}
    values["arms"][0]["steps"] = STEPS
    for name, block in values["data_sets"].items():
        if name.startswith("cue"):
            block["rows"] = {"train": 200, "evaluation": 100}
    return capacity.Bench(tmp_path_factory.mktemp("bench"), read_config(values, []))


def test_the_loss_is_the_mean_over_the_families(bench):
    run = bench.begin(capacity.GLYPHS, SEED)
    learned = bench.learned[capacity.GLYPHS]
    _, images, rows = next(batches(learned.beton, range(32), 32, bench.transform, None))
    labels = learned.labels[rows]
    loss = training.compute_gradients(run, images, labels, bench.recipe, bench.transform)
    gradients = [parameter.grad.clone() for parameter in run.model.parameters()]

    run.model.zero_grad()
    logits = run.model(normalise(images, bench.transform))
    losses = [
        functional.cross_entropy(
            logits[:, CLASSES * family : CLASSES * (family + 1)],
            labels[:, family],
            label_smoothing=bench.recipe.label_smoothing,
        )
        for family in range(FAMILIES)
    ]
    sum(losses).backward()
    assert loss.item() == pytest.approx(sum(losses).item() / FAMILIES, rel=1e-5)
    for mean, parameter in zip(gradients, run.model.parameters()):
        torch.testing.assert_close(FAMILIES * mean, parameter.grad, rtol=1e-3, atol=1e-5)


def test_labels_belong_to_their_images(bench):
    target = bench.block("cue0")
    for images, split, rows in ((bench.train, "train", 200), (bench.evaluation, "evaluation", 100)):
        for family, name in enumerate(capacity.TARGETS):  # the study's targets, each with its own block
            made = read_split(bench.block(name).of_split(split), split)
            np.testing.assert_array_equal(images.labels[:, family], made.labels)
        ((numbers, pixels, stored),) = batches(images.beton, range(rows), rows, bench.transform, None)
        np.testing.assert_array_equal(numbers, stored)
        np.testing.assert_array_equal(pixels, made.images[:, 2:30, 2:30])
    made = read_split(target.of_split("train") | {"rows": {"pretraining": 200}}, "pretraining")
    shown = np.stack([made.groups[name] for name in capacity.TARGETS], axis=1)
    np.testing.assert_array_equal(bench.learned[capacity.GLYPHS].labels, shown)


def test_probes_see_no_images_that_networks_learned_from(bench):
    def images_of(images):
        ((_, pixels, _),) = batches(images.beton, range(len(images.labels)), 1000, bench.transform, None)
        return {image.numpy().tobytes() for image in pixels}

    probed = images_of(bench.train) | images_of(bench.evaluation)
    assert len(probed) == 300
    for learned in bench.learned.values():
        assert not probed & images_of(learned)


def test_the_network_of_the_class_equals_the_studys_network(bench, tmp_path):
    """Training on the same batches from a .beton file with classes as labels gives the same network."""
    block = bench.block("cues")
    write_beton(
        tmp_path / "train.beton",
        read_split(block.of_split("train"), "train"),
        {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90},
    )
    source = Source(tmp_path / "train.beton", block.rows.train)
    other = training.start_run(bench.backbone, CLASSES, bench.recipe, SEED, "cpu", bench.transform.size)
    for images, labels in batch_stream(source, bench.recipe, bench.transform, SEED, range(STEPS)):
        training.train_step(other, images, labels, bench.recipe, bench.transform)
    run, learned = bench.begin(capacity.CLASS, SEED), bench.learned[capacity.CLASS]
    bench.go_on(run, learned, STEPS)
    assert run.loss_average == other.loss_average
    stream = batch_norm_stream(source, bench.recipe, bench.transform, SEED)
    assert_equal(bench.model(run, learned), training.averaged_model(other, stream, bench.transform))


def test_the_untrained_network_has_the_initial_weights_of_training(bench):
    run, learned = bench.begin(capacity.CLASS, SEED), bench.learned[capacity.CLASS]
    model = bench.model(run, learned)
    stream = batch_norm_stream(learned.source(), bench.recipe, bench.transform, SEED)
    recompute_batch_norm(run.model, stream, bench.transform)
    assert_equal(model, run.model)
    for own, other in zip(model.backbone.parameters(), bench.begin(capacity.GLYPHS, SEED).model.backbone.parameters()):
        assert torch.equal(own, other)


def assert_equal(one, other):
    for (name, own), value in zip(one.state_dict().items(), other.state_dict().values()):
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(own, value), name


def test_a_probe_is_accurate_only_on_the_family_that_features_show(bench):
    shown = functional.one_hot(bench.train.labels[:, 1], CLASSES).double().numpy()
    evaluated = functional.one_hot(bench.evaluation.labels[:, 1], CLASSES).double().numpy()
    right, wrong = (bench.probe_target(family, shown, shown, evaluated) for family in (1, 2))
    assert right.accuracy == 100 and wrong.accuracy < 30
    assert max(right.gradient, wrong.gradient) < 1e-3


def test_weight_decay_is_chosen_on_held_out_rows(bench, monkeypatch):
    """A weight decay at an end of the grid is reported."""
    calls = []

    def watched(*given, of=capacity.fits):
        calls.append((given, of(*given)))
        return calls[-1][1]

    monkeypatch.setattr(capacity, "fits", watched)
    draws, edges = np.random.default_rng(0), set()
    for family, decays in enumerate([[0.03], *3 * [capacity.WEIGHT_DECAYS]]):
        monkeypatch.setattr(capacity, "WEIGHT_DECAYS", decays)
        signs = draws.normal(size=(CLASSES, 24))
        train, centres, evaluation = (
            signs[images.labels[:, family]] + 2 * draws.normal(size=(len(images.labels), 24))
            for images in (bench.train, bench.train, bench.evaluation)
        )
        found = bench.probe_target(family, train, centres, evaluation)
        ((x, _, grid, held, _), scores), ((full, _, chosen, read, _), results) = calls[-2:]
        assert len(x) + len(held) == 200 and set(map(tuple, held)) <= set(map(tuple, centres))
        assert grid == decays and full is train and read is evaluation
        assert scores[chosen[0]].accuracy == max(each.accuracy for each in scores.values())
        assert found.accuracy == results[chosen[0]].accuracy and found.at_edge == (chosen[0] in (decays[0], decays[-1]))
        edges.add(found.at_edge)
    assert edges == {True, False}


def test_every_line_is_measured_for_every_seed(bench, monkeypatch):
    trained = []
    monkeypatch.setattr(capacity, "SEEDS", 2)
    monkeypatch.setattr(
        capacity.Bench,
        "go_on",
        lambda self, run, learned, stop, of=capacity.Bench.go_on: (
            of(self, run, learned, stop),
            trained.append(run.step),
        ),
    )
    lines = bench.measure()
    assert trained == 2 * [0, STEPS, STEPS, capacity.LONGER * STEPS]
    assert [line.steps for line in lines] == trained[:4]
    assert all(len(line.probes) == 2 and len(seed) == FAMILIES for line in lines for seed in line.probes)
    accuracies = [[each.accuracy for each in line.probes[0]] for line in lines]
    assert all(own != other for own, other in zip(accuracies, accuracies[1:]))
    page = "\n".join(capacity.page(lines))
    assert page.count("±") == 1 + 4 * (FAMILIES + 1)
    mean = np.mean([[each.accuracy for each in seed] for seed in lines[2].probes])
    assert f"| {capacity.GLYPHS} | {STEPS} |" in page and f"| {mean:.1f} ±" in page


def test_the_page_counts_weight_decays_at_the_edge():
    probe = capacity.Probed(50.0, 1e-6, False)
    edge = probe._replace(at_edge=True)
    lines = [capacity.Line("a", 1, [[probe] * 4] * 2), capacity.Line("b", 1, [[probe] * 4, [edge, edge, probe, probe]])]
    assert capacity.page(lines)[-1].endswith(": 2 of 16 (b: 2).")
    assert capacity.page(lines[:1])[-1].endswith(": 0 of 8.")
