"""Read published weights as named tensors, from safetensors and torch files (of any version), recognised by content.

A torch file is a pickle, and a pickle can run any code. Torch files are therefore read only by torch's restricted
reader, which creates only tensors and containers. NumPy's scalars and number types are allowed, too, because AlgoPerf's
files contain them.
"""

import dataclasses
import json
import re
import zipfile
from typing import Any

import torch

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.command import log

# Keys under which files store weights. VISSL nests them under classy_state_dict.base_model.model.trunk.
WRAPPERS = ("model_params", "state_dict", "model_state_dict", "model", "classy_state_dict", "base_model", "trunk")
OUR_STATE = {"identity", "model", "optimizer", "step"}  # keys of a training state that pretraining writes
NUMBER_TYPES = "?bhilqBHILQefdg"  # NumPy's type codes
OTHER_FILES = {
    b"<": "a web page, perhaps an error page",
    b"version https://git-lfs": "a Git LFS pointer instead of the file",
    b"\x1f\x8b": "a gzip file (if it is an archive, set `checkpoints.archive` to it)",
}


@dataclasses.dataclass
class PublishedWeights:
    """Contents of a published file of weights.

    tensors: key -> tensor. others: keys whose values are not tensors. stated: values of global_step, seed and step, as
    far as the file states them. container: file format. wrapper: keys, joined by dots, under which the file stores the
    tensors.
    """

    tensors: dict[str, torch.Tensor]
    others: list[str]
    stated: dict[str, int]
    container: str
    wrapper: str = ""


def read_published(path: PathLike, shown: str | None = None) -> PublishedWeights:
    """Read a file of weights onto the CPU.

    shown: name of the file in messages (default: the path). Raise UserError if the file has an unknown format, or if
    its pickle contains more than weights.
    """
    shown = shown or str(path)
    with open(path, "rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":  # the first eight bytes are the header's length
        return _read_safetensors(path, shown)
    if zipfile.is_zipfile(path):
        return _unwrapped(shown, _load(path, shown), "torch")
    if start[:1] == b"\x80":  # the first byte of a pickle
        return _unwrapped(shown, _load(path, shown), "torch (legacy)")
    instead = next((f", but {what}" for begin, what in OTHER_FILES.items() if start.lstrip().startswith(begin)), "")
    raise UserError(f"{shown} is neither a torch nor a safetensors file{instead}: replace it with a file of weights")


def _read_safetensors(path: PathLike, shown: str) -> PublishedWeights:
    import safetensors

    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise UserError(f"{shown} cannot be read as a safetensors file ({error}); fetch it again") from None
    ours = json.loads(metadata["timecat"]) if "timecat" in metadata else {}
    stated = {key: ours[key] for key in ("seed", "step") if key in ours}
    return PublishedWeights(tensors, [], stated, "safetensors", "timecat" if ours else "")


def _load(path: PathLike, shown: str) -> Any:
    """Read the object in a torch file with torch's restricted reader."""
    try:
        # Pass an open file, because torch.load treats a path by its name.
        with open(path, "rb") as file, torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of error for a broken or hostile file; it has not run any code
        text = str(error)
    if wanted := re.search(r"GLOBAL (\S+)|(?:function|but got) <[^>]*?([\w.]+)'?[ >]", text):
        raise UserError(
            f"{shown} is refused: besides weights it needs {wanted[1] or wanted[2]}, and timecat runs no code from a "
            "file; if you trust the file, load it elsewhere and save only its state dict "
            "(torch.save(model.state_dict(), ...))"
        )
    if "Unsupported operand" in text:
        raise UserError(
            f"{shown} uses a pickle protocol that torch's restricted reader does not support; if you trust the file, "
            "load it elsewhere and save its state dict with torch.save without pickle_protocol"
        )
    # The text before "WeightsUnpickler error:" is torch's advice to read the file without restriction.
    reason = (text.rpartition("WeightsUnpickler error:")[2].strip().splitlines() or ["no reason given"])[0]
    raise UserError(
        f"{shown} cannot be read as a torch file of weights ({reason}); it may be incomplete: fetch it again"
    )


def _numpy_scalars() -> list[Any]:
    """Return the objects that a pickled NumPy number needs: a function, under two names, and the number types."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    types = {type(np.dtype(code)) for code in NUMBER_TYPES}
    return [*((scalar, name) for name in names), np.dtype, *sorted(types, key=lambda kind: kind.__name__)]


def _unwrapped(shown: str, value: Any, container: str) -> PublishedWeights:
    """Return the weights that are nested in the object ``value`` of a torch file, after removing all wrappers."""
    if isinstance(value, dict) and OUR_STATE <= value.keys():
        raise UserError(
            f"{shown} is a training state, whose weights are not for inference; use the .safetensors file in the same "
            "folder"
        )
    stated, wrappers = dict[str, int](), list[str]()
    while True:
        if not isinstance(value, dict):
            raise UserError(f"{shown} contains a {type(value).__name__}, not a dict of weights; save a state dict")
        if (step := _whole_number(value.get("global_step"))) is not None:
            stated["global_step"] = step
        _warn_of_training_point(shown, value)
        inside = [key for key in WRAPPERS if isinstance(value.get(key), dict)]
        if len(inside) > 1:
            raise UserError(
                f"{shown} contains weights under both {inside[0]!r} and {inside[1]!r}; save only one of them"
            )
        if not inside:
            break
        wrappers.append(inside[0])
        value = value[inside[0]]
    tensors = {key: entry for key, entry in value.items() if isinstance(key, str) and isinstance(entry, torch.Tensor)}
    others = [str(key) for key in value if key not in tensors]
    return PublishedWeights(tensors, others, stated, container, ".".join(wrappers))


def _whole_number(value: Any) -> int | None:
    """Return a number (of Python or NumPy, or a tensor with one value) as an int, or None for any other value."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _warn_of_training_point(shown: str, saved: dict[str, Any]) -> None:
    """Log a warning if the weights were saved while a schedule-free optimizer was in training mode.

    The weights are then not the average that the optimizer computes.
    """
    pending = [value for key, value in saved.items() if str(key).startswith("optimizer")]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            for group in value.get("param_groups") or []:
                if isinstance(group, dict) and group.get("train_mode") is True:
                    log(
                        f"warning: {shown}: the schedule-free optimizer was in training mode; "
                        "these weights are not its average"
                    )
                    return
            pending += value.values()
