"""Read the table of devices' speeds (config/throughputs.yaml) and look up or derive the speed of a backbone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.backbones.settings import BackboneSettings, SmallResidualSettings
from workflow_scripts.timecat.backbones.sizes import backbone_size
from workflow_scripts.timecat.config.backbones import AnyBackbone
from workflow_scripts.timecat.config.blocks import (
    Block,
    Name,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Share,
    Text,
)
from workflow_scripts.timecat.config.reading import load_unique, validated
from workflow_scripts.timecat.errors import UserError

TABLE = ROOT / "config/throughputs.yaml"

Precision = Literal["float32", "bf16"]


class Device(Block):
    """A GPU or a CPU core in the table of throughputs.

    kind: with `cpu`, the device is one core and every job takes cores; else only jobs that compute take devices.
    """

    title: Text
    kind: Literal["gpu", "cpu"]
    peak_tflops: PositiveFloat
    start_seconds: NonNegativeFloat
    source: Text


class Rate(Block):
    """Images per second of a backbone on a device."""

    backbone: AnyBackbone
    device: Name
    precision: Precision
    image_size: PositiveInt
    training: PositiveFloat
    extraction: PositiveFloat
    scaling: Share
    source: Text

    @property
    def network(self) -> BackboneSettings:
        """Settings of the backbone's network."""
        return self.backbone.settings()


class Assumptions(Block):
    """Assumptions that hold for all devices."""

    probe_share: Share
    written_per_core: PositiveFloat
    large_photograph: PositiveInt
    write_overhead: NonNegativeFloat


class Throughputs(Block):
    """Table of throughputs: devices, measured or published rates, and assumptions."""

    devices: dict[Name, Device] = Field(min_length=1)
    rates: list[Rate] = Field(min_length=1)
    assumptions: Assumptions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        seen: set[tuple[str, str, str, int]] = set()
        for number, rate in enumerate(self.rates):
            if rate.device not in self.devices:
                raise ValueError(
                    f"rates.{number}.device: {rate.device!r} is not one of `devices` ({', '.join(self.devices)}); add "
                    "it to `devices`"
                )
            key = (rate.backbone.model_dump_json(), rate.device, rate.precision, rate.image_size)
            if key in seen:
                raise ValueError(
                    f"rates.{number}: an earlier row has the same backbone, device, precision and image_size; "
                    "remove one"
                )
            seen.add(key)
        return self

    def default_device(self, backbone: BackboneSettings) -> str:
        """Return the first device with a row for the backbone.

        Without such a row, return the first device with a row for a backbone of the same family, or else the first
        device.
        """
        for is_alike in (lambda other: other == backbone, lambda other: _family(other) == _family(backbone)):
            for name in self.devices:
                if any(rate.device == name and is_alike(rate.network) for rate in self.rates):
                    return name
        return next(iter(self.devices))


@dataclass(frozen=True)
class Speed:
    """Speed of a backbone on a device.

    training, extraction: images per second. scaling: speed on 2n devices, divided by twice the speed on n devices.
    origin: source of the numbers.
    """

    training: float
    extraction: float
    scaling: float
    origin: str


def read_throughputs(path: str | Path = TABLE) -> Throughputs:
    """Read the table of throughputs in a file. Raise UserError if the file cannot be read or has a mistake."""
    try:
        values = load_unique(str(path))
    except OSError as error:
        raise UserError(
            f"the table of throughputs {path} cannot be read ({error.strerror}); correct --throughputs"
        ) from None
    table: Throughputs = validated(Throughputs, values, [str(path)])
    return table


def speed(table: Throughputs, device: str, backbone: BackboneSettings, image_size: int, precision: str) -> Speed:
    """Return a backbone's speed at an image size: from the table, or derived from its number of multiplications.

    Raise UserError if the table does not have the device, or has no row for the device in this precision.
    """
    if device not in table.devices:
        raise UserError(
            f"--device: {device!r} is not in the table of throughputs; choose one of {', '.join(table.devices)}"
        )
    rows = [rate for rate in table.rates if (rate.device, rate.precision) == (device, precision)]
    if not rows:
        raise UserError(
            f"the table of throughputs has no row for {device} in {precision}; add one to `rates` in "
            "config/throughputs.yaml, or choose another --device"
        )
    for rate in rows:
        if (rate.network, rate.image_size) == (backbone, image_size):
            return Speed(rate.training, rate.extraction, rate.scaling, rate.source)
    rows = [rate for rate in rows if _family(rate.network) == _family(backbone)] or rows
    cost = backbone_size(backbone, image_size).macs
    ratio, nearest = min(
        ((backbone_size(rate.network, rate.image_size).macs / cost, rate) for rate in rows),
        key=lambda pair: max(pair[0], 1 / pair[0]),
    )
    origin = f"derived from {nearest.backbone.architecture} at {nearest.image_size} px by the number of multiplications"
    return Speed(nearest.training * ratio, nearest.extraction * ratio, nearest.scaling, origin)


def _family(backbone: BackboneSettings) -> bool:
    """Return whether a backbone is one of the project's small networks, whose speed other networks predict poorly."""
    return isinstance(backbone, SmallResidualSettings)
