"""What the settings of a stage are made of: frozen dataclasses without defaults.

Defaults, descriptions and checks of a setting are in one place, the block of the config that builds these classes
(config.blocks.settings_of). A stage gets them as JSON on its command line (runtime.json_arguments).
"""

from dataclasses import MISSING, dataclass, fields
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls: type[Class]) -> type[Class]:
    """Make a class of settings: a frozen dataclass, by keyword alone. TypeError if a field has a default of its own."""
    made = dataclass(frozen=True, kw_only=True)(cls)
    for field in fields(made):  # type: ignore[arg-type]  # mypy takes what dataclass() returns for any class
        if field.default is not MISSING or field.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{field.name} has a default; defaults belong to the config's block")
    # How pydantic reads the class from JSON: no further keys, and no text where a number is wanted.
    made.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]  # pydantic looks for it
    return made
