"""Read published weights as named tensors, from safetensors and torch files (of any version), recognised by content.

A torch file is a pickle, and a pickle can run any code. So it is read only by torch's restricted reader, which makes
tensors and containers. NumPy's scalars and number types are allowed too, because AlgoPerf's files contain some.
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

# Keys under which files store a model's weights; the last three are VISSL's (classy_state_dict.base_model.model.trunk).
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

    tensors: key -> tensor. others: keys that hold no tensor. stated: global_step, seed and step, those that the file
    states. container: file format. wrapper: keys, joined by dots, under which the tensors were.
    """

    tensors: dict[str, torch.Tensor]
    others: list[str]
    stated: dict[str, int]
    container: str
    wrapper: str = ""


def read_published(path: PathLike, shown: str | None = None) -> PublishedWeights:
    """Return the contents of a file of weights, on the CPU.

    shown: name of the file in messages (default: the path). Raise UserError if the file is in another format, or if its
    pickle needs anything but weights.
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
    raise UserError(f"{shown} is neither a torch nor a safetensors file{instead}: replace it by the right file")


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
    """Return the object in a torch file, read by torch's restricted reader."""
    try:
        # Pass an open file, because torch.load treats a path by its name.
        with open(path, "rb") as file, torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of error for a broken or hostile file; no code was run
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
    """Return what a pickled NumPy number needs: the function under its old and its new name, and the number types."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    types = {type(np.dtype(code)) for code in NUMBER_TYPES}
    return [*((scalar, name) for name in names), np.dtype, *sorted(types, key=lambda kind: kind.__name__)]


def _unwrapped(shown: str, value: Any, container: str) -> PublishedWeights:
    """Return the state dict that is nested in the object of a torch file."""
    if isinstance(value, dict) and OUR_STATE <= value.keys():
        raise UserError(
            f"{shown} is a training state, whose weights are not those for inference; use the .safetensors file beside "
            "it"
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
    """Return a number (Python's, NumPy's or a tensor with one value) as an int, or None if it is not a number."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _warn_of_training_point(shown: str, saved: dict[str, Any]) -> None:
    """Log a warning if a schedule-free optimizer in the file was in training mode: the weights are not its average."""
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
