"""How the stages begin that read a probe's selected heads and the evaluation rows' features (evaluate_probe, diagnose)."""

import argparse
from typing import TYPE_CHECKING

from workflow_scripts.timecat.probing.files import read_index
from workflow_scripts.timecat.runtime import command, devices

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from workflow_scripts.timecat.probing.saved_heads import HeadsFile


def begin(arguments: argparse.Namespace) -> "tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64], HeadsFile]":
    """Take a device and read: (torch device, rows, labels [rows], the heads' file).

    arguments: of the command line; gpus, torch_threads, evaluation_index, heads.
    """
    device = devices.acquire(arguments.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat.probing.saved_heads import HeadsFile
    from workflow_scripts.timecat.runtime import torch_settings

    torch_settings.configure(arguments.torch_threads, device)
    command.log_start_up()
    rows, labels = read_index(arguments.evaluation_index)
    return device, rows, labels, HeadsFile(arguments.heads)


def checked_features(arguments: argparse.Namespace, heads: "HeadsFile", rows: int) -> "list[list[np.ndarray]]":
    """The members' evaluation features of each replicate, which are as wide as the heads were trained for."""
    from workflow_scripts.timecat.features.members import evaluation_features

    replicates = evaluation_features(arguments.features, arguments.replicates, rows)
    heads.check(arguments.replicates, [[member.shape[1] for member in members] for members in replicates])
    return replicates
