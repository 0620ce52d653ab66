"""Make settings of stages from the config's defaults and the values that a test gives."""

from typing import Any

from pydantic import TypeAdapter

from workflow_scripts.timecat.backbones.settings import BackboneSettings
from workflow_scripts.timecat.config.backbones import AnyBackbone
from workflow_scripts.timecat.config.pretrain import Pretrain
from workflow_scripts.timecat.config.probe import Probe
from workflow_scripts.timecat.config.transfer import Transfer
from workflow_scripts.timecat.config.transforms import Transform as TransformBlock
from workflow_scripts.timecat.images.transform import Transform
from workflow_scripts.timecat.pretraining.recipe import Recipe
from workflow_scripts.timecat.probing.protocol import Protocol
from workflow_scripts.timecat.transfer.settings import OnRows


def backbone(architecture: str = "small_residual", **values: Any) -> BackboneSettings:
    return TypeAdapter(AnyBackbone).validate_python({"architecture": architecture} | values).settings()


def recipe(**values: Any) -> Recipe:
    return Recipe(**vars(Pretrain(seeds=[0]).recipe()) | values)


def protocol(**values: Any) -> Protocol:
    return Protocol(**vars(Probe().protocol()) | values)


def transform(**values: Any) -> Transform:
    return Transform(**vars(TransformBlock().settings()) | values)


def transfer(**values: Any) -> OnRows:
    """Return the settings of a transfer with one pass over the rows in an epoch."""
    return OnRows(**vars(Transfer().settings(Probe().init_std)) | {"passes": 1} | values)
