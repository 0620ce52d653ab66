"""Measure whether 64 features can represent all four families of glyphs, by pretraining on the glyphs themselves.

``python -m benchmarks.run capacity`` takes ten minutes on one core. The network of config.yaml is trained with four
linear classifiers on its features, one per family, with the study's recipe. Its frozen features are then probed for
each family, and so are the features of two other networks: one trained on the class, which any one family nearly
determines, and an untrained one.
"""

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.converged import relative_gradient
from tests.support.images import read_split
from tests.support.studies import ROOT
from workflow_scripts.timecat.backbones.build import Classifier
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.config.data_sets import Cues
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.config.reading import load_unique, read_config
from workflow_scripts.timecat.holdout import heldout_rows
from workflow_scripts.timecat.images.datasets.cues import CLASSES, FAMILIES
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.images.views import CENTER, normalise, view_key
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream, batch_stream
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.runtime import torch_settings
from workflow_scripts.timecat.runtime.command import log

STUDY = ROOT / "config/config.yaml"
SEEDS = 3  # the first seeds of the study
LONGER = 4  # a further line trains this many times longer than cat1, to tell a lack of size from a lack of time
TARGETS = [f"cue{family}" for family in range(FAMILIES)]
UNTRAINED, CLASS, GLYPHS = "nothing (untrained)", "the class (the study's cat1)", "all four glyphs"
WEIGHT_DECAYS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]  # wider than the study's grid
TOLERANCE, MOST_STEPS = 1e-6, 10_000  # for scikit-learn
BATCH = 500  # images per batch when features are computed


class Labelled(NamedTuple):
    """Images of a .beton file and their labels, int64 [rows] or [rows, FAMILIES].

    The file itself stores row numbers as labels.
    """

    beton: Path
    labels: torch.Tensor

    def source(self) -> Source:
        """Return the source that batches are drawn from."""
        return Source(self.beton, len(self.labels))


class Probed(NamedTuple):
    """Result of a converged probe.

    accuracy: percent. gradient: relative gradient. at_edge: whether its weight decay is at an end of the grid.
    """

    accuracy: float
    gradient: float
    at_edge: bool


class Line(NamedTuple):
    """One line of the table: what the network learned, its number of steps, and its probes by seed and target."""

    learned: str
    steps: int
    probes: list[list[Probed]]


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    torch_settings.configure(1)
    config = read_config(load_unique(str(STUDY)), [str(STUDY)])
    with tempfile.TemporaryDirectory() as folder:
        return page(Bench(Path(folder), config).measure())


