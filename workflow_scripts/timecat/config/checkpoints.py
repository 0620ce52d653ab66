"""The typed config of published weights: where they are, for which seeds and steps, and what of a file may be left out."""

import re
import string
from typing import Annotated, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, FilePath, PositiveInt, Sha256, Text, WithoutRepeats

PLACEHOLDERS = ("seed", "run", "step", "step_name")
SCHEMES = ("http", "https", "file")


class Checkpoints(Block):
    """Published weights in the place of pretraining."""

    path: FilePath = Field(
        description="where each checkpoint is: a path or URL with {seed}, {run} (the seed's place in pretrain.seeds, from "
        "0), {step} or {step_name}; inside `archive` if that is given"
    )
    step_names: dict[PositiveInt, Text | int] = Field(
        {}, description="what {step_name} is for each step (default: the step)"
    )
    archive: FilePath | None = Field(None, description="a .tar, .tar.gz or .zip that holds them: a path or URL")
    runs: dict[PositiveInt, Annotated[list[Annotated[int, Field(ge=0)]], WithoutRepeats]] = Field(
        {},
        description="which runs ({run}) exist for a step (default: with a local `path` and no archive those whose file "
        "exists, otherwise all)",
    )
    sha256: dict[FilePath, Sha256] = Field(
        {}, description="SHA-256 of files, by path or URL as it stands after filling in; checked when given"
    )
    ignored: list[Text] = Field(
        ["fc.weight", "fc.bias"],
        description="keys of the published file that may be left out, as shell patterns: the classifier's (kept where its "
        "shape fits), and what else the file holds, such as `projection_head.*`",
    )
    pretrained_on: Text | None = Field(
        None,
        description="what the files' networks were pretrained on, in words, if that is not the study's source: tables say so, "
        "and a table of such networks alone has no column in distribution",
    )
    step_tolerance: Annotated[int, Field(ge=0)] = Field(
        0, description="by how much the step that a file itself states may differ from the config's"
    )

    def fill(self, seed: int, run: int, step: int) -> str:
        """`path` with its places filled in."""
        return self.path.format(seed=seed, run=run, step=step, step_name=self.step_names.get(step, step))

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(self.path) if name is not None]
            if unknown := [name for name in names if name not in PLACEHOLDERS]:
                raise ValueError(f"{{{unknown[0]}}} is none of {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}")
            self.fill(0, 0, next(iter(self.step_names), 1))
        except ValueError as error:
            raise ValueError(f"path: {self.path!r} cannot be filled in: {error}; correct it") from None
        return self

    @model_validator(mode="after")
    def _schemes(self) -> Self:
        for key in ("path", "archive"):
            scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", getattr(self, key) or "")
            if scheme and scheme[1] not in SCHEMES:
                raise ValueError(
                    f"{key}: {scheme[0]} is not supported ({', '.join(SCHEMES)} are); fetch the file yourself and write "
                    "its path"
                )
            if scheme and key == "path" and self.archive is not None:
                raise ValueError("path: with an archive it is a path inside of that; write it without a URL")
        return self

    def check_places(self, key: str, seeds: list[int], used: list[int], steps: list[int]) -> None:
        """ValueError where two checkpoints would be one file or a run has no seed. key: where this block stands, with which
        the message begins. seeds: in the order of runs; used: those of them that arms are made of."""
        for step, runs in self.runs.items():
            for run in runs:
                if run >= len(seeds):
                    raise ValueError(
                        f"{key}.runs.{step}: there is no run {run}, pretrain.seeds has {len(seeds)} (runs 0 to "
                        f"{len(seeds) - 1}); add seeds or correct it"
                    )
        places: dict[str, tuple[int, int]] = {}
        for step in steps:
            for seed in used:
                place = self.fill(seed, seeds.index(seed), step)
                other = places.setdefault(place, (seed, step))
                if other != (seed, step):
                    raise ValueError(
                        f"{key}.path: {place!r} would be seed {other[0]} at step {other[1]} and seed {seed} at step "
                        f"{step}; add {{seed}} or {{run}}, or {{step}} or {{step_name}}, or correct step_names"
                    )
