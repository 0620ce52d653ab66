"""Published weights as the weights of a backbone of ours: every key has its place, or is named.

Files wrap a network in prefixes (``module.``, ``_orig_mod.module.``, ``module.encoder.``, ``backbone.``) and keep other
heads beside it. The prefix is found, not listed: the one under which most of the backbone's layers stand.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch

from workflow_scripts.timecat.checkpoints.names import layers_of, renamed
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.command import log

WRAPPED = ("_orig_mod.", "module.")  # of torch.compile and DistributedDataParallel
CLASSIFIER = "fc"  # what ours and torchvision's ResNets call it
COUNTER = "num_batches_tracked"  # batch norm's; files from before torch 0.4.1 lack it, and inference does not read it
LISTED = 8  # keys in a sentence; the log has them all

Tensors = dict[str, torch.Tensor]  # by name
Layers = list[tuple[str, str]]  # of names.layers_of


@dataclasses.dataclass
class Placed:
    """backbone: name in the backbone -> tensor, complete. classifier: fc.weight and fc.bias, or empty. prefix: what the
    backbone's layers stood under. left_out: keys of the file that were not taken."""

    backbone: Tensors
    classifier: Tensors
    prefix: str
    left_out: list[str]


def place(
    tensors: Tensors,
    others: list[str],
    wanted: Tensors,
    dimension: int,
    ignored: Sequence[str],
    path: str,
    classifiers: tuple[str, ...] = (CLASSIFIER,),
) -> Placed:
    """Give every tensor of a file its place in a backbone.

    tensors: the file's, by key. others: keys that hold no tensor. wanted: the backbone's own state dict. dimension: of
    its features. ignored: shell patterns of keys that may be left out. path: for messages. classifiers: what the layer
    after the features may be called. Raises UserError that lists the keys which are missing, have no place or another
    shape, and values that no trained network has.
    """
    keys = [*tensors, *others]
    prefix = _prefix([key for key in keys if not _matches(_spellings(key), ignored)], wanted, path)
    backbone, rest, layers = Tensors(), dict[str, list[str]](), layers_of(wanted)
    for key in keys:
        name = _in_backbone(key, prefix, wanted, layers)
        if name is None or key not in tensors:
            rest[key] = _spellings(key, prefix)
        elif name in backbone:
            raise UserError(f"{path} has {name} twice, once as {key}; list one in `checkpoints.ignored`")
        else:
            backbone[name] = tensors[key]
    classifier, rest = _take_classifier(tensors, rest, prefix, dimension, classifiers)
    unexpected = [key for key, spellings in rest.items() if not _matches(spellings, ignored)]
    missing = [name for name in wanted if name not in backbone and not name.endswith(COUNTER)]
    if not classifier:
        missing += [name for name in (f"{CLASSIFIER}.weight", f"{CLASSIFIER}.bias") if not _matches([name], ignored)]
    if unexpected or missing:
        raise UserError(_mismatch(path, prefix, unexpected, missing))
    _check_shapes(path, backbone, wanted)
    backbone = _as_wanted(backbone, wanted)
    _check_values(path, backbone | classifier)
    return Placed(backbone, classifier, prefix, list(rest))


def _prefix(keys: list[str], wanted: Tensors, path: str) -> str:
    """The prefix under which most of the wanted names stand."""
    counts, layers = collections.Counter[str](), layers_of(wanted)
    for key in keys:
        parts = renamed(key, layers).split(".")
        for first in range(len(parts)):
            if ".".join(parts[first:]) in wanted:
                counts["".join(f"{part}." for part in parts[:first])] += 1
    best = counts.most_common(2)
    if not best:
        raise UserError(
            f"{path} holds no layer of the backbone: its keys are {_some(keys)}, wanted are {_some(list(wanted))}; choose "
            "the backbone that it was made with"
        )
    if len(best) == 2 and best[0][1] == best[1][1]:
        (one, _), (other, _) = best
        raise UserError(
            f"{path} holds the backbone twice, under {one!r} and under {other!r}; list one of them in `checkpoints.ignored`, "
            f"such as {other + '*'!r}"
        )
    return best[0][0]


