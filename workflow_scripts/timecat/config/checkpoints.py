"""The typed config of published weights: the block `checkpoints`, at the top level or of a backbone."""

import re
import string
from typing import Annotated, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import Block, FilePath, PositiveInt, Sha256, Text, WithoutRepeats

PLACEHOLDERS = ("seed", "run", "step", "step_name")
SCHEMES = ("http", "https", "file")


class Checkpoints(Block):
    """Published weights that replace pretraining."""

    path: FilePath = Field(
        description="path or URL of each checkpoint, with the placeholders {seed}, {run} (position of the seed in "
        "`pretrain.seeds`, from 0), {step} and {step_name}; with `archive`, a path inside the archive"
    )
    step_names: dict[PositiveInt, Text | int] = Field(
        {}, description="value of {step_name} for each step (default: the number of the step)"
    )
    archive: FilePath | None = Field(
        None, description="path or URL of a .tar, .tar.gz or .zip file that contains the checkpoints (default: none)"
    )
    runs: dict[PositiveInt, Annotated[list[Annotated[int, Field(ge=0)]], WithoutRepeats]] = Field(
        {},
        description="for each step, the runs ({run}) that exist (default: with a local `path` and no archive, all runs "
        "whose file exists; else all runs)",
    )
    sha256: dict[FilePath, Sha256] = Field(
        {},
        description="SHA-256 of files, by their path or URL with all placeholders filled in; files that are listed "
        "here are checked",
    )
    ignored: list[Text] = Field(
        ["fc.weight", "fc.bias"],
        description="keys of the published file that may be left out, as shell patterns: keys of the classifier (which "
        "is kept if its shape fits) and of further parts that are not needed, such as `projection_head.*`",
    )
    pretrained_on: Text | None = Field(
        None,
        description="description of the data that the published networks were pretrained on, if these are not the "
        "study's source. Tables print it, and in a table that has only such networks no column counts as "
        "in-distribution (default: the study's source)",
    )
    step_tolerance: Annotated[int, Field(ge=0)] = Field(
        0,
        description="maximum difference between the step that a file records and the step in the config (0: the steps "
        "must be equal)",
    )

    def fill(self, seed: int, run: int, step: int) -> str:
        """Return `path` with its placeholders filled in."""
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
                    f"{key}: {scheme[0]} is not supported (only {', '.join(SCHEMES)}); download the file yourself and "
                    "write its path"
                )
            if scheme and key == "path" and self.archive is not None:
                raise ValueError("path: with `archive` it must be a path inside the archive; write it without a URL")
        return self

    def check_places(self, key: str, seeds: list[int], used: list[int], steps: list[int]) -> None:
        """Raise ValueError if two checkpoints would be the same file, or if a run has no seed.

        key: config key of this block, with which the message begins. seeds: all seeds, in the order of runs. used:
        seeds that arms use. steps: steps of the checkpoints.
        """
        for step, runs in self.runs.items():
            for run in runs:
                if run >= len(seeds):
                    raise ValueError(
                        f"{key}.runs.{step}: there is no run {run}, since pretrain.seeds has {len(seeds)} seeds (runs "
                        f"0 to {len(seeds) - 1}); add seeds or correct the run"
                    )
        places: dict[str, tuple[int, int]] = {}
        for step in steps:
            for seed in used:
                place = self.fill(seed, seeds.index(seed), step)
                other = places.setdefault(place, (seed, step))
                if other != (seed, step):
                    raise ValueError(
                        f"{key}.path: {place!r} would be both seed {other[0]} at step {other[1]} and seed {seed} at "
                        f"step {step}; add {{seed}} or {{run}}, or {{step}} or {{step_name}}, or correct step_names"
                    )