class Bench:
    """Networks and probes of a study on generated images, which are written to a folder.

    The study's first arm sets the number of training steps; its data sets ``cues`` and ``cue0`` set the images and
    their number.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.config, self.folder = config, folder
        backbone = str(config.backbone)
        self.backbone: BackboneSettings = config.backbones[backbone].settings()
        self.recipe: Recipe = config.recipe_of(backbone).recipe()
        self.steps = config.arms[0].all_steps[0]
        source, target = self.block("cues"), self.block("cue0")
        self.transform: Transform = source.transform.settings()
        learned = self.write("class", source, "train", source.rows.train)
        # Images drawn like the targets' images, but not seen by probes: a split with a different name is a new draw.
        independent = self.write("glyphs", target, "pretraining", source.rows.train)
        self.learned = {CLASS: learned._replace(labels=learned.labels[:, FAMILIES]), GLYPHS: _shown(independent)}
        self.train = _shown(self.write("train", target, "train", target.rows.train))
        self.evaluation = _shown(self.write("evaluation", target, "evaluation", target.rows.evaluation))

    def block(self, name: str) -> Cues:
        """Return the config's block of a data set of the study."""
        block = self.config.data_sets[name]
        if not isinstance(block, Cues):
            raise TypeError(f"data set {name} is not of kind cues")
        return block

    def write(self, name: str, block: Cues, split: str, rows: int) -> Labelled:
        """Write images of a data set. The labels, [rows, FAMILIES + 1], are each image's glyphs and its class."""
        made = read_split(block.of_split("train") | {"rows": {split: rows}}, split)
        beton = self.folder / f"{name}.beton"
        numbered = dataclasses.replace(made, labels=np.arange(rows))
        write_beton(beton, numbered, {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90})
        columns = [made.groups[target] for target in TARGETS] + [made.labels]
        return Labelled(beton, torch.from_numpy(np.stack(columns, axis=1)))

    def measure(self) -> list[Line]:
        """Train and probe the networks; return the lines of the table."""
        lines = [Line(UNTRAINED, 0, []), Line(CLASS, self.steps, [])]
        lines += [Line(GLYPHS, steps, []) for steps in (self.steps, LONGER * self.steps)]
        for seed in self.config.pretrain.seeds[:SEEDS]:
            runs = {learned: self.begin(learned, seed) for learned in self.learned}
            for learned, steps, probes in lines:
                name = learned if learned in runs else CLASS
                self.go_on(runs[name], self.learned[name], steps)
                probes.append(self.probe(self.model(runs[name], self.learned[name])))
                accuracies = ", ".join(f"{each.accuracy:.1f}" for each in probes[-1])
                log(f"seed {seed}, {steps} steps on {learned}: {accuracies}")
        return lines

    def begin(self, learned: str, seed: int) -> training.Run:
        """Return a run at step 0; a run that learns all glyphs has one classifier per family."""
        families = FAMILIES if learned == GLYPHS else 1
        run = training.start_run(
            self.backbone, families * CLASSES, self.recipe, seed, "cpu", image_size=self.transform.size
        )
        if families > 1:
            run.network = by_family(run.model)
        return run

    def go_on(self, run: training.Run, learned: Labelled, stop: int) -> None:
        """Train a run until step ``stop``."""
        steps = range(run.step, stop)
        for images, rows in batch_stream(learned.source(), self.recipe, self.transform, run.seed, steps):
            training.train_step(run, images, learned.labels[rows], self.recipe, self.transform)

    def model(self, run: training.Run, learned: Labelled) -> Classifier:
        """Return the run's network for inference, as a checkpoint contains it."""
        stream = batch_norm_stream(learned.source(), self.recipe, self.transform, run.seed)
        return training.averaged_model(run, stream, self.transform)

    def probe(self, model: Classifier) -> list[Probed]:
        """Return the probes of all targets on a network's features: view 0 for training, else the centre crop."""
        seed = self.config.features.augmentation_seed
        train, centres, evaluation = (
            features(model, images.beton, len(images.labels), self.transform, view_key(seed, TARGETS[0], view))
            for images, view in ((self.train, 0), (self.train, CENTER), (self.evaluation, CENTER))
        )
        return [self.probe_target(family, train, centres, evaluation) for family in range(FAMILIES)]

    def probe_target(self, family: int, train: np.ndarray, centres: np.ndarray, evaluation: np.ndarray) -> Probed:
        """Return the probe of a family: all rows are fitted with the weight decay that is best on held-out rows."""
        labels, truth = self.train.labels[:, family].numpy(), self.evaluation.labels[:, family].numpy()
        held = heldout_rows(labels, self.config.heldout.seed, self.config.heldout.fraction)
        rest = np.setdiff1d(np.arange(len(labels)), held)
        scores = fits(train[rest], labels[rest], WEIGHT_DECAYS, centres[held], labels[held])
        best = max(WEIGHT_DECAYS, key=lambda decay: (scores[decay].accuracy, decay))
        found = fits(train, labels, [best], evaluation, truth)[best]
        return found._replace(at_edge=best in (min(WEIGHT_DECAYS), max(WEIGHT_DECAYS)))


def _shown(images: Labelled) -> Labelled:
    """Return the images with the labels of their families only, without the class."""
    return images._replace(labels=images.labels[:, :FAMILIES].contiguous())


