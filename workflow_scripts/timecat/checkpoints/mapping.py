"""Map the keys of published weights to the names of a backbone's layers.

Published files add prefixes to a network's names (``module.``, ``_orig_mod.module.``, ``module.encoder.``,
``backbone.``) and contain further heads. This module has no list of prefixes: it takes the prefix that most of the
backbone's layers have in the file. If keys are missing or unexpected, an error lists them.
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

WRAPPED = ("_orig_mod.", "module.")  # prefixes that torch.compile and DistributedDataParallel add
CLASSIFIER = "fc"  # name of the classifier in this project and in torchvision's ResNets
COUNTER = "num_batches_tracked"  # batch norm's counter; absent in files from before torch 0.4.1, unused in inference
LISTED = 8  # largest number of keys that a message lists; the log lists all keys

Tensors = dict[str, torch.Tensor]  # name -> tensor
Layers = list[tuple[str, str]]  # result of names.layers_of


@dataclasses.dataclass
class Placed:
    """Tensors of a published file, mapped to a backbone and its classifier.

    backbone: name in the backbone -> tensor, for all names. classifier: fc.weight and fc.bias, or empty. prefix: prefix
    of the backbone's layers in the file. left_out: keys of the file that are not used.
    """

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
    """Map every tensor of a published file to its name in a backbone.

    tensors: the file's tensors by key. others: keys whose values are not tensors. wanted: state dict of the backbone.
    dimension: number of the backbone's features. ignored: shell patterns of keys that may be left out. path: the file's
    name in messages. classifiers: possible names of the layer after the features.

    Raise UserError if keys are missing or unexpected, if a shape differs from the backbone's, or if a tensor has values
    that no trained network has. The message lists them.
    """
    keys = [*tensors, *others]
    prefix = _prefix([key for key in keys if not _matches(_spellings(key), ignored)], wanted, path)
    backbone, rest, layers = Tensors(), dict[str, list[str]](), layers_of(wanted)
    for key in keys:
        name = _in_backbone(key, prefix, wanted, layers)
        if name is None or key not in tensors:
            rest[key] = _spellings(key, prefix)
        elif name in backbone:
            raise UserError(f"{path} contains {name} twice, once as {key}; list one in `checkpoints.ignored`")
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
    """Return the prefix that most of the names ``wanted`` have in the file.

    Raise UserError if no name is in the file, or if two prefixes are equally frequent.
    """
    counts, layers = collections.Counter[str](), layers_of(wanted)
    for key in keys:
        parts = renamed(key, layers).split(".")
        for first in range(len(parts)):
            if ".".join(parts[first:]) in wanted:
                counts["".join(f"{part}." for part in parts[:first])] += 1
    best = counts.most_common(2)
    if not best:
        raise UserError(
            f"{path} contains no layer of the backbone: its keys are {_some(keys)}, but the backbone has "
            f"{_some(list(wanted))}; choose the backbone with which the file was created"
        )
    if len(best) == 2 and best[0][1] == best[1][1]:
        (one, _), (other, _) = best
        raise UserError(
            f"{path} contains the backbone twice, under {one!r} and under {other!r}; list one of them in "
            f"`checkpoints.ignored`, such as {other + '*'!r}"
        )
    return best[0][0]


def _in_backbone(key: str, prefix: str, wanted: Tensors, layers: Layers) -> str | None:
    """Return the backbone's name for a key of the file, or None if the backbone does not have this layer."""
    name = renamed(key, layers)
    return name[len(prefix) :] if name.startswith(prefix) and name[len(prefix) :] in wanted else None


def _spellings(key: str, prefix: str = "") -> list[str]:
    """Return the forms of a key that a pattern may match: complete, without torch's prefixes, without ``prefix``."""
    bare = key
    while wrapped := next((part for part in WRAPPED if bare.startswith(part)), None):
        bare = bare[len(wrapped) :]
    return [key, bare, key.removeprefix(prefix)]


def _matches(spellings: list[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in spellings for pattern in patterns)


def _take_classifier(
    tensors: Tensors, rest: dict[str, list[str]], prefix: str, dimension: int, names: Iterable[str]
) -> tuple[Tensors, dict[str, list[str]]]:
    """Return (classifier, remaining keys).

    The classifier is a dict of fc.weight and fc.bias, or an empty dict if no layer of the file fits. In the file it has
    the same prefix as the backbone's layers or, as in this project's files, the prefix without ``backbone.``.
    """
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
        f"{path} does not fit the backbone (found under the prefix {prefix!r}): {'; '.join(parts)}. Choose the "
        "backbone with which the file was made, or list keys that may be left out in `checkpoints.ignored`"
    )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:LISTED]) + (f" and {len(keys) - LISTED} more" if len(keys) > LISTED else "")


def _check_shapes(path: str, backbone: Tensors, wanted: Tensors) -> None:
    other = [
        f"{name} has the shape {list(value.shape)} and must have {list(wanted[name].shape)}"
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
            f"{path} does not match the backbone: {_some(other)}; choose the backbone with which the file was created"
        )


def _as_wanted(backbone: Tensors, wanted: Tensors) -> Tensors:
    """Return the tensors in the order and dtypes of the backbone's state dict. Missing counters are set to 0."""
    return {
        name: backbone[name].detach().to(own.dtype) if name in backbone else torch.zeros(own.shape, dtype=own.dtype)
        for name, own in wanted.items()
    }


def _check_values(path: str, tensors: Tensors) -> None:
    """Raise UserError for values that no trained network has: infinite or NaN, or variances that are not positive."""
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise UserError(
                f"{path}: {name} has values that are not finite; training diverged or the file is damaged: use another "
                "file"
            )
        if name.endswith("running_var") and not (value > 0).all():
            raise UserError(
                f"{path}: {name} has variances that are not positive; the file is damaged or the network was never "
                "trained: use another file"
            )


def counts_of(backbone: Tensors) -> tuple[int, int]:
    """Return (number of convolutions, number of batch norms) of a backbone's tensors."""
    return sum(value.dim() == 4 for value in backbone.values()), sum(name.endswith("running_var") for name in backbone)
