"""Each setting is defined once: a block of the config, and the dataclass without defaults that it builds for a stage."""

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
# (block, what it builds, keys of the block that no stage is told, fields that come from elsewhere)
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
    (Features, "views"): tuple[str, ...],  # by name, and per data set
}


def plain(annotation, metadata=()):
    """A type without constraints; a list as the tuple that it becomes, of as many as its bounds say."""
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
def test_a_stage_reads_what_the_config_wrote(block, build, arguments, untold, added):
    made = build(block, *arguments)
    assert dataclasses.fields(made) and json_of(type(made))(canonical_json(made)) == made
    hash(made)  # nothing in it can be changed


@pytest.mark.parametrize(("name", "kind"), BACKBONES)
def test_a_backbones_settings_are_chosen_by_its_architecture(name, kind):
    made = kind(architecture=name).settings()
    assert json_of(BackboneSettings)(canonical_json(made)) == made


def test_a_last_width_is_told_only_where_there_is_one():
    """What stages have been told of networks without one has the same digest as before there was the key."""
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
def test_what_is_wrong_with_a_backbones_settings_is_said(change, message):
    told = {"architecture": "small_residual", "width": 8, "blocks": 3} | change
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}$"):
        json_of(BackboneSettings)(json.dumps(told))


def test_the_image_is_told_what_its_definition_names():
    told = canonical_json(ContainerImage(gpu=False).build_arguments())
    made = json_of(BuildArguments)(told)
    assert (made.BOOTSTRAP, made.GPU) == ("docker", "no") and json.loads(told).keys() <= arguments_of_the_definition()


def arguments_of_the_definition():
    text = (ROOT / "containers/timecat.def").read_text()
    return set(re.findall(r"^    ([A-Z]+)=", text.partition("%arguments")[2].partition("%help")[0], re.MULTILINE))


def test_a_block_has_no_twin_with_defaults():
    with pytest.raises(TypeError, match="Made.epochs has a default; defaults belong to the config's block"):

        @settings
        class Made:
            seed: int
            epochs: int = 28


def test_the_config_is_read_without_libraries_for_arrays():
    code = "import sys; import workflow_scripts.timecat.config.reading; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "pandas", "sklearn", "pyarrow"} & set(loaded)


# --- data sets: the config says what makes a split (`of_split`), and a reader has a class for it ---

KINDS = {
    kind: block for block in reference.blocks_in(AnyDataSet) for kind in get_args(block.model_fields["kind"].annotation)
}
NEVER_TOLD = {"title", "transform", "views", "weight_decays"}
FEW = {"fraction": 0.5}  # with it, the keys are told that draw rows
OFTEN = FEW | {"draws": 2}  # and with several draws, how many
# What each kind has to be told, and what is told or left out with it.
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
    """The blocks of a kind with what it needs and, where it has them, keys that say which others are told."""
    block = KINDS[kind]
    needs = {key: value for name, keys in BLOCKS.items() if name in block.model_fields for key, value in keys.items()}
    for further in VARIANTS:
        if further.keys() <= block.model_fields.keys():
            yield block(kind=kind, **needs, **further)


def told_of(block, split: str) -> list[dict]:
    """What the stage is told of a split; of a part, as a part of image files and as one of made images."""
    if not isinstance(block, Part):
        return [block.of_split(split)]
    wholes = ImageFolder(kind="image_folder", root="data", **FEW), Digits(kind="digits")
    return [block.of_whole(whole.of_split(split), split) for whole in wholes]


def all_told(kind: str) -> list[dict]:
    return [each for block in variants(kind) for split in ("train", "evaluation") for each in told_of(block, split)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_data_set_and_its_readers_settings_agree(kind):
    made = type(as_settings(all_told(kind)[0]))
    of_block = {name: each for name, each in KINDS[kind].model_fields.items() if name not in NEVER_TOLD}
    given = {each.name for each in dataclasses.fields(made) if each.default is not LEFT_OUT}
    types = get_type_hints(made)
    # A part's `of` is the whole's settings, where the block has a name; how it is stored is the whole's too.
    if kind == "part":
        assert types.pop("storage") == StorageSettings | None and types.pop("broken") == Literal["error", "skip"] | None
        del types["of"], of_block["of"]
    for name, each in of_block.items():
        wanted = MAPPINGS.get(name, plain(each.annotation, each.metadata))
        if isinstance(wanted, type) and issubclass(wanted, Storage):
            wanted = StorageSettings
        assert types.pop(name) == (wanted if name in given else wanted | None), name
    assert not types
    assert given == set.intersection(*map(set, all_told(kind))), "the others are left out of one block or the other"
    assert {name for told in all_told(kind) for name in told} | {"download"} >= {
        each.name for each in dataclasses.fields(made)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_stage_knows_what_the_config_left_out(kind):
    for told_values in all_told(kind):
        text = canonical_json(told_values)
        assert canonical_json(told(json_of(SETTINGS)(text))) == text


def test_storage_has_the_blocks_keys():
    for block in (Storage, RawStorage):
        fields = {name: plain(each.annotation, each.metadata) for name, each in block.model_fields.items()}
        assert get_type_hints(StorageSettings) == fields


def test_a_key_that_is_left_out_is_said_where_it_is_needed():
    made = as_settings({key: value for key, value in all_told("image_folder")[0].items() if key != "fraction"})
    with pytest.raises(UserError, match="the settings of the data set lack `fraction`, which this split needs; add it"):
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
def test_what_is_wrong_with_a_data_sets_settings_is_said(change, message):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{message}"):
        json_of(SETTINGS)(canonical_json(all_told("cues")[0] | change))


def test_a_null_is_no_default():
    with pytest.raises(argparse.ArgumentTypeError, match="^`components` is missing$"):
        json_of(SETTINGS)(canonical_json({k: v for k, v in all_told("cues")[0].items() if k != "components"}))
