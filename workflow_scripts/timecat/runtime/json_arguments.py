"""JSON-valued options of stages as typed values: settings (frozen dataclasses), lists of seeds, names of views."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import TypeForm

Value = TypeVar("Value")


def json_of(kind: "TypeForm[Value]") -> Callable[[str], Value]:
    """An argparse type: JSON of a type (a dataclass of settings, list[str], ...), read strictly.

    The parser ends the stage with a sentence that names the option, the key and what is wrong with it.
    """

    def parse(text: str) -> Value:
        from pydantic import ConfigDict, TypeAdapter, ValidationError  # here: it takes a tenth of a second to import

        own = hasattr(kind, "__pydantic_config__")  # settings say themselves how they are read
        adapter = TypeAdapter(kind) if own else TypeAdapter(kind, config=ConfigDict(strict=True))
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            details = error.errors(include_url=False)
            raise argparse.ArgumentTypeError("; ".join(map(_sentence, details))) from None

    return parse


def _sentence(detail: Any) -> str:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "json_invalid":
        return f"not JSON: {detail['ctx']['error']}"
    if detail["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"`{key}` is missing"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"`{key}` is not a key"
    message = f"{detail['msg'][0].lower()}{detail['msg'][1:]}"
    return f"`{key}` is {detail['input']!r}: {message}" if key else f"{detail['input']!r}: {message}"
