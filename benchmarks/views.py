"""Compare probes with `views: 1` and `views: 4` with probes that see a fresh view in each of 28 epochs.

``python -m benchmarks.views --made FOLDER`` measures the networks of a finished study and writes this section of
docs/benchmarks/benchmarks.md (about ten minutes on one core); ``--config`` names the study's config. ``python -m
benchmarks.run views`` pretrains the networks first. Networks, rows, order of rows and initial weights are the same in
all lines; only the crops and flips that a probe sees differ. A further line has the batch size of 32 that some of the
published scripts use per process.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from benchmarks.timing import machine
from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.config.reading import load_unique, read_config
from workflow_scripts.timecat.measures.contrasts import LEVEL, Contrast, Replicate, contrast, pairs, row_error
from workflow_scripts.timecat.runtime.command import log

CONFIG = "config/short.yaml"  # this study has enough seeds
PAGE = ROOT / "docs/benchmarks/benchmarks.md"
TITLE = "## What few views cost"
SEEDS = 15  # at most this many of the study's seeds, from the first
DATA_SETS = ("cues", "cue0", "digits")
ROWS = {"train": 4_000, "evaluation": 10_000}  # of generated images; other data sets are used whole
BOUND = 0.5  # points: a larger loss by few views should be excluded
SELECTIONS = ("holdout", "paper")
FRESH = "28 views"  # variant that all other variants are compared with


class Variant(NamedTuple):
    """Number of views (epoch e reads view e mod views) and batch size of a probe."""

    views: int
    batch_size: int | None = None  # None: the study's batch size


VARIANTS = {FRESH: Variant(28), "4 views": Variant(4), "1 view": Variant(1), "28 views, batch of 32": Variant(28, 32)}


@dataclass(frozen=True)
class Probed:
    """Result of a replicate's probe by selection: top-1 in percent, and whether each evaluation row is correct."""

    seeds: tuple[int, ...]
    top1: Mapping[str, float]
    right: Mapping[str, np.ndarray]


class Cost(NamedTuple):
    """Accuracy of a variant minus accuracy with fresh views: contrast over seeds, and standard error over rows."""

    contrast: Contrast
    rows: float | None

    @property
    def error(self) -> float:
        """Standard error over seeds and rows; infinite if either is unknown.

        The two variances are added, so variation with both seed and row counts twice, and the interval is rather long.
        """
        if self.contrast.error is None or self.rows is None:
            return math.inf
        return math.hypot(self.contrast.error, self.rows)

    @property
    def reach(self) -> float:
        """Half the length of the interval over seeds and rows."""
        if self.contrast.degrees is None:
            return math.inf
        return float(stdtrit(self.contrast.degrees, 0.5 + LEVEL / 2)) * self.error

    @property
    def most(self) -> float:
        """Largest loss of accuracy in the interval, in points."""
        return self.reach - self.contrast.mean


class Line(NamedTuple):
    """One line of the table: a data set, networks per replicate, and a variant.

    rows: number of evaluation rows. fresh: accuracy with fresh views in percent. costs: cost for each selection.
    """

    data_set: str
    members: int
    variant: str
    rows: int
    fresh: float
    costs: Mapping[str, Cost]


class Images(NamedTuple):
    """A data set on disk: .beton files by split, labels and rows as in its index, and its block of the config."""

    name: str
    betons: Mapping[str, Path]
    data: Any  # probing.scoring.DataSet
    block: Any


def section() -> list[str]:
    """Pretrain networks, measure them, and return this section's lines of the page."""
    config = read_config(load_unique(str(ROOT / CONFIG)), [CONFIG])
    with tempfile.TemporaryDirectory() as name:
        study = StudyFolder.fresh(Path(name) / "study")
        paths = [str(path.relative_to(study.path)) for path in checkpoints(study.path, config).values()]
        study.snakemake("--", *paths, config=CONFIG, timeout=7200)
        return page(measure(config, study.path), config, CONFIG)


def checkpoints(folder: Path, config: Config) -> dict[int, Path]:
    """Return the paths of the weights of the study's first arm, by seed."""
    steps = config.arms[0].all_steps[0]
    where = folder / "results/checkpoints" / str(config.source) / str(config.backbone)
    return {seed: where / f"seed{seed}/step{steps}.safetensors" for seed in config.pretrain.seeds[:SEEDS]}


def measure(config: Config, folder: Path, rows: Mapping[str, int] = ROWS) -> list[Line]:
    """Return the lines of the table for a study whose checkpoints are in a folder.

    rows: number of generated images by split.
    """
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(1)
    lines = []
    for name in DATA_SETS:
        with tempfile.TemporaryDirectory() as scratch:
            images = written(Path(scratch), name, config, rows)
            members = {}
            for seed, weights in checkpoints(folder, config).items():
                members[seed] = Path(scratch) / f"seed{seed}"
                extract(weights, images, members[seed], config)
            lines += list(lines_of(images, members, config))
    return lines


