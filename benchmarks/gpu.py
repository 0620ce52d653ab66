"""Compare training, extraction and a large probe on a GPU with bare loops.

    python -m benchmarks.gpu

benchmarks.run starts this command as a separate process, which leases a GPU and frees its memory when it ends. Every
function has arguments for the device and the sizes, so that a test can run the same code on the CPU at small scale.
"""

import itertools
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.extraction import KEY, Comparison
from benchmarks.photographs import HEIGHT, WIDTH, make_photographs, write_photographs
from benchmarks.timing import medians_side_by_side
from tests.support.studies import ROOT
from workflow_scripts.timecat.backbones.build import build_backbone
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.config.backbones import LibraryBackbone
from workflow_scripts.timecat.config.data_sets import PhotoTransform
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.features import memory
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe, usable_workers
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.probing.heads import StackedHeads, initial_weight
from workflow_scripts.timecat.runtime import devices, torch_settings

FILES = 2048
RECIPE = {"lr": 0.0025, "weight_decay": 0.05, "betas": [0.9, 0.999], "warmup_steps": 100, "label_smoothing": 0.1}
VARIANTS = {
    "float32": {},
    "bf16": {"precision": "bf16"},
    "bf16, channels_last": {"precision": "bf16", "channels_last": True},
    "bf16, channels_last, compile": {"precision": "bf16", "channels_last": True, "compile": True},
}
PROBE = {"classes": 8142, "dimension": 10240, "weight_decays": [1e-4, 1e-3, 1e-2], "batch": 256}  # iNaturalist, cat5
REPEATS = 3


def recipe(**options) -> Recipe:
    """Return RECIPE with a variant's options."""
    return Pretrain(seeds=[0], batch_norm_batches=1, **RECIPE, **options).recipe()


