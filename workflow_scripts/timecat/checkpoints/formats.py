"""Published weights as named tensors, told by content: torch files (also from before torch 1.6) and safetensors.

A torch file is a pickle, and a pickle can run anything. It is read by torch's restricted reader only, which makes tensors
and containers; NumPy's scalars and number types are allowed beside them, for AlgoPerf's files hold some in their records.
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

# Keys under which files hold a model's weights; the last three are VISSL's (classy_state_dict.base_model.model.trunk).
WRAPPERS = ("model_params", "state_dict", "model_state_dict", "model", "classy_state_dict", "base_model", "trunk")
OUR_STATE = {"identity", "model", "optimizer", "step"}  # keys of pretraining's own state file
NUMBER_TYPES = "?bhilqBHILQefdg"  # NumPy's codes
OTHER_FILES = {
    b"<": "a web page, perhaps an error's",
    b"version https://git-lfs": "a pointer of Git LFS in the file's place",
    b"\x1f\x8b": "a gzip file; write an archive as `checkpoints.archive`",
}


@dataclasses.dataclass
class PublishedWeights:
    """What a file holds. tensors: key -> tensor. others: keys beside them that hold none. stated: global_step, seed, step
    as far as the file states them. container, wrapper: how the tensors were packed."""

    tensors: dict[str, torch.Tensor]
    others: list[str]
    stated: dict[str, int]
    container: str
    wrapper: str = ""


def read_published(path: PathLike, shown: str | None = None) -> PublishedWeights:
    """Read a file of weights onto the CPU. UserError if it is none, or asks for more than weights to be made.

    shown: what messages call it (default: the path).
    """
    shown = shown or str(path)
    with open(path, "rb") as file:
        start = file.read(64)
    if start[8:9] == b"{":  # after the eight bytes of the header's length
        return _read_safetensors(path, shown)
    if zipfile.is_zipfile(path):
        return _unwrapped(shown, _load(path, shown), "torch")
    if start[:1] == b"\x80":  # how a pickle begins
        return _unwrapped(shown, _load(path, shown), "torch (legacy)")
    instead = next((f", but {what}" for begin, what in OTHER_FILES.items() if start.lstrip().startswith(begin)), "")
    raise UserError(f"{shown} is neither a torch nor a safetensors file{instead}: put the right one there")


def _read_safetensors(path: PathLike, shown: str) -> PublishedWeights:
    import safetensors

    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise UserError(f"{shown} cannot be read as a safetensors file ({error}); fetch it again") from None
    ours = json.loads(metadata["timecat"]) if "timecat" in metadata else {}
    stated = {key: ours[key] for key in ("seed", "step") if key in ours}
    return PublishedWeights(tensors, [], stated, "safetensors", "timecat" if ours else "")


def _load(path: PathLike, shown: str) -> Any:
    """A torch file's object, by the restricted reader."""
    try:
        # An open file, because torch.load goes by the name of a path.
        with open(path, "rb") as file, torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise all sorts on a broken or hostile file; nothing was run
        text = str(error)
    if wanted := re.search(r"GLOBAL (\S+)|(?:function|but got) <[^>]*?([\w.]+)'?[ >]", text):
        raise UserError(
            f"{shown} is refused: beside weights it wants {wanted[1] or wanted[2]}, and what a file asks for is not run here; "
            "save its state dict alone (torch.save(model.state_dict(), ...)) where you trust it"
        )
    if "Unsupported operand" in text:
        raise UserError(
            f"{shown} is written with another pickle protocol than torch's own, which its restricted reader does not know; "
            "save its state dict with torch.save and no pickle_protocol where you trust it"
        )
    # What stands before this word of torch's is advice to read the file without restriction.
    reason = (text.rpartition("WeightsUnpickler error:")[2].strip().splitlines() or ["no reason given"])[0]
    raise UserError(
        f"{shown} cannot be read as a torch file of weights ({reason}); it may be incomplete: fetch it again"
    )


def _numpy_scalars() -> list[Any]:
    """What a pickled NumPy number is made with: the function under its old and its new name, and the number types."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    types = {type(np.dtype(code)) for code in NUMBER_TYPES}
    return [*((scalar, name) for name in names), np.dtype, *sorted(types, key=lambda kind: kind.__name__)]


def _unwrapped(shown: str, value: Any, container: str) -> PublishedWeights:
    """The state dict inside of what a torch file holds."""
    if isinstance(value, dict) and OUR_STATE <= value.keys():
        raise UserError(
            f"{shown} is a training state, whose weights are not those for inference; take the .safetensors beside it"
        )
    stated, wrappers = dict[str, int](), list[str]()
    while True:
        if not isinstance(value, dict):
            raise UserError(f"{shown} holds a {type(value).__name__}, not a dict of weights; save a state dict")
        if (step := _whole_number(value.get("global_step"))) is not None:
            stated["global_step"] = step
        _warn_of_training_point(shown, value)
        inside = [key for key in WRAPPERS if isinstance(value.get(key), dict)]
        if len(inside) > 1:
            raise UserError(f"{shown} holds weights under both {inside[0]!r} and {inside[1]!r}; save one of them alone")
        if not inside:
            break
        wrappers.append(inside[0])
        value = value[inside[0]]
    tensors = {key: entry for key, entry in value.items() if isinstance(key, str) and isinstance(entry, torch.Tensor)}
    others = [str(key) for key in value if key not in tensors]
    return PublishedWeights(tensors, others, stated, container, ".".join(wrappers))


def _whole_number(value: Any) -> int | None:
    """A number of any kind (Python's, NumPy's, a tensor of one) as an int; None if it is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _warn_of_training_point(shown: str, saved: dict[str, Any]) -> None:
    """Say so if a schedule-free optimizer beside the weights was in training mode: they are then not its average."""
    pending = [value for key, value in saved.items() if str(key).startswith("optimizer")]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            for group in value.get("param_groups") or []:
                if isinstance(group, dict) and group.get("train_mode") is True:
                    log(f"warning: {shown}: its optimizer was in training mode; these weights are not its average")
                    return
            pending += value.values()
