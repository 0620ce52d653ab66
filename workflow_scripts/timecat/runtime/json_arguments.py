"""Read JSON options of stages as typed values, e.g. settings (frozen dataclasses), lists of seeds, names of views."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeForm

Value = TypeVar("Value")

# Pydantic's error types for a missing key, for an unknown key, and for a union whose key names none of its types.
MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
UNKNOWN_KIND = ("union_tag_not_found", "union_tag_invalid")


def json_of(kind: "TypeForm[Value]") -> Callable[[str], Value]:
    """Return an argparse type that reads JSON strictly as ``kind`` (a dataclass of settings, list[str], ...).

    For a wrong value the parser ends the stage with a one-line error message that names the option, the key and the
    mistake.
    """

    def parse(text: str) -> Value:
        try:
            return read_typed(kind, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def read_typed(kind: "TypeForm[Value]", text: str) -> Value:
    """Read a JSON text as a value of type ``kind``. Raise ValueError that names the wrong key and the mistake."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # imported late: it takes a tenth of a second

    own = hasattr(kind, "__pydantic_config__")  # classes of settings carry their pydantic config
    adapter = TypeAdapter(kind) if own else TypeAdapter(kind, config=ConfigDict(strict=True))
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError("; ".join(_sentences(error.errors(include_url=False), text))) from None


def _sentences(details: Sequence[Any], text: str) -> list[str]:
    """Return one message for each wrong key. The messages of the types of a union about the same value are joined."""
    if details[0]["type"] == "json_invalid":
        return [f"not JSON: {details[0]['ctx']['error']}"]
    found: dict[str, list[str]] = {}
    for detail in details:
        subject, predicate = _sentence(detail, json.loads(text))
        found.setdefault(subject, []).append(predicate)
    return [f"{subject} {', or '.join(dict.fromkeys(predicates))}" for subject, predicates in found.items()]


def _sentence(detail: Any, value: Any) -> tuple[str, str]:
    """Return the two parts of a message about one mistake: ("`key` is VALUE:", "description of the mistake")."""
    place = _place(detail["loc"], value)
    if detail["type"] in MISSING:
        return f"`{_dotted([*place, detail['loc'][-1]])}` is", "missing"
    if detail["type"] in UNKNOWN:
        return f"`{_dotted(place)}` is", "not a key"
    if detail["type"] in UNKNOWN_KIND:  # a union whose types are told apart by a key
        key = _dotted([*place, detail["ctx"]["discriminator"].strip("'")])
        if "tag" not in detail["ctx"]:
            return f"`{key}` is", "missing"
        return f"`{key}` is {detail['ctx']['tag']!r}:", f"it must be one of {detail['ctx']['expected_tags']}"
    shown = f"{detail['input']!r}:"
    return f"`{_dotted(place)}` is {shown}" if place else shown, f"{detail['msg'][0].lower()}{detail['msg'][1:]}"


def _place(steps: Sequence[int | str], value: Any) -> list[int | str]:
    """Return the path of keys and list indices to a mistake: pydantic's ``loc`` without the names of union types."""
    place: list[int | str] = []
    for step in steps:
        is_place = step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))
        if is_place:
            place.append(step)
            value = value[step]
    return place


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))