def written(folder: Path, name: str, config: Config, rows: Mapping[str, int]) -> Images:
    """Write the images of a data set of the study as .beton files."""
    from workflow_scripts.timecat.holdout import heldout_rows
    from workflow_scripts.timecat.images.datasets.registry import as_settings, read_split
    from workflow_scripts.timecat.images.ffcv.writer import write_beton
    from workflow_scripts.timecat.probing.scoring import DataSet

    block = config.data_sets[name]
    labels, betons = {}, {}
    for split in ("train", "evaluation"):
        told = block.of_split(split) | ({"rows": {split: rows[split]}} if block.kind == "cues" else {})
        made, betons[split] = read_split(as_settings(told), split), folder / f"{split}.beton"
        write_beton(betons[split], made, {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90})
        labels[split] = np.asarray(made.labels)
    held = heldout_rows(labels["train"], config.heldout.seed, config.heldout.fraction)
    data = DataSet(
        train_labels=labels["train"],
        evaluation_labels=labels["evaluation"],
        evaluation_rows=np.arange(len(labels["evaluation"])),
        heldout=held,
    )
    return Images(name, betons, data, block)


def extract(weights: Path, images: Images, folder: Path, config: Config) -> None:
    """Write the features of a network: centre crops for evaluation, and the training views of all variants."""
    from workflow_scripts.timecat.checkpoints.files import read_backbone
    from workflow_scripts.timecat.features.extraction import Extractor
    from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT, training_file
    from workflow_scripts.timecat.images.views import CENTER, view_key

    folder.mkdir()
    settings, data = config.features.extraction(views_of(most_views())), images.data
    backbone, _ = read_backbone(weights)
    extractor = Extractor(backbone, images.block.transform.settings(), settings, "cpu", 1)
    every = np.arange(len(data.train_labels))
    passes: list[tuple[str, str, np.ndarray, int | str]] = [
        (EVALUATION, "evaluation", data.evaluation_rows, CENTER),
        (HELDOUT, "train", data.heldout, CENTER),
        *((training_file(view), "train", every, number) for number, view in enumerate(settings.views)),
    ]
    for file, split, rows, view in passes:
        key = view_key(settings.augmentation_seed, images.name, view)
        extractor.write(folder / file, images.betons[split], rows, key)
    log(f"{images.name}: features of {weights}")


def views_of(count: int) -> list[str]:
    """Return the names of the first views."""
    return [f"view{number}" for number in range(count)]


def most_views() -> int:
    """Return the largest number of views of any variant."""
    return max(variant.views for variant in VARIANTS.values())


def lines_of(images: Images, members: Mapping[int, Path], config: Config) -> Iterator[Line]:
    """Yield the lines of a data set: for single networks, and for disjoint pairs. members: feature folders by seed."""
    seeds = list(members)
    designs = {1: [(seed,) for seed in seeds], 2: list(zip(seeds[::2], seeds[1::2], strict=False))}
    for size, replicates in designs.items():
        found = {name: probed(images, members, replicates, variant, config) for name, variant in VARIANTS.items()}
        fresh = found.pop(FRESH)
        accuracy = float(np.mean([each.top1["holdout"] for each in fresh]))
        for name, own in found.items():
            costs = {selection: cost(own, fresh, selection) for selection in SELECTIONS}
            yield Line(images.name, size, name, len(images.data.evaluation_labels), accuracy, costs)
            log(f"{images.name}, {size} networks, {name}: {costs['holdout'].contrast.mean:+.2f} points")


def probed(
    images: Images, members: Mapping[int, Path], replicates: Sequence[tuple[int, ...]], variant: Variant, config: Config
) -> list[Probed]:
    """Probe all replicates with a variant's views and batch size."""
    from workflow_scripts.timecat.probing.probe import probe_replicate
    from workflow_scripts.timecat.probing.protocol import Protocol

    block = config.probe.model_copy(update={"batch_size": variant.batch_size or config.probe.batch_size})
    protocol = block.protocol(images.block.weight_decays, "sgd")
    if not isinstance(protocol, Protocol):
        raise TypeError("only probes trained by SGD read one view per epoch")
    found = []
    for number, seeds in enumerate(replicates):
        folders = [members[seed] for seed in seeds]
        report = probe_replicate(number, seeds, folders, views_of(variant.views), images.data, protocol)
        columns = {name: np.concatenate(parts) for name, parts in report.predictions.items()}
        right = columns["predicted"] == columns["label"]
        by_selection = {selection: right[columns["selection"] == selection] for selection in SELECTIONS}
        found.append(Probed(seeds, {name: 100 * float(own.mean()) for name, own in by_selection.items()}, by_selection))
    return found


