"""Generate the JSON schema and the page of keys, docs/reference/configuration.md, from the types of the config.

Editors use the schema. Run ``make docs`` after changing a block of the config; a test fails if the files are outdated.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.config import (
    arms,
    backbones,
    calibration,
    checkpoints,
    container,
    counterexample,
    data_sets,
    features,
    floors,
    gap,
    grid,
    heldout,
    limits,
    model,
    pretrain,
    probe,
    replicates,
    reweight,
    spurious,
    table,
    transfer,
    width,
)
from workflow_scripts.timecat.config.blocks import Block

SCHEMA = ROOT / "config/schemas/config.schema.yaml"
PAGE = ROOT / "docs/reference/configuration.md"
BEGIN, END = "<!-- generated from the typed config: begin -->", "<!-- generated from the typed config: end -->"
OTHER_SECTIONS: dict[str, type[Block]] = {
    "`pretrain`": pretrain.Pretrain,
    "`checkpoints`": checkpoints.Checkpoints,
    "`arms`, a list of": arms.Arm,
    "`reduce` of an arm": probe.Reduce,
    "`replicates`": replicates.Replicates,
    "`table1`, `controls`, `families`, `gap`, `genomics` and `spurious`": arms.ArmTable,
    "`table1`, `controls`, `families` and `spurious`, besides": arms.AccuracyTable,
    "`gap` and `genomics`, besides": gap.GapTable,
    "`spurious`": spurious.SpuriousTable,
    "`floors`": floors.Floors,
    "`ceiling`": floors.Ceiling,
    "`reweight`": reweight.Reweight,
    "`width`": width.WidthTable,
    "`grid`": grid.ArmGrid,
    "`features`": features.Features,
    "`probe`": probe.Probe,
    "`finetune`": transfer.Transfer,
    "`direct`": transfer.DirectTransfer,
    "`heldout`": heldout.Heldout,
    "`counterexample`": counterexample.Counterexample,
    "`table`": table.Table,
    "`calibration`": calibration.Calibration,
    "`limits`": limits.Limits,
    "`container`": container.ContainerImage,
}


Owners = list[type[Block]]


def sections() -> dict[str, type[Block]]:
    """Return the sections of the page of keys: heading -> block of the config.

    Headings of data sets and backbones are derived from the values of `kind` or `architecture`, or from `HEADING`.
    """
    data_set = _union("data_sets.NAME", data_sets.AnyDataSet, data_sets)
    backbone = _union("backbones.NAME", backbones.AnyBackbone, backbones)
    return {"The study": model.Config} | data_set | _nested("data_sets.NAME", data_set) | backbone | OTHER_SECTIONS


def _union(place: str, union: Any, module: ModuleType) -> dict[str, type[Block]]:
    """Return heading -> block for the blocks of a union and those of their base classes that have a HEADING.

    place: config key of the union. The order is the order in the module.
    """
    members = blocks_in(union)
    titled = {block for member in members for block in member.__mro__ if block is member or "HEADING" in vars(block)}
    order = list(vars(module))
    return {_heading(place, [block]): block for block in sorted(titled, key=lambda one: order.index(one.__name__))}


def _nested(place: str, owners: Mapping[str, type[Block]]) -> dict[str, type[Block]]:
    """Return heading -> block for the blocks that are values of keys of ``owners``, key by key."""
    found: dict[str, dict[type[Block], Owners]] = {}
    for owner in owners.values():
        for key, field in owner.model_fields.items():
            for block in blocks_in(field.annotation):
                having = found.setdefault(key, {}).setdefault(block, [])
                if not any(issubclass(owner, above) for above in having):
                    having.append(owner)
    return {
        _heading(f"{place}.{key}", having): block for key, blocks in found.items() for block, having in blocks.items()
    }


def blocks_in(annotation: Any) -> Owners:
    """Return the blocks in a type annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return [annotation]
    return [block for argument in get_args(annotation) for block in blocks_in(argument)]


def _heading(place: str, blocks: Owners) -> str:
    """Return the heading of a section: a config key, and the kinds of blocks to which the section applies.

    place: config key. A block with a HEADING is named by it, any other block by its values of `kind` or `architecture`.
    """
    said = [vars(block)["HEADING"] for block in blocks if "HEADING" in vars(block)]
    named = [block for block in blocks if "HEADING" not in vars(block)]
    names = [f"`{name}`" for block in named for name in get_args(block.model_fields[_key(block)].annotation)]
    if names:
        names[0] = f"with `{_key(named[0])}: {names[0][1:]}"
        said.append(" or ".join(filter(None, [", ".join(names[:-1]), names[-1]])))
    joined = ", and ".join(said)
    return f"`{place}` {joined}" if joined.startswith("with") else f"`{place}`, {joined}"


