"""Turn pydantic's errors about a config into one-line messages that name the key, the mistake and the remedy."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from workflow_scripts.timecat.config.backbones import OWN_BACKBONES, LibraryBackbone
from workflow_scripts.timecat.config.blocks import Block
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.model import Config

KEY_ITSELF = "[key]"  # last part of pydantic's location of an error if the key is wrong, not its value
LONGEST_VALUE = 60  # longer values are cut in error messages (characters)
MUST_BE = {
    "model_type": "a block of keys (docs/reference/configuration.md lists them)",
    "model_attributes_type": "a block of keys (docs/reference/configuration.md lists them)",
    "dict_type": "a block of keys (docs/reference/configuration.md lists them)",
    "list_type": "a list, such as [a, b]",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}
SIGNS = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}


@dataclass(frozen=True)
class Mistake:
    """One error of pydantic about a value or key of the config.

    detail: the error. path: keys of the user that lead to the wrong value. from_command_line: whether the value was
    given on the command line. root: class of the block that was read.
    """

    detail: ErrorDetails
    path: tuple[str | int, ...]
    from_command_line: bool
    root: type[Block]

    @property
    def kind(self) -> str:
        """Pydantic's type of the error, such as "missing"."""
        return self.detail["type"]

    @property
    def key(self) -> str:
        """Path of the key with dots, such as "probe.epochs"."""
        return ".".join(map(str, self.path))

    @property
    def value(self) -> Any:
        """Wrong value in the config."""
        return self.detail["input"]

    @property
    def shown(self) -> str:
        """Text of the value for an error message, cut if it is long."""
        if self.value is None:
            return "empty"
        text = repr(self.value)
        return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."

    @property
    def context(self) -> dict[str, Any]:
        """Pydantic's details of the error, such as bounds."""
        return self.detail.get("ctx", {})

    @property
    def is_of_a_key(self) -> bool:
        """Whether the key itself is wrong, in a block whose keys the user chooses."""
        return bool(self.detail["loc"]) and self.detail["loc"][-1] == KEY_ITSELF


def sentence_of(mistake: Mistake) -> str:
    """Return the error message about a mistake, in one line without the name of the file."""
    if mistake.is_of_a_key:
        return _wrong_name(mistake)
    if mistake.kind in ("float_type", "int_type", "bool_type") and isinstance(mistake.value, str):
        return _text_for_a_value(mistake)
    return SENTENCES.get(mistake.kind, _anything_else)(mistake)


def _wrong_name(mistake: Mistake) -> str:
    block = ".".join(map(str, mistake.path[:-1]))
    if mistake.kind in ("int_type", "int_parsing", "greater_than"):
        return f"`{block}` has the key {mistake.value!r}; its keys are steps, whole numbers greater than 0."
    return (
        f"`{block}` has the name {mistake.value!r}; a name starts with a letter and has only letters, digits, _ and -."
    )


def _text_for_a_value(mistake: Mistake) -> str:
    wanted = "true or false" if mistake.kind == "bool_type" else "a number"
    return f"`{mistake.key}` is the text {mistake.value!r}, not {wanted}; {_remedy_for_text(mistake, wanted)}"


def _remedy_for_text(mistake: Mistake, wanted: str) -> str:
    if mistake.from_command_line and len(mistake.path) > 1:
        return (
            "values in braces or brackets on the command line arrive as text: put them in a YAML file and pass it with "
            "--configfile."
        )
    if mistake.from_command_line:
        return f"write {wanted}."
    if mistake.kind == "bool_type":
        return "write true or false without quotes."
    if mistake.path[-1] == "views" and not _is_number(mistake.value):
        return "write a whole number without quotes, or [center]."
    return _yaml_number_remedy(mistake.value) or "write a number without quotes."


def _unknown_key(mistake: Mistake) -> str:
    allowed = _allowed_keys(mistake.detail["loc"], mistake.root)
    near = difflib.get_close_matches(str(mistake.path[-1]), allowed, n=1)
    meant = f"; did you mean `{near[0]}`?" if near else "."
    return f"`{mistake.key}` is not a key{meant} Allowed: {', '.join(allowed)}."


def _missing(mistake: Mistake) -> str:
    return f"`{mistake.key}` is missing; add it" + (
        " (docs/reference/configuration.md explains it)." if mistake.root is Config else "."
    )


