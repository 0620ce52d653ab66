"""Measure which settings change the last bits of results on a CPU: ``python -m benchmarks.reproducibility``.

This takes minutes on one core. Small pieces of the stages run with torch, oneDNN and MKL unrestricted and restricted to
older instructions, each time in a separate process. Equal results get equal letters; times are medians over rounds, in
each of which every setting runs once. A second table compares features extracted in batches of different sizes. The
tables are written into docs/explanation/reproducibility.md. These measurements are not tests.
"""

import argparse
import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

from benchmarks.timing import machine, seconds_of
from tests.support.studies import ROOT
from workflow_scripts.timecat.config.backbones import Backbone, LibraryBackbone, SmallRegnet, SmallResidual, SmallVit
from workflow_scripts.timecat.runtime.command import log

PAGE = ROOT / "docs/explanation/reproducibility.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
ALL_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
NUMPY_AVX2 = {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR", "OPENBLAS_CORETYPE": "Haswell"}
SETTINGS = [
    {},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"MKL_CBWR": "AVX2"},
    {"MKL_CBWR": "COMPATIBLE"},
    NUMPY_AVX2,
    ALL_AVX2 | NUMPY_AVX2 | {"MKL_CBWR": "AVX2"},
    {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
]
ROUNDS = 3
BACKBONES = {
    "residual8": SmallResidual(architecture="small_residual", width=8, blocks=3),
    "vit48": SmallVit(architecture="small_vit", patch=7, width=48, depth=3, heads=4),
    "regnet32": SmallRegnet(architecture="small_regnet", stem=16, depths=[1, 2]),
    "resnet18": LibraryBackbone(architecture="resnet18"),
}
SIZE, CLASSES, BATCH = 28, 16, 128
STEPS, IMAGES, CROPS = 12, 512, 300_000
BATCH_SIZES, WHOLE = (1, 7, 32, 100, 128), 256
PIECES = {
    "training step, residual8": lambda: training_steps(BACKBONES["residual8"]),
    "training step, vit48": lambda: training_steps(BACKBONES["vit48"]),
    "512 images through residual8": lambda: extraction(BACKBONES["residual8"]),
    "512 images through vit48": lambda: extraction(BACKBONES["vit48"]),
    "probe step, 6 weight decays": lambda: probe_steps(),
    "300,000 crops": lambda: crops(),
    "numpy: exp, product": lambda: numpy_steps(),
}


def main() -> None:
    """Write the page's tables or, with --measure, print the measurements of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="print the digests and seconds of this process as JSON")
    if parser.parse_args().measure:
        print(json.dumps(measured()))
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    lines = ["", f"On {machine()}", "", *settings_table(), "", *batch_size_table(), ""]
    PAGE.write_text(before + BEGIN + "\n".join(lines) + END + after)


# --- pieces of stages: each returns a digest of its result and the seconds of one step ---


def measured() -> dict[str, tuple[str, float]]:
    """Return the digest of the result and the median seconds of each piece, measured in this process."""
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(1)
    return {name: piece() for name, piece in PIECES.items()}


def images_and_labels(count: int):
    """Return random images, uint8 [count, SIZE, SIZE, 3], and labels."""
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, SIZE, SIZE, 3), generator=generator, dtype=torch.uint8)
    return images, torch.randint(CLASSES, (count,), generator=generator)


def transform():
    """Return the transform for images of SIZE pixels."""
    from workflow_scripts.timecat.config.transforms import Transform

    return Transform(size=SIZE, scale=[0.8, 1], flip=0.5, mean=[0.4] * 3, std=[0.2] * 3).settings()


def digest_of(tensors) -> str:
    """Return the SHA-256 of the bytes of tensors."""
    hashed = hashlib.sha256()
    for tensor in tensors:
        hashed.update(tensor.detach().contiguous().numpy().tobytes())
    return hashed.hexdigest()


def timed_steps(step, steps: int) -> float:
    """Return the median CPU seconds of a step; the first two are not counted."""
    times = [seconds_of(step, time.process_time) for _ in range(steps)]
    return statistics.median(times[2:])


def training_steps(backbone: Backbone) -> tuple[str, float]:
    """Train some pretraining steps on one batch."""
    from workflow_scripts.timecat.config.pretrain import Pretrain
    from workflow_scripts.timecat.pretraining import training

    recipe = Pretrain(seeds=[2], batch_size=BATCH, warmup_steps=3, batch_norm_batches=3).recipe()
    run = training.start_run(backbone.settings(), CLASSES, recipe, 2, "cpu", SIZE)
    images, labels = images_and_labels(BATCH)
    seconds = timed_steps(lambda: training.train_step(run, images, labels, recipe, transform()), STEPS)
    return digest_of(run.model.state_dict().values()), seconds


def untrained(backbone: Backbone):
    """Return the untrained backbone, in evaluation mode."""
    from workflow_scripts.timecat.backbones.initialisation import initial_classifier

    return initial_classifier(backbone.settings(), CLASSES, 2, SIZE).eval().backbone


def features_of(network, images, batch_size: int):
    """Return the features of images, float32 [images, dimension], extracted in batches of ``batch_size``."""
    import numpy as np
    import torch

    from workflow_scripts.timecat.features.extraction import Extraction, Extractor

    settings = Extraction(views=["center"], dtype="float32", batch_size=batch_size, augmentation_seed=0)
    extractor = Extractor(network, transform(), settings, "cpu", 1)
    return torch.from_numpy(np.concatenate([extractor.features(part) for part in images.split(batch_size)]))


def extraction(backbone: Backbone) -> tuple[str, float]:
    """Extract the features of IMAGES images."""
    images, _ = images_and_labels(IMAGES)
    network, found = untrained(backbone), []
    seconds = timed_steps(lambda: found.append(features_of(network, images, WHOLE)), 7)
    return digest_of(found[-1:]), seconds


def probe_steps() -> tuple[str, float]:
    """Train some steps of a probe's heads and compute the logits."""
    import torch

    from benchmarks.stacked_heads import both_heads

    heads, _, batch, labels = both_heads(32, CLASSES, 6)
    seconds = timed_steps(lambda: heads.train_step(batch, labels, 0.1), 20 * STEPS)
    return digest_of([heads.logits(batch), torch.stack(heads.train_step(batch, labels, 0.1)[:1])]), seconds


def crops() -> tuple[str, float]:
    """Draw the crop boxes of a view of CROPS photographs."""
    import numpy as np
    import torch

    from workflow_scripts.timecat.images.views import random_boxes

    def draw():
        sides = (np.full(CROPS, side) for side in (375, 500))
        found.append(random_boxes(12345, np.arange(CROPS), *sides, transform())[0])

    found = []
    seconds = timed_steps(draw, 3)
    return digest_of(map(torch.from_numpy, found[-1:])), seconds


def numpy_steps() -> tuple[str, float]:
    """Run the NumPy operations that tables and small fits use."""
    import numpy as np
    import torch

    numbers, found = np.random.default_rng(0).normal(size=(300, 301)), []
    seconds = timed_steps(lambda: found.append((np.exp(numbers), numbers @ numbers.T)), 7)
    return digest_of(map(torch.from_numpy, found[-1])), seconds


# --- tables ---


def settings_table(settings=None, rounds: int = ROUNDS) -> list[str]:
    """Return a table with a row per setting: letters that mark equal results, and the time of each piece."""
    settings = SETTINGS if settings is None else settings
    runs = [[] for _ in settings]
    for number in range(rounds):
        for variables, found in zip(settings, runs):
            log(f"round {number + 1} of {rounds}: {described(variables)}")
            found.append(in_a_process(variables))
    lines = [
        "Equal letters in a column mean equal bits. Milliseconds are CPU time of one thread, medians over "
        f"{rounds} processes for each setting, which took turns.",
        "",
        f"| set in the environment | {' | '.join(PIECES)} |",
        "|---|" + "---:|" * len(PIECES),
    ]
    letters = {name: {} for name in PIECES}
    for variables, found in zip(settings, runs):
        cells = []
        for name in PIECES:
            digests = {run[name][0] for run in found}
            if len(digests) > 1:
                raise RuntimeError(f"{name} with {described(variables)} gives different bits in different runs")
            letter = letters[name].setdefault(digests.pop(), chr(ord("A") + len(letters[name])))
            cells.append(f"{letter} {1000 * statistics.median(run[name][1] for run in found):.2f}")
        lines.append(f"| {described(variables)} | {' | '.join(cells)} |")
    return lines


def described(variables: dict) -> str:
    """Return environment variables as Markdown, in the shell's syntax, or "nothing"."""
    return " ".join(f"`{name}={shlex.quote(value)}`" for name, value in variables.items()) or "nothing"


def in_a_process(variables: dict) -> dict:
    """Run the measurement in a process with these environment variables and return its result."""
    command = [sys.executable, "-m", "benchmarks.reproducibility", "--measure"]
    variables = {"OPENBLAS_NUM_THREADS": "1"} | variables  # as Snakemake sets it for a job of one thread
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def batch_size_table(sizes=BATCH_SIZES) -> list[str]:
    """Return the table of the differences between features that are extracted with different batch sizes."""
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(1)
    images, _ = images_and_labels(IMAGES)
    lines = [
        f"Number of images, out of {IMAGES}, whose features differ from those extracted in batches of {WHOLE}, and the "
        "largest difference relative to the largest feature:",
        "",
        f"| backbone | {' | '.join(f'batches of {size}' for size in sizes)} |",
        "|---|" + "---:|" * len(sizes),
    ]
    for name, backbone in BACKBONES.items():
        network, cells = untrained(backbone), []
        whole = features_of(network, images, WHOLE)
        for size in sizes:
            difference = (features_of(network, images, size) - whole).abs()
            count = int((difference > 0).any(1).sum())
            cells.append(f"{count}, {(difference.max() / whole.abs().max()).item():.0e}" if count else "0")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
