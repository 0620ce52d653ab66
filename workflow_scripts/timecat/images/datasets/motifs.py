"""Make the synthetic data set ``motifs``: sequences of three tasks, each of which asks whether a motif is present.

As in a genomic benchmark, tasks differ in the length of sequences and in the share of G and C. Within a task, the
length is independent of the label, and the share of G and C depends on the label only slightly, through the planted
motifs. The label in the mixture combines task and class, ``TASK:0`` or ``TASK:1``; a part with
``where: {task: [TASK]}`` is one task alone.
- ``single``: class 1 has a motif of ten bases; at four of its positions, either of two bases may occur.
- ``spaced``: class 1 has two motifs of six bases, three to eight bases apart; class 0 has one of the two at random.
- ``ordered``: class 1 has two motifs of seven bases in a given order; class 0 has both motifs in the reverse order.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

import numpy as np

from workflow_scripts.timecat.images.datasets.sequence_images import BASES, SequenceImages
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.randomness import key
from workflow_scripts.timecat.settings import settings

TASKS = ("single", "spaced", "ordered")
LENGTHS = {"single": (0.8, 0.9), "spaced": (0.85, 0.95), "ordered": (0.9, 1.0)}  # shares of `length`
GC = {"single": 0.4, "spaced": 0.5, "ordered": 0.6}  # share of G and C in the background
SIZES = {"single": (10, 0), "spaced": (6, 6), "ordered": (7, 7)}  # bases of each task's motifs
DEGENERATE = 4  # number of positions in the motif of `single` at which either of two bases may occur
GAP = {"spaced": (3, 9), "ordered": (2, 13)}  # range of the number of bases between the two motifs, upper end excluded


@settings
class MotifsSettings(DataSetSettings):
    """Settings of ``motifs``.

    rows: split -> number of rows. length: maximum number of bases.
    """

    kind: Literal["motifs"]
    seed: int
    rows: Mapping[str, int] = field(hash=False)
    length: int


def motifs(seed: int) -> dict[str, list[list[str]]]:
    """Draw the motifs of each task; a motif is a list with the allowed letters at each position."""
    random = np.random.default_rng(key("motifs", "motifs", seed))
    found = {}
    for task in TASKS:
        found[task] = [
            ["".join(random.permutation(list(BASES))[:1]) for _ in range(size)] for size in SIZES[task] if size
        ]
    for place in random.permutation(SIZES["single"][0])[:DEGENERATE]:
        others = [base for base in BASES if base != found["single"][0][place]]
        found["single"][0][place] += others[random.integers(len(others))]
    return found


def motifs_split(settings: MotifsSettings, split: str) -> Split:
    """Return one split of ``motifs``."""
    rows, length = settings.rows[split], settings.length
    alphabet = motifs(settings.seed)
    random = np.random.default_rng(key("motifs", "sequences", settings.seed, split))
    tasks, classes = random.permutation(np.arange(rows) % len(TASKS)), random.integers(0, 2, rows)
    sequences = [
        _sequence(TASKS[task], bool(has), length, alphabet[TASKS[task]], random)
        for task, has in zip(tasks.tolist(), classes.tolist(), strict=True)
    ]
    return Split(
        images=SequenceImages(sequences, length),
        labels=(2 * tasks + classes).astype(np.int64),
        class_names=[f"{task}:{number}" for task in TASKS for number in range(2)],
        sources=[f"made:{split}:{row}" for row in range(rows)],
        groups={"task": np.array(TASKS)[tasks], "length": np.array([len(each) for each in sequences])},
    )


def _sequence(task: str, has: bool, length: int, alphabet: list[list[str]], random: np.random.Generator) -> str:
    """Return a random sequence of a task, with the motifs of its class planted at a random position."""
    low, high = (round(share * length) for share in LENGTHS[task])
    strong, weak = GC[task] / 2, (1 - GC[task]) / 2  # pairs of three and of two hydrogen bonds
    letters = random.choice(list(BASES), random.integers(low, high + 1), p=[weak, strong, strong, weak])
    planted = [[random.choice(list(choice)) for choice in motif] for motif in alphabet]
    if task == "single":
        planted = planted if has else []
    elif task == "spaced" and not has:
        planted = [planted[random.integers(2)]]
    elif task == "ordered" and not has:
        planted = planted[::-1]
    if len(planted) == 2:
        gap = int(random.integers(*GAP[task]))
        planted = [planted[0] + [None] * gap + planted[1]]
    for bases in planted:
        start = int(random.integers(len(letters) - len(bases) + 1))
        for place, base in enumerate(bases, start):
            letters[place] = base or letters[place]
    return "".join(letters)