def _value_error(mistake: Mistake) -> str:
    """Return the error message for a check that raised ValueError.

    If a block was checked, the text of its ValueError begins with the key.
    """
    if not isinstance(mistake.value, dict):
        return f"`{mistake.key}`: {mistake.context['error']}."
    prefix = f"{mistake.key}." if mistake.key else ""
    first, _, rest = str(mistake.context["error"]).partition(": ")
    return f"`{prefix}{first}`: {rest}."


def _out_of_bounds(mistake: Mistake) -> str:
    bounds = " and ".join(f"{SIGNS[sign]} {bound:g}" for sign, bound in mistake.context.items())
    return f"`{mistake.key}` is {mistake.value!r}; it must be {bounds}."


def _too_short(mistake: Mistake) -> str:
    bound = f"at least {mistake.context['min_length']}"
    return _wrong_length(mistake, bound, "add to it, or remove the key if it is optional")


def _too_long(mistake: Mistake) -> str:
    return _wrong_length(mistake, f"at most {mistake.context['max_length']}", "shorten it")


def _wrong_length(mistake: Mistake, bound: str, remedy: str) -> str:
    length = mistake.context["actual_length"]
    return f"`{mistake.key}` has {length} values and must have {bound}: {remedy}."


def _no_tag(mistake: Mistake) -> str:
    kind = mistake.context.get("discriminator", "kind")
    return f"`{mistake.key}.kind` is missing; add one of the {kind}s that docs/reference/configuration.md lists."


def _unknown_tag(mistake: Mistake) -> str:
    return f"`{mistake.key}.kind` is {mistake.context['tag']!r}; allowed: {mistake.context['expected_tags']}."


def _no_name(mistake: Mistake) -> str:
    return f"`{mistake.key}` is {mistake.value!r}; a name starts with a letter and has only letters, digits, _ and -."


def _none_of_some(mistake: Mistake) -> str:
    return f"`{mistake.key}` is {mistake.shown}; it must be {mistake.context['expected']}."


def _wrong_type(mistake: Mistake) -> str:
    return f"`{mistake.key}` is {mistake.shown}; it must be {MUST_BE[mistake.kind]}."


def _anything_else(mistake: Mistake) -> str:
    message = mistake.detail["msg"]
    return f"`{mistake.key}` is {mistake.shown}; {message[0].lower()}{message[1:]}."


SENTENCES: dict[str, Callable[[Mistake], str]] = {
    **dict.fromkeys(("extra_forbidden", "invalid_key"), _unknown_key),
    "missing": _missing,
    "value_error": _value_error,
    **dict.fromkeys(("greater_than", "greater_than_equal", "less_than", "less_than_equal"), _out_of_bounds),
    "too_short": _too_short,
    "too_long": _too_long,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _unknown_tag,
    "string_pattern_mismatch": _no_name,
    "literal_error": _none_of_some,
    **dict.fromkeys(MUST_BE, _wrong_type),
}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number_remedy(text: str) -> str | None:
    """Return advice on how to write a number that YAML 1.1 reads as text, or None if the text is not a number.

    YAML 1.1 reads 1e-4 as text: a float needs a dot, and its exponent needs a sign.
    """
    if not _is_number(text):
        return None
    number = float(text)
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return f"write {text} without quotes."
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"YAML 1.1 takes {text} for text: write {mantissa}e{exponent} or {number:.10f}".rstrip("0") + "."


def _allowed_keys(loc: tuple[str | int, ...], root: type[Block]) -> list[str]:
    """Return the keys of the block in which pydantic found an unknown key."""
    model: type[Block] = root
    branches = _union_branches()
    for part in loc[:-1]:
        if isinstance(part, str) and part in branches and model is not root:
            model = branches[part]
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _union_branches() -> dict[str, type[Block]]:
    """Return the blocks of all unions of the config by their tags in pydantic's locations."""
    branches: dict[str, type[Block]] = {**OWN_BACKBONES, "library": LibraryBackbone}
    for block in AnyDataSet.__args__[0].__args__:
        branches |= dict.fromkeys(block.model_fields["kind"].annotation.__args__, block)
    return branches


def _model_in(annotation: Any) -> type[Block] | None:
    """Return the first config block in a type annotation, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_in(inner):
            return found
    return None
