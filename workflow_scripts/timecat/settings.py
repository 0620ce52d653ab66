"""Define the settings of a stage: frozen dataclasses without defaults.

The default, description and checks of a setting are in one place, the block of the config that builds these classes
(config.blocks.settings_of). A stage gets them as JSON on its command line (runtime.json_arguments).
"""

from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, dataclass_transform

Class = TypeVar("Class")

# The only default that a field may have. The config leaves a key out where the key has no effect, so that changing it
# does not re-run the stage. A field with this default is never null in the config, and a key that may be null in the
# config has no default here.
LEFT_OUT = None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def settings(cls: type[Class]) -> type[Class]:
    """Turn a class into a frozen, keyword-only dataclass. Raise TypeError for a default other than LEFT_OUT."""
    made = dataclass(frozen=True, kw_only=True)(cls)
    for each in fields(made):  # type: ignore[arg-type]  # mypy takes what dataclass() returns for any class
        if each.default not in (MISSING, LEFT_OUT) or each.default_factory is not MISSING:
            raise TypeError(f"{cls.__name__}.{each.name} has a default; defaults belong to the config's block")
    # Pydantic reads the class from JSON strictly: it refuses unknown keys, and text instead of a number.
    made.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]  # pydantic looks for it
    return made


def told(value: Any) -> dict[str, Any]:
    """Return the settings ``value`` as a dict of keys and values, equal to the JSON from which the stage read them.

    Keys that the config left out are absent, also in nested settings.
    """
    found = [(each.name, getattr(value, each.name), each.default) for each in fields(value)]
    kept = {name: given for name, given, default in found if given is not LEFT_OUT or default is not LEFT_OUT}
    return {name: told(given) if is_dataclass(given) else given for name, given in kept.items()}
