"""What the blocks of the typed config are made of: strict models, and the types of their values."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Text = Annotated[str, Field(min_length=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seed = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def repeated(values: list):
    """The first value that stands there twice, or None."""
    return next((value for number, value in enumerate(values) if value in values[:number]), None)


def _without_repeats(values: list) -> list:
    if (value := repeated(values)) is not None:
        raise ValueError(f"{value!r} stands there twice; remove one")
    return values


def _ascending(values: list) -> list:
    if values != sorted(set(values)):
        raise ValueError(f"{values} is not ascending; write {sorted(set(values))}")
    return values


WithoutRepeats = AfterValidator(_without_repeats)
Ascending = AfterValidator(_ascending)
Grid = Annotated[list[NonNegativeFloat], Field(min_length=1), WithoutRepeats]


class Block(BaseModel):
    """A block of the config."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