def by_family(model: Classifier) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network whose logits are [b, CLASSES, FAMILIES], so that the loss is the mean over the families.

    With the sum of the losses, gradients would be FAMILIES times as large; AdamW's steps would differ only through its
    epsilon.
    """
    return lambda images: model(images).unflatten(1, (FAMILIES, CLASSES)).transpose(1, 2)


def features(model: Classifier, beton: Path, rows: int, transform: Transform, view: int | None) -> np.ndarray:
    """Return the features of all images in one view, float64 [rows, D]."""
    with torch.inference_mode():
        found = [
            model.backbone(normalise(images, transform))
            for _, images, _ in batches(beton, range(rows), BATCH, transform, view)
        ]
    return torch.cat(found).double().numpy()


def fits(
    x: np.ndarray, labels: np.ndarray, weight_decays: Sequence[float], read: np.ndarray, truth: np.ndarray
) -> dict[float, Probed]:
    """Fit scikit-learn's multinomial logistic regression to standardised features with each weight decay, and score it.

    x, labels: the training features and labels. read, truth: the features and labels that accuracies are measured on.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler().fit(x)
    x, read = scaler.transform(x), scaler.transform(read)
    model, found = LogisticRegression(tol=TOLERANCE, max_iter=MOST_STEPS, warm_start=True), {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error")  # a fit that does not converge would say nothing about the features
        for decay in sorted(weight_decays, reverse=True):
            model.set_params(C=1 / (len(labels) * decay)).fit(x, labels)
            gradient = relative_gradient(x, labels, model.coef_, model.intercept_, decay)
            found[decay] = Probed(100 * model.score(read, truth), gradient, at_edge=False)
    return found


def page(lines: Sequence[Line]) -> list[str]:
    """Return the section's lines: the measured table and how to read it."""
    accuracies = np.array([[[each.accuracy for each in seed] for seed in line.probes] for line in lines])
    probes = [each for line in lines for seed in line.probes for each in seed]
    edge = [line.learned for line in lines for seed in line.probes for each in seed if each.at_edge]
    which = f" ({', '.join(f'{name}: {edge.count(name)}' for name in dict.fromkeys(edge))})" if edge else ""
    table = [
        f"| {line.learned} | {line.steps:,} | {' | '.join(map(_cell, [*seeds.T, seeds.mean(axis=1)]))} |"
        for line, seeds in zip(lines, accuracies)
    ]
    return [
        "## Capacity of the embedded study's network",
        "",
        "Measured by `python -m benchmarks.run capacity`; no other table uses these networks. Can the 64 features of "
        f'one network of `config/config.yaml` represent what its targets need? The network of the lines "{GLYPHS}" '
        "has four linear classifiers on its features, one for each family of glyphs. It is trained with the study's "
        "recipe on as many images as in the study, drawn like the targets' images, which no probe sees. Then the "
        "frozen features are probed on the study's targets: logistic regression (scikit-learn, to convergence, weight "
        "decay chosen on held-out training rows), top-1 in percent, mean ± standard deviation of "
        f"{len(lines[0].probes)} seeds. The last column is the mean over the targets. Chance is {100 / CLASSES:.2f}.",
        "",
        f"| the network learned | steps | {' | '.join(TARGETS)} | mean |",
        f"|---|---:|{'---:|' * (FAMILIES + 1)}",
        *table,
        "",
        "All lines have the same network and the same probes, and lines with equal steps have the same recipe and "
        f'number of images. So where "{GLYPHS}" is above "{CLASS}" at equal steps, the latter does not lack room in '
        "its features. These lines do not tell which of two differences is the cause: its images show glyphs that "
        "agree with the class, and its single label contains less information than four labels.",
        "",
        f"Largest relative gradient of a probe: {max(each.gradient for each in probes):.0e}. Probes whose weight "
        f"decay is at an end of the grid ({min(WEIGHT_DECAYS):g} to {max(WEIGHT_DECAYS):g}): {len(edge)} of "
        f"{len(probes)}{which}.",
    ]


def _cell(accuracies: np.ndarray) -> str:
    return f"{accuracies.mean():.1f} ± {accuracies.std(ddof=1):.1f}"