def _key(block: type[Block]) -> str:
    """Return the key that distinguishes the blocks of a union from one another: `kind` or `architecture`."""
    return "kind" if "kind" in block.model_fields else "architecture"


def schema_text() -> str:
    """Return the JSON schema of the config, as YAML."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.Config.model_json_schema()}
    schema["required"].remove("data_sets")  # a study may have all of them from its data_sets_file
    schema["anyOf"] = [{"required": ["data_sets"]}, {"required": ["data_sets_file"]}]
    return "# Generated by `make docs` from the typed config; do not edit.\n" + yaml.safe_dump(
        _told_apart(schema, schema["$defs"]), sort_keys=False, width=120, allow_unicode=True
    )


def _told_apart(part: Any, defs: Mapping[str, Any]) -> Any:
    """Return a part of the schema with an if/then for each alternative of a union.

    If a block has one wrong key, validators report only that it is "not valid under any of the given schemas"; with an
    if/then they name the key. defs: definitions of the schema.
    """
    if isinstance(part, list):
        return [_told_apart(one, defs) for one in part]
    if not isinstance(part, dict):
        return part
    if "anyOf" in part:
        part = part | {"anyOf": _flat(part["anyOf"])}
    part = {key: _told_apart(value, defs) for key, value in part.items()}
    alternatives = part.get("oneOf") or part.get("anyOf") or []
    blocks = [one for one in alternatives if _definition(one, defs).get("type") == "object"]
    others = {key: value for key, value in part.items() if key not in ("oneOf", "anyOf", "discriminator")}
    if len(blocks) > 1 and len(blocks) == len(alternatives):
        return others | _by_key(blocks, defs)
    if len(blocks) == 1 and len(alternatives) > 1:
        rest = [one for one in alternatives if one is not blocks[0]]
        return others | {"if": {"type": "object"}, "then": blocks[0], "else": {"anyOf": rest}}
    return part


def _flat(alternatives: Sequence[Any]) -> list[Any]:
    """Return alternatives with those of nested unions among them."""
    found: list[Any] = []
    for one in alternatives:
        is_union = isinstance(one, dict) and set(one) in ({"anyOf"}, {"oneOf"})
        found += next(iter(one.values())) if is_union else [one]
    return found


def _definition(part: Any, defs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition that an alternative refers to, or the alternative itself."""
    found: dict[str, Any] = defs[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
    return found


def _by_key(blocks: Sequence[Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """Return an if/then for each value of the key that tells blocks apart.

    A block without a fixed value of the key applies to all remaining values.
    """
    key = "kind" if "kind" in _definition(blocks[0], defs)["properties"] else "architecture"
    values: dict[str, Any] = {}
    fallback = None
    for block in blocks:
        choice = _definition(block, defs)["properties"][key]
        fixed = [choice["const"]] if "const" in choice else choice.get("enum", [])
        values |= dict.fromkeys(fixed, block)
        if not fixed:
            fallback = block
    branches = [
        {"if": {"type": "object", "properties": {key: {"const": value}}, "required": [key]}, "then": block}
        for value, block in values.items()
    ]
    told: dict[str, Any] = {"type": "object", "required": [key], "allOf": branches}
    if fallback is None:
        return told | {"properties": {key: {"enum": list(values)}}}
    other = {"type": "object", "properties": {key: {"not": {"enum": list(values)}}}, "required": [key]}
    return told | {"allOf": [*branches, {"if": other, "then": fallback}]}


def keys_text() -> str:
    """Return the generated part of the page: for each block a table of keys, defaults and meanings, as Markdown."""
    parts = []
    for title, block in sections().items():
        base = block.__base__
        inherited = base.model_fields if base is not None and issubclass(base, BaseModel) else {}
        rows = [
            f"| `{name}` | {_default(field)} | {field.description or ''} |"
            for name, field in block.model_fields.items()
            if name != "kind" and _row(field) != _row(inherited.get(name))
        ]
        lead = " ".join((block.__doc__ or "").strip().partition("\n\n")[0].split())
        table = ["", "| key | default | meaning |", "|---|---|---|", *rows] if rows else []
        parts.append("\n".join([f"### {title}", "", lead, *table]))
    return "\n\n".join(parts)


def _row(field: FieldInfo | None) -> tuple[str, str | None] | None:
    """Return the default and description of a key, or None for no key.

    Keys that have the same values in the base class are left out of a table.
    """
    return None if field is None else (_default(field), field.description)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, Block):
        return "its defaults"
    return "none" if field.default is None else f"`{canonical_json(field.default).replace(',', ', ')}`"


def page_text(current: str) -> str:
    """Return the page of keys with its generated part replaced by the present one."""
    before, rest = current.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{keys_text()}\n\n{END}{after}"


def main() -> None:
    """Write the schema and the page of keys."""
    SCHEMA.write_text(schema_text())
    PAGE.write_text(page_text(PAGE.read_text()))


if __name__ == "__main__":
    main()
