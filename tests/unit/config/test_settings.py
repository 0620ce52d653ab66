"""Tests that blocks of the config and the settings classes that they build for stages have equal keys and types."""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from annotated_types import MaxLen, MinLen

from tests.support.studies import ROOT
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.config import reference
from workflow_scripts.timecat.config.backbones import OWN_BACKBONES, LibraryBackbone, SmallResidual
from workflow_scripts.timecat.config.calibration import Calibration
from workflow_scripts.timecat.config.container import ContainerImage
from workflow_scripts.timecat.config.counterexample import Counterexample
from workflow_scripts.timecat.config.data_sets import AnyDataSet, Digits, ImageFolder, Part, RawStorage, Storage
from workflow_scripts.timecat.config.features import Features
from workflow_scripts.timecat.config.heldout import Heldout
from workflow_scripts.timecat.config.pretrain import NOT_OF_THE_RECIPE, Pretrain
from workflow_scripts.timecat.config.probe import Probe, Reduce
from workflow_scripts.timecat.config.reweight import Reweight
from workflow_scripts.timecat.config.transfer import DirectTransfer, Transfer
from workflow_scripts.timecat.config.transforms import CifarTransform, PhotoTransform, Transform
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_rows
from workflow_scripts.timecat.images.datasets.registry import SETTINGS, as_settings
from workflow_scripts.timecat.images.datasets.settings import StorageSettings
from workflow_scripts.timecat.runtime.container import BuildArguments
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.settings import LEFT_OUT, settings, told

BACKBONES = [*OWN_BACKBONES.items(), ("resnet18", LibraryBackbone)]
WIDE = SmallResidual(architecture="small_residual", last_width=24)
OF_TRAINING = set(Pretrain.model_fields) - {"initialisation", "zero_gamma"}
# (block, method that builds the settings, its arguments, keys that no stage gets, fields that are no keys of the block)
PAIRS = [
    (Pretrain(seeds=[1]), Pretrain.recipe, (), set(NOT_OF_THE_RECIPE), set()),
    (Pretrain(seeds=[1]), Pretrain.start, (), OF_TRAINING, set()),
    (Features(), Features.extraction, (["center"],), set(), set()),
    (Probe(), Probe.protocol, (), {"solver"}, {"reduce"}),
    (
        Probe(solver="lbfgs"),
        Probe.protocol,
        (),
        set(Probe.model_fields) - {"batch_norm", "weight_decays"},
        {"solver", "reduce"},
    ),
    (Transfer(), Transfer.settings, (0.5,), set(), {"init_std"}),
    (DirectTransfer(), Transfer.settings, (0.5,), set(), {"init_std"}),
    (Heldout(), Heldout.settings, (), set(), set()),
    (Reweight(), Reweight.settings, (), set(), set()),
    (Counterexample(), Counterexample.settings, (), set(), set()),
    (Calibration(), Calibration.settings, (), {"tables"}, set()),
    *((block(), Transform.settings, (), set(), set()) for block in (Transform, PhotoTransform, CifarTransform)),
    (Reduce(method="pca", dimensions=3), Reduce.settings, (), set(), set()),
    *((kind(architecture=name), kind.settings, (), {"pretrain", "checkpoints"}, set()) for name, kind in BACKBONES),
    (WIDE, SmallResidual.settings, (), {"pretrain", "checkpoints"}, set()),
]
OTHER_TYPES = {
    (Features, "views"): tuple[str, ...],  # names of the views of one data set
}


def plain(annotation, metadata=()):
    """Return a type without constraints; a list becomes a tuple, of fixed length if its bounds are equal."""
    metadata = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += [single for each in more for single in getattr(each, "metadata", [each])]
    parts = tuple(map(plain, get_args(annotation))) if get_origin(annotation) is not Literal else ()
    if get_origin(annotation) in (Union, UnionType):
        return Union[parts]  # noqa: UP007 (of a tuple)
    if get_origin(annotation) is not list:
        return annotation
    bounds = [[each for each in metadata if isinstance(each, kind)] for kind in (MinLen, MaxLen)]
    if all(bounds) and bounds[0][0].min_length == bounds[1][0].max_length:
        return tuple[parts * bounds[0][0].min_length]
    return tuple[parts[0], ...]


