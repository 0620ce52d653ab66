"""Assign the folders of features on a command line to the members of an arm's replicates, in order."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from workflow_scripts.timecat.artifacts.digests import array_digest
from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, sidecar_path
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.files import open_features
from workflow_scripts.timecat.features.names import EVALUATION


def by_replicate(folders: Sequence[PathLike], replicates: Sequence[Sequence[int]]) -> list[list[PathLike]]:
    """Return the folders of each replicate, one per member. Raise UserError if there are too few or too many folders.

    folders: folders of all members, replicate after replicate. replicates: seeds of the members of each replicate.
    """
    if len(folders) != sum(map(len, replicates)):
        raise UserError(
            f"--features names {len(folders)} folders, but --replicates names {sum(map(len, replicates))} members; "
            "give one folder per member"
        )
    remaining = iter(folders)
    return [[next(remaining) for _ in members] for members in replicates]


def evaluation_features(
    folders: Sequence[PathLike], replicates: Sequence[Sequence[int]], rows: int
) -> list[list[np.ndarray]]:
    """Return the memory-mapped evaluation features [rows, dimension] of each member of each replicate.

    Raise UserError if a file is missing, damaged or does not have ``rows`` rows (open_features).
    """
    return [
        [open_features(Path(folder) / EVALUATION, rows) for folder in own] for own in by_replicate(folders, replicates)
    ]


def feature_digests(
    folders: Sequence[PathLike], replicates: Sequence[Sequence[int]], names: Collection[str] = (EVALUATION,)
) -> dict[str, str]:
    """Return the digests of feature files, as REPLICATE/SEED/FILE -> digest. The keys do not contain paths of folders.

    Digests are read from the sidecar of the folder if there is one, else computed. If a seed occurs in a replicate more
    than once (copies, or snapshots of one run), the key has SEED.POSITION instead of SEED.
    """
    digests = {}
    for replicate, (members, own) in enumerate(zip(replicates, by_replicate(folders, replicates))):
        seeds = [f"{seed}.{place}" if members.count(seed) > 1 else seed for place, seed in enumerate(members)]
        for seed, folder in zip(seeds, map(Path, own)):
            known = read_sidecar(folder)["files"] if sidecar_path(folder).exists() else {}
            for name in names:
                digest = known.get(name) or array_digest(np.load(folder / name, mmap_mode="r"))
                digests[f"{replicate}/{seed}/{name}"] = digest
    return digests
