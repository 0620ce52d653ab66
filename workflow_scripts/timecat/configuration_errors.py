"""Reading a study's config so that every mistake is one sentence that names the file, the key and the remedy."""

import difflib

import yaml
from pydantic import ValidationError

from workflow_scripts.timecat.artifacts import UserError
from workflow_scripts.timecat.configuration import Config


def read_config(values: dict, files: list[str]) -> Config:
    """The typed config of ``values`` (what Snakemake merged). Raises UserError, a sentence per mistake.

    files: the YAML files that ``values`` come from, to name the right one and to find keys that stand twice in it.
    """
    contents = {str(file): _load_unique(str(file)) for file in files}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    sentences = []
    for detail in details:
        where = _key_path(detail["loc"], values)
        # A value that fits no branch of a union gives an error per branch: one sentence is enough.
        sentence = f"{_file_of(where, contents)}: {_sentence(detail, where)}"
        if not any(other.split("`")[:2] == sentence.split("`")[:2] for other in sentences):
            sentences.append(sentence)
    raise UserError("\n".join(sentences))


def _load_unique(file: str):
    with open(file) as stream:
        try:
            return yaml.load(stream, Loader=_UniqueKeyLoader)
        except _DuplicateKey as error:
            raise UserError(
                f"{file}: `{error.args[0]}` stands there twice ({error.args[1]}); rename or remove one"
            ) from None


class _DuplicateKey(Exception):
    pass


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys and says nothing; this loader refuses them."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _DuplicateKey(key, f"line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _key_path(loc: tuple, values) -> tuple:
    """The part of pydantic's location that is the user's keys: names of union branches are left out."""
    path, here = [], values
    for part in loc:
        if isinstance(here, dict) and part in here or isinstance(here, list) and isinstance(part, int):
            here = here[part]
            path.append(part)
        elif isinstance(here, dict) and part == loc[-1]:
            path.append(part)  # a key that is missing
    return tuple(path)


def _file_of(path: tuple, contents: dict) -> str:
    """The last file that has the longest part of the key path."""
    best, best_depth = "config", -1
    for file, here in contents.items():
        depth = 0
        for part in path:
            if not (isinstance(here, dict) and part in here or isinstance(here, list) and isinstance(part, int)):
                break
            here, depth = here[part], depth + 1
        if depth >= best_depth:
            best, best_depth = file, depth
    return best


def _sentence(detail: dict, path: tuple) -> str:
    key = ".".join(str(part) for part in path)
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _allowed_keys(detail["loc"])
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        return (
            f"`{key}` is not a key"
            + (f"; did you mean `{near[0]}`?" if near else "")
            + f" Allowed: {', '.join(allowed)}."
        )
    if kind == "missing":
        return f"`{key}` is missing; add it (config/README.md says what it means)."
    if kind == "value_error":
        prefix = f"{key}." if key else ""
        first, _, rest = str(context["error"]).partition(": ")
        return f"`{prefix}{first}`: {rest}."
    if kind in ("float_type", "int_type") and isinstance(value, str):
        return f"`{key}` is the text {value!r}, not a number; " + (
            _yaml_number_remedy(value) or "write a number without quotes."
        )
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        sign = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
        return f"`{key}` is {value!r}; it must be {' and '.join(f'{sign[k]} {v}' for k, v in context.items())}."
    if kind == "union_tag_not_found":
        return f"`{key}.kind` is missing; add it, one of {context.get('discriminator', 'kind')}s that config/README.md lists."
    if kind == "union_tag_invalid":
        return f"`{key}.kind` is {context['tag']!r}; allowed: {context['expected_tags']}."
    if kind == "string_pattern_mismatch":
        return f"`{key}` is {value!r}; a name starts with a letter and has only letters, digits, _ and -."
    return f"`{key}` is {value!r}; {detail['msg'][0].lower()}{detail['msg'][1:]}."


def _yaml_number_remedy(text: str) -> str | None:
    """YAML 1.1 reads 1e-4 as text: a float needs a dot, and its exponent a sign."""
    try:
        number = float(text)
    except ValueError:
        return None
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return f"write {text} without quotes."
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"YAML 1.1 takes {text} for text: write {mantissa}e{exponent} or {number:.10f}".rstrip("0") + "."


def _allowed_keys(loc: tuple) -> list[str]:
    """The keys of the block in which pydantic found one too many."""
    from workflow_scripts.timecat import configuration

    model, models = Config, {"cues": configuration.Cues, "digits": configuration.Digits}
    for part in loc[:-1]:
        if isinstance(part, str) and part in models and model is not Config:
            model = models[part]
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation):
    """The first config block in a type annotation, or None."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_in(inner):
            return found
    return None