@pytest.mark.parametrize(("block", "build", "arguments", "untold", "added"), PAIRS)
def test_a_block_and_its_settings_agree_in_names_and_types(block, build, arguments, untold, added):
    made = build(block, *arguments)
    keys = {name: field for name, field in type(block).model_fields.items() if name not in untold}
    types = {name: kind for name, kind in get_type_hints(type(made)).items() if name not in added}
    wanted = {
        name: OTHER_TYPES.get((type(block), name), plain(field.annotation, field.metadata))
        for name, field in keys.items()
    }
    assert types == wanted
    own = block.model_dump(exclude=untold | {name for kind, name in OTHER_TYPES if kind is type(block)})
    left_out = {
        each.name for each in dataclasses.fields(made) if each.default is LEFT_OUT and own.get(each.name) is None
    }
    own = {key: value for key, value in own.items() if key not in left_out}
    assert json.loads(canonical_json(made)).items() >= json.loads(canonical_json(own)).items()
    assert not left_out & json.loads(canonical_json(made)).keys()


@pytest.mark.parametrize(("block", "build", "arguments", "untold", "added"), PAIRS)
def test_a_stage_reads_the_settings_that_the_config_wrote(block, build, arguments, untold, added):
    made = build(block, *arguments)
    assert dataclasses.fields(made) and json_of(type(made))(canonical_json(made)) == made
    hash(made)  # the settings are immutable


@pytest.mark.parametrize(("name", "kind"), BACKBONES)
def test_the_architecture_determines_the_class_of_settings(name, kind):
    made = kind(architecture=name).settings()
    assert json_of(BackboneSettings)(canonical_json(made)) == made


def test_settings_contain_last_width_only_if_it_is_set():
    """Settings without `last_width` therefore have the same digest as before the key was added."""
    plain = canonical_json(SmallResidual(architecture="small_residual").settings())
    assert plain == '{"architecture":"small_residual","blocks":3,"width":8}'
    made = WIDE.settings()
    assert json.loads(canonical_json(made)) == json.loads(plain) | {"last_width": 24}
    assert json_of(BackboneSettings)(canonical_json(made)) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": "8"}, "`width` is '8': input should be a valid integer"),
        ({"wide": 8}, "`wide` is not a key"),
        (
            {"architecture": "small_vit"},
            "`patch` is missing; `depth` is missing; `heads` is missing; `blocks` is not a key",
        ),
        ({"architecture": 3}, "`architecture` is 3: input should be a valid string; `blocks` is not a key"),
    ],
)
def test_a_mistake_in_a_backbones_settings_is_named(change, message):
    told = {"architecture": "small_residual", "width": 8, "blocks": 3} | change
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}$"):
        json_of(BackboneSettings)(json.dumps(told))


def test_the_image_definition_has_all_build_arguments():
    told = canonical_json(ContainerImage(gpu=False).build_arguments())
    made = json_of(BuildArguments)(told)
    assert (made.BOOTSTRAP, made.GPU) == ("docker", "no") and json.loads(told).keys() <= arguments_of_the_definition()


def arguments_of_the_definition():
    """Return the names of the build arguments that containers/timecat.def lists."""
    text = (ROOT / "containers/timecat.def").read_text()
    return set(re.findall(r"^    ([A-Z]+)=", text.partition("%arguments")[2].partition("%help")[0], re.MULTILINE))


def test_a_settings_class_with_a_default_is_refused():
    with pytest.raises(TypeError, match="Made.epochs has a default; defaults belong to the config's block"):

        @settings
        class Made:
            seed: int
            epochs: int = 28


def test_reading_the_config_imports_no_array_libraries():
    code = "import sys; import workflow_scripts.timecat.config.reading; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pandas", "sklearn", "pyarrow"} & set(loaded)


# --- data sets: `of_split` of a block gives the settings of a split, and the reader has a class for them ---

