"""Reading a study's config so that every mistake is one sentence that names the file, the key and the remedy."""

import difflib

import yaml
from pydantic import ValidationError

from workflow_scripts.timecat.config.backbones import OWN_BACKBONES, LibraryBackbone
from workflow_scripts.timecat.config.blocks import Block
from workflow_scripts.timecat.config.data_sets import AnyDataSet
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError

COMMAND_LINE = "--config"
KEY_ITSELF = "[key]"  # how pydantic ends the location of a mistake in a key, not in its value
LONGEST_VALUE = 60  # characters of a value that a sentence repeats
MUST_BE = {
    "model_type": "a block of keys (config/README.md lists them)",
    "model_attributes_type": "a block of keys (config/README.md lists them)",
    "dict_type": "a block of keys (config/README.md lists them)",
    "list_type": "a list, such as [a, b]",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
}


def read_config(values: dict, files: list[str]) -> Config:
    """The typed config of ``values`` (what Snakemake merged). Raises UserError, a sentence per mistake.

    files: the YAML files that ``values`` come from, to name the right one and to find keys that stand twice in it.
    """
    return validated(Config, *with_shared_data_sets(values, files))


def with_shared_data_sets(values: dict, files: list[str]) -> tuple[dict, list[str]]:
    """Values and files with the data sets of the file that `data_sets_file` names, if it does, beneath the study's own.

    UserError where that file cannot be read or is something else.
    """
    shared = values.get("data_sets_file")
    if not isinstance(shared, str):
        return values, files
    try:
        found = load_unique(shared)
    except OSError as error:
        raise UserError(
            f"{', '.join(map(str, files)) or 'config'}: `data_sets_file` is {shared!r}, which cannot be read "
            f"({error.strerror}); correct the path, which starts from the Snakefile's folder"
        ) from None
    if not isinstance(found, dict) or list(found) != ["data_sets"] or not isinstance(found["data_sets"], dict):
        raise UserError(
            f"{shared}: it is a study's `data_sets_file`, so all that can stand there is the block `data_sets`; remove the rest"
        )
    own = values.get("data_sets")
    together = _laid_over(found["data_sets"], {} if own is None else own)
    return values | {"data_sets": together}, [shared, *files]


def _laid_over(block, changes):
    """``changes`` over ``block``, key by key where both are blocks."""
    if not (isinstance(block, dict) and isinstance(changes, dict)):
        return changes
    return block | {key: _laid_over(block.get(key), change) for key, change in changes.items()}


def validated(model: type[Block], values: dict, files: list[str]):
    """``values`` as a typed block; see read_config."""
    contents = {str(file): load_unique(str(file)) for file in files}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    found = [(detail, _key_path(detail, values)) for detail in details]
    sentences = []
    for detail, path in found:
        # A value that fits no branch of a union gives an error per branch: the innermost, first one is enough.
        if any(len(path) < len(other) and other[: len(path)] == path for _, other in found):
            continue
        file = _file_of(detail, path, contents)
        sentence = f"{file}: {_sentence(detail, path, file == COMMAND_LINE, model)}"
        if not any(other.split("`")[:2] == sentence.split("`")[:2] for other in sentences):
            sentences.append(sentence)
    raise UserError("\n".join(sentences))


def load_unique(file: str):
    """The values of a YAML file. UserError where a key stands twice, or where it is not YAML."""
    with open(file) as stream:
        try:
            return yaml.load(stream, Loader=_UniqueKeyLoader)
        except _DuplicateKey as error:
            raise UserError(
                f"{file}: `{error.args[0]}` stands there twice ({error.args[1]}); rename or remove one"
            ) from None
        except yaml.MarkedYAMLError as error:
            line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise UserError(f"{file}: {line}not YAML ({error.problem}); correct it") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not YAML ({' '.join(str(error).split())}); correct it") from None


MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`


class _DuplicateKey(Exception):
    pass


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys and says nothing; this loader refuses them."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:  # what it brings may be given again, which is its purpose
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _DuplicateKey(key, f"line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _key_path(detail: dict, values) -> tuple:
    """The part of pydantic's location that is the user's keys: names of union branches are left out."""
    path, here, loc = [], values, detail["loc"]
    for part in loc:
        if part == KEY_ITSELF:
            continue
        if _has(here, part):
            here = here[part]
            path.append(part)
        elif isinstance(here, dict) and part == loc[-1] and detail["type"] != "value_error":
            path.append(part)  # a key that is missing (a block that is refused as a whole ends in a branch's name)
    return tuple(path)


def _has(block, part) -> bool:
    """Whether a block has this key, or a list this place."""
    return part in block if isinstance(block, dict) else isinstance(block, list) and part in range(len(block))


def _file_of(detail: dict, path: tuple, contents: dict) -> str:
    """The last file that has the longest part of the key path, or the command line if no file has that value."""
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):  # of a block: the text begins with a key
        path = (*path, *str(detail["ctx"]["error"]).partition(": ")[0].split("."))
    best, best_depth, value_stands = "config", -1, False
    for file, here in contents.items():
        depth = 0
        for part in path:
            if not _has(here, part):
                break
            here, depth = here[part], depth + 1
        if depth >= best_depth:
            best, best_depth = file, depth
        value_stands |= depth == len(path) and (here == detail["input"] or repr(here) == repr(detail["input"]))
    is_of_a_leaf = (
        detail["type"] not in ("missing", "invalid_key")
        and not isinstance(detail["input"], dict)
        and KEY_ITSELF not in detail["loc"]
    )
    return COMMAND_LINE if contents and is_of_a_leaf and not value_stands else best


def _sentence(detail: dict, path: tuple, from_command_line: bool, root: type[Block]) -> str:
    key = ".".join(str(part) for part in path)
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if detail["loc"] and detail["loc"][-1] == KEY_ITSELF:
        block = ".".join(str(part) for part in path[:-1])
        if kind in ("int_type", "int_parsing", "greater_than"):
            return f"`{block}` has the key {value!r}; its keys are steps, whole numbers greater than 0."
        return f"`{block}` has the name {value!r}; a name starts with a letter and has only letters, digits, _ and -."
    if kind in ("extra_forbidden", "invalid_key"):
        allowed = _allowed_keys(detail["loc"], root)
        near = difflib.get_close_matches(str(path[-1]), allowed, n=1)
        return (
            f"`{key}` is not a key"
            + (f"; did you mean `{near[0]}`?" if near else ".")
            + f" Allowed: {', '.join(allowed)}."
        )
    if kind == "missing":
        return f"`{key}` is missing; add it" + (" (config/README.md says what it means)." if root is Config else ".")
    if kind == "value_error" and isinstance(value, dict):
        prefix = f"{key}." if key else ""
        first, _, rest = str(context["error"]).partition(": ")
        return f"`{prefix}{first}`: {rest}."
    if kind == "value_error":
        return f"`{key}`: {context['error']}."
    if kind in ("float_type", "int_type", "bool_type") and isinstance(value, str):
        wanted = "true or false" if kind == "bool_type" else "a number"
        if from_command_line and len(path) > 1:
            remedy = (
                "what stands in braces or brackets on the command line arrives as text: put it in a YAML file and name "
                "that with --configfile."
            )
        elif from_command_line:
            remedy = f"write {wanted}."
        elif kind == "bool_type":
            remedy = "write true or false without quotes."
        elif path[-1] == "views" and not _is_number(value):
            remedy = "write a whole number without quotes, or [center]."
        else:
            remedy = _yaml_number_remedy(value) or "write a number without quotes."
        return f"`{key}` is the text {value!r}, not {wanted}; {remedy}"
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        sign = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
        return f"`{key}` is {value!r}; it must be {' and '.join(f'{sign[k]} {v:g}' for k, v in context.items())}."
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        remedy = "add to it, or remove the key if it is optional" if kind == "too_short" else "shorten it"
        return f"`{key}` is a list of {context['actual_length']}, and must be of {bound}: {remedy}."
    if kind == "union_tag_not_found":
        return f"`{key}.kind` is missing; add it, one of {context.get('discriminator', 'kind')}s that config/README.md lists."
    if kind == "union_tag_invalid":
        return f"`{key}.kind` is {context['tag']!r}; allowed: {context['expected_tags']}."
    if kind == "string_pattern_mismatch":
        return f"`{key}` is {value!r}; a name starts with a letter and has only letters, digits, _ and -."
    shown = "empty" if value is None else _shortened(repr(value))
    if kind == "literal_error":
        return f"`{key}` is {shown}; it must be {context['expected']}."
    if kind in MUST_BE:
        return f"`{key}` is {shown}; it must be {MUST_BE[kind]}."
    return f"`{key}` is {shown}; {detail['msg'][0].lower()}{detail['msg'][1:]}."


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number_remedy(text: str) -> str | None:
    """YAML 1.1 reads 1e-4 as text: a float needs a dot, and its exponent a sign."""
    if not _is_number(text):
        return None
    number = float(text)
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return f"write {text} without quotes."
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"YAML 1.1 takes {text} for text: write {mantissa}e{exponent} or {number:.10f}".rstrip("0") + "."


def _allowed_keys(loc: tuple, root: type[Block]) -> list[str]:
    """The keys of the block in which pydantic found one too many."""
    model, branches = root, _union_branches()
    for part in loc[:-1]:
        if isinstance(part, str) and part in branches and model is not root:
            model = branches[part]
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _union_branches() -> dict:
    """Tag, as it stands in pydantic's locations, -> block, of every union of the config."""
    branches = OWN_BACKBONES | {"library": LibraryBackbone}
    for block in AnyDataSet.__args__[0].__args__:
        branches |= dict.fromkeys(block.model_fields["kind"].annotation.__args__, block)
    return branches


def _model_in(annotation):
    """The first config block in a type annotation, or None."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if found := _model_in(inner):
            return found
    return None
