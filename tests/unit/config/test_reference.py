"""Tests of the generated sections of docs/reference/configuration.md.

Each block of the config has a section with a heading that is derived from the block.
"""

from typing import Literal, get_args

import pytest

from workflow_scripts.timecat.config import reference
from workflow_scripts.timecat.config.backbones import AnyBackbone
from workflow_scripts.timecat.config.blocks import Block
from workflow_scripts.timecat.config.data_sets import AnyDataSet, DataSet, Images, RawStorage, Rows, Storage, WithRows
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.config.transforms import CifarTransform, SequenceTransform
from workflow_scripts.timecat.images.datasets.registry import READERS


@pytest.mark.parametrize(
    "union", [AnyDataSet, AnyBackbone, *(field.annotation for field in Config.model_fields.values())]
)
def test_every_block_has_a_section(union):
    """Blocks of changes to another block have no section: the section of the other block describes them."""
    sections = list(reference.sections().values())
    missing = set(reference.blocks_in(union)) - set(sections)
    assert missing == set() and len(set(sections)) == len(sections)


def kinds_of(block: type[Block]) -> tuple[str, ...]:
    """Return the values of `kind` of a data set's block."""
    return get_args(block.model_fields["kind"].annotation)


def test_every_kind_has_a_heading_and_a_reader():
    blocks = reference.blocks_in(AnyDataSet)
    kinds = [kind for block in blocks for kind in kinds_of(block)]
    headings = {block: title for title, block in reference.sections().items()}
    for block in blocks:
        for kind in kinds_of(block):
            assert f"`{kind}`" in headings[block].replace("kind: ", "`"), kind
    assert set(kinds) == {*READERS, "part", "evaluation_folder"}


def test_headings_are_derived_from_the_blocks():
    headings = {block: title for title, block in reference.sections().items()}
    assert headings[DataSet] == "`data_sets.NAME`, any kind but `evaluation_folder`"
    made = [kind for block in headings if issubclass(block, WithRows) for kind in kinds_of(block)]
    assert len(made) > 2
    *others, last = (f"`{kind}`" for kind in made)
    assert headings[Rows] == f"`data_sets.NAME.rows` with `kind: {', '.join(others)[1:]} or {last}"
    assert headings[RawStorage] == "`data_sets.NAME.storage` with `kind: cifar10` or `cifar100`"
    assert headings[CifarTransform] == "`data_sets.NAME.transform` with `kind: cifar10` or `cifar100`"
    assert headings[SequenceTransform] == "`data_sets.NAME.transform`, any kind that has sequences"
    assert headings[Storage] == (
        "`data_sets.NAME.storage`, any kind that reads image files, and with `kind: evaluation_folder`"
    )


def test_the_heading_of_a_new_kind_comes_after_its_base_class(monkeypatch):
    class Scans(Images):
        """A data set of scans."""

        kind: Literal["scans", "slides"]

    monkeypatch.setattr(reference.data_sets, "Scans", Scans, raising=False)
    monkeypatch.setattr(reference.data_sets, "AnyDataSet", AnyDataSet | Scans)
    headings = list(reference.sections())
    at = headings.index("`data_sets.NAME` with `kind: scans` or `slides`")
    assert at > headings.index("`data_sets.NAME`, any kind that reads image files")
