"""Read a probe's selected heads and evaluation features, for the stages evaluate_probe and diagnose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_scripts.timecat.probing.files import read_index
from workflow_scripts.timecat.runtime import command, devices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from workflow_scripts.timecat.probing.saved_heads import HeadsFile


@dataclass(frozen=True)
class Options:
    """Options that the command lines of evaluate_probe and diagnose share, by name."""

    features: list[str]
    replicates: list[list[int]]
    heads: str
    evaluation_index: str
    torch_threads: int
    gpus: int


def begin(options: Options) -> "tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64], HeadsFile]":
    """Lease a device, read the index and open the heads; return (torch device, rows, labels [rows], heads file)."""
    device = devices.acquire(options.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat.probing.saved_heads import HeadsFile
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(options.torch_threads, device)
    command.log_start_up()
    rows, labels = read_index(options.evaluation_index)
    return device, rows, labels, HeadsFile(options.heads)


def checked_features(options: Options, heads: "HeadsFile", rows: int) -> "list[list[np.ndarray]]":
    """Return the members' evaluation features of each replicate. Raise UserError if the heads do not belong to them."""
    from workflow_scripts.timecat.features.members import evaluation_features

    replicates = evaluation_features(options.features, options.replicates, rows)
    heads.check(options.replicates, [[member.shape[1] for member in members] for members in replicates])
    return replicates
