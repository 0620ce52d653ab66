"""Base class and value types of the blocks of the typed config, and conversion of blocks to settings of stages."""

import os
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

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
Views = PositiveInt | Annotated[list[Literal["center"]], Field(min_length=1, max_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

Value = TypeVar("Value")


def repeated(values: list[Value]) -> Value | None:
    """Return the first value that is repeated, or None."""
    return next((value for number, value in enumerate(values) if value in values[:number]), None)


def _without_repeats(values: list[Value]) -> list[Value]:
    if (value := repeated(values)) is not None:
        raise ValueError(f"{value!r} is listed twice; remove one")
    return values


def _ascending(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError(f"{values} is not ascending; write {sorted(set(values))}")
    return values


def _with_home(path: str) -> str:
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(
            f"{path!r}: there is no such home folder; correct the path, or write ./{path} if a folder has this name"
        )
    return expanded


def _results_folder(path: str) -> str:
    if os.path.normpath(path) in (".", "/"):
        raise ValueError(f"{path!r} is not a separate folder for results; name one, for example results")
    if found := next((text for text in ("{", "}", "://") if text in path), None):
        raise ValueError(f"{path!r}: the path must not contain {found}; rename the folder")
    return os.path.normpath(path)


WithoutRepeats = AfterValidator(_without_repeats)
Ascending = AfterValidator(_ascending)
# A path may begin with `~`. Relative paths start from the working directory of the run.
FilePath = Annotated[Text, AfterValidator(_with_home)]
ResultsFolder = Annotated[FilePath, AfterValidator(_results_folder)]
Grid = Annotated[list[NonNegativeFloat], Field(min_length=1), WithoutRepeats]


class Block(BaseModel):
    """A block of the config. Unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Settings = TypeVar("Settings")
SomeBlock = TypeVar("SomeBlock", bound=Block)


def settings_of(kind: type[Settings], block: Block, **others: Any) -> Settings:
    """Return the settings of a stage: a frozen dataclass with the values of a block (lists become tuples).

    kind: class of the settings, made by timecat.settings; a test checks that its fields have the names and types of the
    block's keys. others: values of fields that the block lacks, or that replace the block's values.
    """
    names = {field.name for field in fields(kind)} - others.keys()  # type: ignore[arg-type]  # kind is a dataclass
    return kind(**{name: _frozen(value) for name, value in ({n: getattr(block, n) for n in names} | others).items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def changes_of(block: type[Block], name: str, without: tuple[str, ...] = ()) -> type[Block]:
    """Return a class of blocks that change some keys of ``block``: all keys but ``without``, each optional.

    Values are checked in the same way as in ``block``. Keys that a config leaves out keep the value in ``block``.
    """
    keys: dict[str, Any] = {
        key: (Annotated[field.annotation, Field(description=field.description), *field.metadata], None)
        for key, field in block.model_fields.items()
        if key not in without
    }
    return create_model(name, __base__=Block, __doc__=f"Changes to a {block.__name__}.", **keys)


def changed(block: SomeBlock, changes: Block | None) -> SomeBlock:
    """Return a block with changes applied; raise ValidationError if the result is not valid.

    changes: instance of a class that changes_of made, or None.
    """
    if changes is None:
        return block
    return type(block).model_validate(block.model_dump() | changes.model_dump(exclude_unset=True))
