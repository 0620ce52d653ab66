"""JSON as typed values: settings (frozen dataclasses), lists of seeds, names of views, arms. How options of stages are read."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeForm

Value = TypeVar("Value")

# What pydantic calls a key that is not there, one that is none, and a union's key that names none of its types.
MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
UNKNOWN_KIND = ("union_tag_not_found", "union_tag_invalid")


def json_of(kind: "TypeForm[Value]") -> Callable[[str], Value]:
    """An argparse type: JSON of a type (a dataclass of settings, list[str], ...), read strictly.

    The parser ends the stage with a sentence that names the option, the key and what is wrong with it.
    """

    def parse(text: str) -> Value:
        try:
            return read_typed(kind, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def read_typed(kind: "TypeForm[Value]", text: str) -> Value:
    """The value of a type that a JSON text describes. ValueError, which names key and mistake, if it describes none."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # here: it takes a tenth of a second to import

    own = hasattr(kind, "__pydantic_config__")  # settings say themselves how they are read
    adapter = TypeAdapter(kind) if own else TypeAdapter(kind, config=ConfigDict(strict=True))
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError("; ".join(_sentences(error.errors(include_url=False), text))) from None


def _sentences(details: Sequence[Any], text: str) -> list[str]:
    """What is wrong, place by place; what each type of a union says of one value is one sentence."""
    if details[0]["type"] == "json_invalid":
        return [f"not JSON: {details[0]['ctx']['error']}"]
    found: dict[str, list[str]] = {}
    for detail in details:
        subject, predicate = _sentence(detail, json.loads(text))
        found.setdefault(subject, []).append(predicate)
    return [f"{subject} {', or '.join(dict.fromkeys(predicates))}" for subject, predicates in found.items()]


def _sentence(detail: Any, value: Any) -> tuple[str, str]:
    """Subject and predicate of the sentence on one mistake in a value."""
    place = _place(detail["loc"], value)
    if detail["type"] in MISSING:
        return f"`{_dotted([*place, detail['loc'][-1]])}` is", "missing"
    if detail["type"] in UNKNOWN:
        return f"`{_dotted(place)}` is", "not a key"
    if detail["type"] in UNKNOWN_KIND:  # of a union whose types a key tells apart
        key = _dotted([*place, detail["ctx"]["discriminator"].strip("'")])
        if "tag" not in detail["ctx"]:
            return f"`{key}` is", "missing"
        return f"`{key}` is {detail['ctx']['tag']!r}:", f"it must be one of {detail['ctx']['expected_tags']}"
    shown = f"{detail['input']!r}:"
    return f"`{_dotted(place)}` is {shown}" if place else shown, f"{detail['msg'][0].lower()}{detail['msg'][1:]}"


def _place(steps: Sequence[int | str], value: Any) -> list[int | str]:
    """Where in a value a mistake is: pydantic's steps to it, less the names of a union's types, which are no keys."""
    place: list[int | str] = []
    for step in steps:
        is_place = step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))
        if is_place:
            place.append(step)
            value = value[step]
    return place


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))