def _in_backbone(key: str, prefix: str, wanted: Tensors, layers: Layers) -> str | None:
    """A key's name in the backbone; None if it has none."""
    name = renamed(key, layers)
    return name[len(prefix) :] if name.startswith(prefix) and name[len(prefix) :] in wanted else None


def _spellings(key: str, prefix: str = "") -> list[str]:
    """A key as patterns may mean it: whole, without the backbone's prefix, without what torch wraps models in."""
    bare = key
    while wrapped := next((part for part in WRAPPED if bare.startswith(part)), None):
        bare = bare[len(wrapped) :]
    return [key, bare, key.removeprefix(prefix)]


def _matches(spellings: list[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in spellings for pattern in patterns)


def _take_classifier(
    tensors: Tensors, rest: dict[str, list[str]], prefix: str, dimension: int, names: Iterable[str]
) -> tuple[Tensors, dict[str, list[str]]]:
    """(fc.weight and fc.bias, or nothing if none fits; the other keys). It stands beside the backbone's layers, or, as in
    our own files, beside the backbone."""
    for outer, name in itertools.product((prefix, prefix.removesuffix("backbone.")), names):
        keys = (f"{outer}{name}.weight", f"{outer}{name}.bias")
        if not all(key in rest and key in tensors for key in keys):
            continue
        weight, bias = (tensors[key].detach().float() for key in keys)
        if weight.dim() == 2 and weight.shape[1] == dimension and bias.shape == weight.shape[:1]:
            taken = {f"{CLASSIFIER}.weight": weight, f"{CLASSIFIER}.bias": bias}
            return taken, {key: value for key, value in rest.items() if key not in keys}
    return {}, rest


def _mismatch(path: str, prefix: str, unexpected: list[str], missing: list[str]) -> str:
    parts = []
    for title, keys in (("unexpected", unexpected), ("missing", missing)):
        for key in keys:
            log(f"{title} key: {key}")
        if keys:
            parts.append(f"{title} keys are {_some(keys)}")
    return (
        f"{path} does not fit the backbone (found under the prefix {prefix!r}): {'; '.join(parts)}. Choose the backbone that "
        "it was made with; list what may be left out in `checkpoints.ignored`"
    )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:LISTED]) + (f" and {len(keys) - LISTED} more" if len(keys) > LISTED else "")


def _check_shapes(path: str, backbone: Tensors, wanted: Tensors) -> None:
    other = [
        f"{name} is {list(value.shape)} and must be {list(wanted[name].shape)}"
        for name, value in backbone.items()
        if value.shape != wanted[name].shape
    ]
    if not other:
        other = [
            f"{name} holds {value.dtype}, not {wanted[name].dtype}"
            for name, value in backbone.items()
            if value.dtype.is_floating_point != wanted[name].dtype.is_floating_point
        ]
    if other:
        raise UserError(
            f"{path} has other tensors than the backbone: {_some(other)}; choose the backbone it was made with"
        )


def _as_wanted(backbone: Tensors, wanted: Tensors) -> Tensors:
    """The backbone's tensors in its own order and number types; counters that the file lacks are 0."""
    return {
        name: backbone[name].detach().to(own.dtype) if name in backbone else torch.zeros(own.shape, dtype=own.dtype)
        for name, own in wanted.items()
    }


def _check_values(path: str, tensors: Tensors) -> None:
    """UserError for values that no trained network has: infinite or no numbers, variances that are not positive."""
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise UserError(f"{path}: {name} has values that are not finite; the training failed or the file is broken")
        if name.endswith("running_var") and not (value > 0).all():
            raise UserError(
                f"{path}: {name} has variances that are not positive; the file is broken or was never trained"
            )


def counts_of(backbone: Tensors) -> tuple[int, int]:
    """(convolutions, batch norms) of a backbone's tensors."""
    return sum(value.dim() == 4 for value in backbone.values()), sum(name.endswith("running_var") for name in backbone)
