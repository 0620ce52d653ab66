"""How the stages begin that read a probe's selected heads and the evaluation rows' features (evaluate_probe, diagnose)."""

from workflow_scripts.timecat import command, devices
from workflow_scripts.timecat.probe_files import read_index


def begin(arguments):
    """Take a device and read: (torch device, rows, labels [rows], the heads' file).

    arguments: of the command line; gpus, torch_threads, evaluation_index, heads.
    """
    device = devices.acquire(arguments.gpus)  # before torch can see a GPU
    from workflow_scripts.timecat import torch_settings
    from workflow_scripts.timecat.saved_heads import HeadsFile

    torch_settings.configure(arguments.torch_threads, device)
    command.log_start_up()
    rows, labels = read_index(arguments.evaluation_index)
    return device, rows, labels, HeadsFile(arguments.heads)


def checked_features(arguments, heads, rows: int) -> list[list]:
    """The members' evaluation features of each replicate, which are as wide as the heads were trained for."""
    from workflow_scripts.timecat.member_features import evaluation_features

    replicates = evaluation_features(arguments.features, arguments.replicates, rows)
    heads.check(arguments.replicates, [[member.shape[1] for member in members] for members in replicates])
    return replicates
