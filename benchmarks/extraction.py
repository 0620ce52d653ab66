"""Compare the speed of extraction (JPEG images to a file of features) with the bare model on tensors in memory."""

import os
import tempfile
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from benchmarks.photographs import HEIGHT, WIDTH, make_photographs, write_photographs
from benchmarks.rates import Rate, rates
from workflow_scripts.timecat.backbones.build import build_backbone
from workflow_scripts.timecat.config.backbones import LibraryBackbone
from workflow_scripts.timecat.config.data_sets import PhotoTransform
from workflow_scripts.timecat.features.extraction import Extractor
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.ffcv.format import describe
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.runtime import torch_settings

KEY = views.view_key(0, "photographs", 0)
FILES, BATCH = 128, 32
ROWS = {"resnet18": 320, "resnet50": 160}
REPEATS = 3


class Comparison:
    """Two ways to compute a backbone's features of ``number`` images of a .beton file: the extractor, the bare model.

    If the file has fewer images, they are repeated.
    """

    def __init__(self, backbone, beton: Path, number: int, batch: int, size: int, device="cpu", workers=1):
        self.beton, self.rows, self.device = beton, np.arange(number) % describe(beton).rows, device
        transform = PhotoTransform(size=size).settings()
        settings = Extraction(views=["view0"], dtype="float16", batch_size=batch, augmentation_seed=0)
        self.backbone = backbone.eval().requires_grad_(False).to(device)
        self.extractor = Extractor(self.backbone, transform, settings, device, workers)

    @cached_property
    def inputs(self) -> list[torch.Tensor]:
        """Input batches of the bare model, float32 [b, 3, size, size] on the device, computed on first use."""
        transform, size = self.extractor.transform, self.extractor.settings.batch_size
        stream = batches(self.beton, self.rows, size, transform, KEY, self.extractor.workers)
        return [views.normalise(images.to(self.device), transform) for _, images, _ in stream]

    def write(self, path: Path) -> None:
        """Extract one view to a file, as the stage does."""
        self.extractor.write(path, self.beton, self.rows, KEY)

    def bare(self) -> list[torch.Tensor]:
        """Return the features that the bare model computes from tensors on the device."""
        with torch.inference_mode():
            features = [self.backbone(images) for images in self.inputs]
        if self.device == "cuda":
            torch.cuda.synchronize()
        return features

    def rates(self, folder: Path, repeats: int = REPEATS) -> dict[str, Rate]:
        """Return the median images/s of the bare model, extraction and, on a CPU, extraction on a single core."""
        actions = {"bare": self.bare, "extraction": lambda: self.write(folder / "made.npy")}
        if self.device == "cpu":

            def on_one_core():
                with one_core():
                    self.write(folder / "made.npy")

            actions["one core"] = on_one_core
        return rates(actions, len(self.rows), repeats)


@contextmanager
def one_core():
    """Run this thread and the threads that it starts on a single core within this context."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def section() -> list[str]:
    """Measure, and return this section's lines of the page."""
    torch_settings.configure(1)
    with tempfile.TemporaryDirectory() as name:
        folder = make_photographs(Path(name), FILES)
        beton = write_photographs(folder)
        return [
            "## Extraction against the bare model",
            "",
            f"JPEG images of {WIDTH} x {HEIGHT} px, random crops to 224 px, batches of {BATCH}, one torch thread. "
            "Bare: the model on the same float32 tensors, already in memory. Extraction:",
            "FFCV decodes in a second thread, and the file is written. On one core, decoding and the model share the "
            "core. Processor time is that of all threads.",
            "",
            *rates_table(
                {name: build_backbone(LibraryBackbone(architecture=name).settings()) for name in ROWS}, beton, folder
            ),
        ]


def rates_table(backbones: dict, beton: Path, folder: Path, rows=ROWS, batch=BATCH, size=224) -> list[str]:
    """Return a table of each backbone's images per second, bare and in extraction, and their ratio."""
    lines = [
        "| backbone | bare, images/s | extraction, images/s | **share** | all on one core, images/s | share | share by "
        "processor time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, backbone in backbones.items():
        found = Comparison(backbone, beton, rows[name], batch, size).rates(folder)
        bare, whole, confined = (found[key] for key in ("bare", "extraction", "one core"))
        lines.append(
            f"| {name} | {bare.clock:.1f} | {whole.clock:.1f} | **{whole.clock / bare.clock:.2f}** | "
            f"{confined.clock:.1f} | {confined.clock / bare.clock:.2f} | {whole.core / bare.core:.2f} |"
        )
    return lines
