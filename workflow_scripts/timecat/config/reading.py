"""Read a study's config. Each mistake gives a one-line error message with the file, the key and the remedy."""

import os
from collections.abc import Hashable
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from workflow_scripts.timecat.artifacts.project import path_of
from workflow_scripts.timecat.config.blocks import Block
from workflow_scripts.timecat.config.messages import KEY_ITSELF, Mistake, sentence_of
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError

COMMAND_LINE = "--config"
SomeBlock = TypeVar("SomeBlock", bound=Block)


def read_config(values: dict[str, Any], files: list[str]) -> Config:
    """Return the typed config of ``values``, which Snakemake merged from all files and the command line.

    files: YAML files that ``values`` come from; error messages name the file of a mistake, and repeated keys are
    searched in the files. Raise UserError with one line per mistake.
    """
    return validated(Config, *with_shared_data_sets(values, files))


def with_shared_data_sets(values: dict[str, Any], files: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return values and files of a config, including the data sets of `data_sets_file` if the config sets it.

    Data sets in ``values`` take precedence. Raise UserError if the file cannot be read or contains anything but the
    block `data_sets`.
    """
    shared = values.get("data_sets_file")
    if not isinstance(shared, str):
        return values, files
    shared = _in_either_folder(os.path.expanduser(shared))
    try:
        found = load_unique(shared)
    except OSError as error:
        raise UserError(
            f"{', '.join(map(str, files)) or 'config'}: `data_sets_file` is {shared!r}, which cannot be read "
            f"({error.strerror}); correct the path, which is relative to the working directory or the Snakefile's "
            "folder"
        ) from None
    if not isinstance(found, dict) or list(found) != ["data_sets"] or not isinstance(found["data_sets"], dict):
        raise UserError(
            f"{shared}: a study uses this file as its `data_sets_file`, so it must contain the block `data_sets` and "
            "nothing else"
        )
    own = values.get("data_sets")
    together = _laid_over(found["data_sets"], {} if own is None else own)
    return values | {"data_sets": together}, [shared, *files]


def _in_either_folder(file: str) -> str:
    """Return the path of a file in the working directory, or in the project's folder if it exists only there."""
    of_project = path_of(file)
    return of_project if not os.path.exists(file) and os.path.exists(of_project) else file


def _laid_over(block: Any, changes: Any) -> Any:
    """Return ``block`` updated with ``changes``, key by key where both are blocks."""
    if not (isinstance(block, dict) and isinstance(changes, dict)):
        return changes
    return block | {key: _laid_over(block.get(key), change) for key, change in changes.items()}


def validated(model: type[SomeBlock], values: dict[str, Any], files: list[str]) -> SomeBlock:
    """Return ``values`` as a typed block; raise UserError with one line per mistake (see read_config)."""
    contents = {str(file): load_unique(str(file)) for file in files}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
    found = [(detail, _key_path(detail, values)) for detail in details]
    sentences: list[str] = []
    for detail, path in found:
        # A value that fits no branch of a union gives one error per branch: the first error with the longest path is
        # enough.
        if any(len(path) < len(other) and other[: len(path)] == path for _, other in found):
            continue
        file = _file_of(detail, path, contents)
        sentence = f"{file}: {sentence_of(Mistake(detail, path, file == COMMAND_LINE, model))}"
        if not any(other.split("`")[:2] == sentence.split("`")[:2] for other in sentences):
            sentences.append(sentence)
    raise UserError("\n".join(sentences))


def load_unique(file: str) -> Any:
    """Return the contents of a YAML file; raise UserError if a key is repeated or the file is not YAML."""
    with open(file) as stream:
        try:
            return yaml.load(stream, Loader=_UniqueKeyLoader)
        except _DuplicateKey as error:
            raise UserError(
                f"{file}: `{error.args[0]}` appears twice ({error.args[1]}); rename or remove one"
            ) from None
        except yaml.MarkedYAMLError as error:
            line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
            raise UserError(f"{file}: {line}not YAML ({error.problem}); correct the file") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not YAML ({' '.join(str(error).split())}); correct the file") from None


MERGE = "tag:yaml.org,2002:merge"  # YAML's tag of the key `<<`


class _DuplicateKey(Exception):
    pass


class _UniqueKeyLoader(yaml.SafeLoader):
    """A YAML loader that refuses repeated keys. (PyYAML silently keeps the last one.)"""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == MERGE:  # merged keys may be overridden, which is the purpose of `<<`
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _DuplicateKey(key, f"line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _key_path(detail: ErrorDetails, values: Any) -> tuple[str | int, ...]:
    """Return the user's keys that lead to an error: pydantic's location without the names of union branches."""
    path: list[str | int] = []
    here, loc = values, detail["loc"]
    for part in loc:
        if part == KEY_ITSELF:
            continue
        if _has(here, part):
            here = here[part]
            path.append(part)
        elif isinstance(here, dict) and part == loc[-1] and detail["type"] != "value_error":
            path.append(
                part
            )  # a missing key (if a block is refused, its location ends in the name of a branch instead)
    return tuple(path)


def _has(block: Any, part: str | int) -> bool:
    """Return whether a block has the key ``part``, or a list the index ``part``."""
    return part in block if isinstance(block, dict) else isinstance(block, list) and part in range(len(block))


def _file_of(detail: ErrorDetails, path: tuple[str | int, ...], contents: dict[str, Any]) -> str:
    """Return the file that a mistake is in, or COMMAND_LINE if no file has the value.

    The file is the last of those that have the longest part of the mistake's key path.
    """
    if detail["type"] == "value_error" and isinstance(
        detail["input"], dict
    ):  # about a block: the text begins with a key
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