def cost(variant: Sequence[Probed], fresh: Sequence[Probed], selection: str) -> Cost:
    """Return the cost of a variant: its accuracy minus the accuracy with fresh views, paired by replicate."""
    own, other = ([Replicate(each.seeds, each.top1[selection]) for each in side] for side in (variant, fresh))
    found = pairs([each.seeds for each in own], [each.seeds for each in other])
    rows = row_error(*([each.right[selection] for each in side] for side in (variant, fresh)), found)
    return Cost(contrast(own, other), rows)


def page(lines: Sequence[Line], config: Config, name: str) -> list[str]:
    """Return the section's lines: the table and its conclusions. name: file name of the config."""
    networks = {line.costs["holdout"].contrast.replicates for line in lines if line.members == 1}
    table = [
        f"| {line.data_set} | {line.members} | {line.variant} | {line.rows:,} | {line.fresh:.2f} | {_cells(line)} |"
        for line in lines
    ]
    return [
        TITLE,
        "",
        f"Measured by `python -m benchmarks.views` on {machine()} Probes (SGD, {config.probe.epochs} epochs, learning "
        f"rate {config.probe.lr:g}) on the features of {max(networks)} networks of `{name}` after "
        f"{config.arms[0].all_steps[0]:,} steps, and on {max(networks) // 2} concatenated pairs of them. Figures are "
        "the accuracy minus that with a fresh view in each epoch, in points, with its 95 % interval over seeds and, "
        'after ±, the standard error over evaluation rows. "Loses at most" is the largest loss in an interval that '
        f"adds both variances. Generated data sets have {ROWS['train']:,} training images.",
        "",
        "| data set | networks | probe | evaluation rows | 28 views, % | `holdout` | loses at most | `paper` | loses "
        "at most |",
        "|---|---:|---|---:|---:|---|---:|---|---:|",
        *table,
        "",
        *(verdict(lines, name) for name, variant in VARIANTS.items() if name != FRESH and variant.batch_size is None),
        *(spread(lines, name) for name, variant in VARIANTS.items() if variant.batch_size is not None),
    ]


def _cells(line: Line) -> str:
    cells = []
    for selection in SELECTIONS:
        found = line.costs[selection]
        low, high = found.contrast.interval or (math.nan, math.nan)
        rows = math.nan if found.rows is None else found.rows
        cells += [f"{found.contrast.mean:+.2f} [{low:+.2f}, {high:+.2f}] ± {rows:.2f}", f"{found.most:.2f}"]
    return " | ".join(cells)


def verdict(lines: Sequence[Line], variant: str) -> str:
    """Return the sentence that names the data sets on which a variant's loss is at most BOUND."""
    own = [line for line in lines if line.variant == variant]
    bounded = [line for line in own if all(found.most <= BOUND for found in line.costs.values())]
    which = ", ".join(f"{line.data_set} ({line.members})" for line in bounded) or "none"
    worst = max(own, key=lambda line: max(found.most for found in line.costs.values()))
    most = max(found.most for found in worst.costs.values())
    return (
        f"- {variant}: a loss of more than {BOUND:g} points is excluded, for both selections, on {len(bounded)} of "
        f"{len(own)} lines (networks in parentheses): {which}. The largest loss that is not excluded is {most:.2f} "
        f"points, on {worst.data_set} ({worst.members})."
    )


def spread(lines: Sequence[Line], variant: str) -> str:
    """Return the sentence that gives the range of a variant's changes in accuracy."""
    changes = [found.contrast.mean for line in lines if line.variant == variant for found in line.costs.values()]
    return (
        f"- {variant}: {min(changes):+.2f} to {max(changes):+.2f} points. An epoch has more steps at the same "
        "learning rate, so probes that have not converged after these few epochs get further. This says nothing about "
        "probes that converge."
    )


def replaced(text: str, lines: Sequence[str]) -> str:
    """Return the text of the page with this section replaced, or added at the end if the page lacks it."""
    before, found, after = text.partition(f"{TITLE}\n")
    rest = after.partition("\n## ") if found else ("", "", "")
    tail = f"\n## {rest[2]}" if rest[1] else ""
    return before.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n" + tail


def main() -> None:
    """Measure the networks of a finished study and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--made", type=Path, required=True, help="folder of a study whose checkpoints exist")
    parser.add_argument("--config", default=CONFIG, help="config of the study")
    given = parser.parse_args()
    config = read_config(load_unique(given.config), [given.config])
    PAGE.write_text(replaced(PAGE.read_text(), page(measure(config, given.made), config, given.config)))


if __name__ == "__main__":
    main()