KINDS = {
    kind: block for block in reference.blocks_in(AnyDataSet) for kind in get_args(block.model_fields["kind"].annotation)
}
NEVER_TOLD = {"title", "transform", "views", "weight_decays"}
FEW = {"fraction": 0.5}  # adds the keys that draw rows to the settings
OFTEN = FEW | {"draws": 2}  # adds the number of draws, too
# Required keys of the kinds; each entry applies to the kinds that have the key by which it is listed.
BLOCKS = {
    "rows": {"rows": {"train": 3, "evaluation": 2}},
    "root": {"root": "data"},
    "length": {"length": 50},
    "train": {"train": ["*.fna"], "evaluation": ["test.fna"]},
    "probe_of": {"probe_of": "cues"},
    "of": {"of": "whole", "where": {"class_name": ["a", 1]}},
}
VARIANTS = ({}, FEW, OFTEN, {"classes": 2}, {"classes": ["b", "a"]}, {"components": 3}, {"balanced_by": ["class_name"]})
MAPPINGS = {"rows": Mapping[str, int], "where": Mapping[str, tuple[str | int, ...]]}


def variants(kind: str):
    """Yield blocks of a kind with its required keys, without and with each of VARIANTS that the kind allows."""
    block = KINDS[kind]
    needs = {key: value for name, keys in BLOCKS.items() if name in block.model_fields for key, value in keys.items()}
    for further in VARIANTS:
        if further.keys() <= block.model_fields.keys():
            yield block(kind=kind, **needs, **further)


def told_of(block, split: str) -> list[dict]:
    """Return the settings of a split that the stage gets.

    For a part, these are two: for a part of image files and for a part of digits.
    """
    if not isinstance(block, Part):
        return [block.of_split(split)]
    wholes = ImageFolder(kind="image_folder", root="data", **FEW), Digits(kind="digits")
    return [block.of_whole(whole.of_split(split), split) for whole in wholes]


def all_told(kind: str) -> list[dict]:
    """Return the settings that the stage gets for all variants of a kind and both splits."""
    return [each for block in variants(kind) for split in ("train", "evaluation") for each in told_of(block, split)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_data_set_and_its_readers_settings_agree(kind):
    made = type(as_settings(all_told(kind)[0]))
    of_block = {name: each for name, each in KINDS[kind].model_fields.items() if name not in NEVER_TOLD}
    given = {each.name for each in dataclasses.fields(made) if each.default is not LEFT_OUT}
    types = get_type_hints(made)
    # `of` of a part is the name of the parent data set in the block, but the parent's settings in the stage's settings.
    # These also have the parent's storage.
    if kind == "part":
        assert types.pop("storage") == StorageSettings | None and types.pop("broken") == Literal["error", "skip"] | None
        del types["of"], of_block["of"]
    for name, each in of_block.items():
        wanted = MAPPINGS.get(name, plain(each.annotation, each.metadata))
        if isinstance(wanted, type) and issubclass(wanted, Storage):
            wanted = StorageSettings
        assert types.pop(name) == (wanted if name in given else wanted | None), name
    assert not types
    assert given == set.intersection(*map(set, all_told(kind))), "each other key is left out for some block"
    assert {name for told in all_told(kind) for name in told} | {"download"} >= {
        each.name for each in dataclasses.fields(made)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_optional_keys_stay_left_out_in_a_stage(kind):
    for told_values in all_told(kind):
        text = canonical_json(told_values)
        assert canonical_json(told(json_of(SETTINGS)(text))) == text


def test_storage_settings_have_the_keys_of_the_block():
    for block in (Storage, RawStorage):
        fields = {name: plain(each.annotation, each.metadata) for name, each in block.model_fields.items()}
        assert get_type_hints(StorageSettings) == fields


def test_a_missing_key_that_a_split_needs_is_named():
    made = as_settings({key: value for key, value in all_told("image_folder")[0].items() if key != "fraction"})
    with pytest.raises(
        UserError, match="the settings of the data set lack `fraction`, which this split needs; add the key"
    ):
        split_rows(np.zeros(3), made, "train")
    assert len(split_rows(np.zeros(3), made, "evaluation")[0]) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "cue"}, "`kind` is 'cue': it must be one of "),
        ({"components": "two"}, "`components` is 'two': input should be a valid integer"),
        ({"title": "Cues"}, "`title` is not a key"),
    ],
)
def test_a_mistake_in_a_data_sets_settings_is_named(change, message):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}"):
        json_of(SETTINGS)(canonical_json(all_told("cues")[0] | change))


def test_a_key_whose_value_may_be_null_is_still_required():
    with pytest.raises(argparse.ArgumentTypeError, match="^`components` is missing$"):
        json_of(SETTINGS)(canonical_json({k: v for k, v in all_told("cues")[0].items() if k != "components"}))