class Training:
    """A pretraining run on photographs as in the stage, and a bare training loop on tensors on the device."""

    def __init__(
        self, backbone: BackboneSettings, beton: Path, options: dict, batch: int, size: int, device: str, workers: int
    ):
        self.beton, self.batch, self.device, self.workers = beton, batch, device, workers
        self.transform = PhotoTransform(size=size).settings()
        self.recipe = recipe(batch_size=batch, **options)
        classes = int(describe(beton).labels.max()) + 1
        self.start = lambda: training.start_run(backbone, classes, self.recipe, 0, device, size)
        self.run = self.start()

    # Created on first use, so that the run's peak of memory does not include them.

    @cached_property
    def bare_run(self) -> training.Run:
        """Pretraining run of the bare loop, with a separate network and optimizer."""
        return self.start()

    @cached_property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """First batch, which the bare loop keeps on its device: (float32 [b, 3, s, s], labels)."""
        return next(self.tensors(1))

    def stream(self, steps: int):
        """Yield (images uint8 [b, s, s, 3], labels) for a number of steps, read by FFCV."""
        rows = np.arange(steps * self.batch) % describe(self.beton).rows
        for _, images, labels in batches(self.beton, rows, self.batch, self.transform, KEY, self.workers):
            yield images, labels

    def tensors(self, steps: int):
        """Yield (inputs of the network float32 [b, 3, s, s], labels) for a number of steps, on the device."""
        for images, labels in self.stream(steps):
            yield views.normalise(images.to(self.device), self.transform), labels.to(self.device)

    def train(self, steps: int) -> None:
        """Train a number of steps as the stage does: FFCV decodes, images are normalised, train_step is called."""
        for images, labels in self.stream(steps):
            training.train_step(self.run, images, labels, self.recipe, self.transform)
        synchronise(self.device)

    def bare(self, steps: int) -> None:
        """Train a number of steps with the same arithmetic on one repeated batch; nothing is copied to the CPU."""
        for _ in range(steps):
            self.bare_step(*self.inputs)
        synchronise(self.device)

    def bare_step(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Train one step of the bare loop."""
        run, recipe = self.bare_run, self.recipe
        run.optimizer.zero_grad()
        with torch.autocast(self.device, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = run.network(inputs)
        functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing).backward()
        run.optimizer.step()


def synchronise(device: str) -> None:
    """Wait until the device has finished all queued work."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_gigabytes(device: str, action) -> str:
    """Return the peak memory of a call's tensors on the GPU (10^9 bytes) as text; "-" on a CPU."""
    if device != "cuda":
        action()
        return "-"
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    action()
    torch.cuda.synchronize()
    return f"{torch.cuda.max_memory_allocated() / 1e9:.1f}"


@dataclass(frozen=True)
class Sizes:
    """Sizes of a measurement.

    number: number of extracted images. steps: number of training steps. variants: options of the recipe by name.
    """

    batch: int
    size: int = 224
    number: int = 8192
    steps: int = 20
    variants: dict = field(default_factory=lambda: VARIANTS)
    repeats: int = REPEATS


TRAINING, EXTRACTION = Sizes(batch=256), Sizes(batch=500)


def training_table(backbone: BackboneSettings, beton: Path, device: str, workers=1, sizes=TRAINING) -> list[str]:
    """Return a table of the recipe's variants: images per second, share of the bare loop, peak memory of a step."""
    lines = ["| training | bare loop, images/s | train_step fed by FFCV, images/s | **share** | peak memory, GB |"]
    lines.append("|---|---|---|---|---|")
    for name, options in sizes.variants.items():
        compared = Training(backbone, beton, options, sizes.batch, sizes.size, device, workers)
        bare, ours, peak = training_rates(compared, sizes.steps, sizes.repeats)
        lines.append(f"| {name} | {bare:.0f} | {ours:.0f} | **{ours / bare:.2f}** | {peak} |")
    return lines


def training_rates(compared: Training, steps: int, repeats: int) -> tuple[float, float, str]:
    """Return the median images/s of the bare loop and the stage's steps, and the peak memory of a step.

    Both are timed alternately.
    """
    peak = peak_gigabytes(compared.device, lambda: compared.train(1))
    actions = {"bare": lambda: compared.bare(steps), "ours": lambda: compared.train(steps)}
    seconds, images = medians_side_by_side(actions, repeats), steps * compared.batch
    return images / seconds["bare"], images / seconds["ours"], peak


def extraction_table(
    backbone: BackboneSettings, beton: Path, folder: Path, device: str, workers=1, sizes=EXTRACTION
) -> list[str]:
    """Return a table of the images per second of extraction to a file and the bare model on tensors on the device."""
    name = backbone.architecture
    compared = Comparison(build_backbone(backbone), beton, sizes.number, sizes.batch, sizes.size, device, workers)
    peak = peak_gigabytes(device, lambda: compared.write(folder / "made.npy"))
    found = compared.rates(folder, sizes.repeats)
    bare, ours = found["bare"].clock, found["extraction"].clock
    return [
        "| extraction | bare, images/s | extraction, images/s | **share** | peak memory, GB |",
        "|---|---|---|---|---|",
        f"| {name}, float32 | {bare:.0f} | {ours:.0f} | **{ours / bare:.2f}** | {peak} |",
    ]


def probe_table(
    device: str, *, classes: int, dimension: int, weight_decays: list[float], batch: int, steps=10, repeats=REPEATS
) -> list[str]:
    """Return a table of the time and memory of a training step of both fits' heads."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, dimension, generator=generator).to(device)
    labels = torch.randint(classes, (batch,), generator=generator).to(device)
    weight, fits = initial_weight(0, classes, dimension, 0.01), []

    def train(steps=steps):
        for _ in range(steps):
            for heads in fits:
                heads.train_step(features, labels, 0.01)
        synchronise(device)

    def begin():
        options = {"momentum": 0.9, "batch_norm": True, "device": device}
        fits.extend(StackedHeads(weight, weight_decays, **options) for _ in range(2))
        train(1)

    peak = peak_gigabytes(device, begin)
    reckoned = memory.device_bytes(len(weight_decays), classes, dimension, batch, 16 * batch) / 1e9
    milliseconds = 1000 * medians_side_by_side({"train": train}, repeats)["train"] / steps
    operations = 2 * 4 * batch * len(weight_decays) * classes * dimension  # two fits; one product forward, one backward
    return [
        "| probe | a step of both fits, ms | TFLOP/s | peak memory of a step, GB | estimated for a whole probe, GB |",
        "|---|---|---|---|---|",
        f"| {classes:,} classes x {dimension:,} features x {len(weight_decays)} weight decays, batch {batch} "
        f"| {milliseconds:.1f} | {operations / milliseconds / 1e9:.1f} | {peak} | {reckoned:.1f} |",
    ]


def section() -> list[str]:
    """Measure, and return this section's lines of the page; without a GPU, return a line that says so."""
    lines = ["## On a GPU", ""]
    if not devices.visible_devices():
        return [
            *lines,
            "This machine has no GPU, so nothing was measured. On a GPU, `python -m benchmarks.run gpu` measures "
            "training, extraction and a probe of 8,142 classes.",
        ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return [*lines, *done.stdout.splitlines()]


def measure(
    folder: Path,
    device: str,
    *,
    files=FILES,
    backbone="resnet50",
    training=TRAINING,
    extraction=EXTRACTION,
    probe=PROBE,
):
    """Return the lines of all tables."""
    beton, workers = write_photographs(make_photographs(folder, files)), usable_workers(1000)
    block = LibraryBackbone(architecture=backbone).settings()
    tables = [
        training_table(block, beton, device, workers, training),
        extraction_table(block, beton, folder, device, workers, extraction),
        probe_table(device, **probe),
    ]
    return [
        f"{backbone} on {torch_settings.device_name(device)}, JPEG images of {WIDTH} x {HEIGHT} px, random crops, "
        f"{workers} decoding threads. Bare: the same tensors, already on the device; one batch for",
        "training, all for extraction. float32 is without TF32.",
        *itertools.chain.from_iterable(["", *table] for table in tables),
    ]


def main() -> None:
    """Lease a GPU, measure and print the lines."""
    device = devices.acquire(1)
    torch_settings.configure(1, device, compiles=True)
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(measure(Path(folder), device)))


if __name__ == "__main__":
    main()
