"""Copies of the repository in folders of their own, in which tests run Snakemake for real."""

import collections
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from workflow_scripts.timecat.config.arms import OTHER_TABLES, TABLES
from workflow_scripts.timecat.config.reading import with_shared_data_sets
from workflow_scripts.timecat.runtime.forkserver import client
from workflow_scripts.timecat.runtime.forkserver import server as forkserver

ROOT = Path(__file__).resolve().parents[2]
TINY = "config/tiny.yaml"
BESIDE_TABLE_2 = (*TABLES, *OTHER_TABLES, "width", "grid")  # all blocks of tables that a study can do without


def values_of(config: str) -> dict:
    """What a study's file says (config/..., from the repository's root), with the data sets of its data_sets_file."""
    values = yaml.safe_load((ROOT / config).read_text())
    if (shared := values.pop("data_sets_file", None)) is None:
        return values
    values, _ = with_shared_data_sets(values | {"data_sets_file": str(ROOT / shared)}, [])
    return {key: value for key, value in values.items() if key != "data_sets_file"}


class StudyFolder:
    """A copy of the repository, with whatever its Snakemake has made there."""

    # Whether jobs are forks of a process that serves all of this test process's studies, where nothing else is asked for:
    # most of the tiny study's time is that in which each job loads torch. End-to-end tests set it.
    forks = False

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def fresh(cls, path: Path) -> "StudyFolder":
        """A copy of what git tracks or would track, as it stands in the working tree."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, path / name)
        return cls(path)

    def copy(self, path: Path) -> "StudyFolder":
        """A copy with all that was made, times kept."""
        shutil.copytree(self.path, path, symlinks=True)
        return StudyFolder(path)

    def environment(self) -> dict[str, str]:
        """The environment of a run: without GPUs, so that the tests say the same on every machine."""
        return os.environ | {"CUDA_VISIBLE_DEVICES": ""} | (server() if self.forks else {})

    def command(self, *options: str, config: str | None = TINY, cores: int = 2) -> list[str]:
        """The command line of a run."""
        study = ["--configfile", config] if config else []
        return ["snakemake", "--cores", str(cores), *study, *options]

    def snakemake(
        self, *options: str, check: bool = True, timeout: float = 600, variables: dict | None = None, **settings
    ) -> subprocess.CompletedProcess:
        """Run Snakemake to its end. timeout: seconds. variables: more of the environment."""
        done = subprocess.run(
            self.command(*options, **settings),
            cwd=self.path,
            env=self.environment() | (variables or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake {' '.join(options)} failed:\n{done.stderr[-6000:]}")
        return done

    def run(self, *options: str, **settings) -> dict[str, int]:
        """Run Snakemake; the number of jobs that ran, by rule (without ``all``)."""
        return jobs_of(self.snakemake(*options, **settings))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that stands in a file once."""
        text = (self.path / file).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        (self.path / file).write_text(text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Add to the end of a file."""
        with open(self.path / file, "a") as stream:
            stream.write(text)

    def change_config(self, change) -> None:
        """Apply ``change(values)`` to the tiny study's config."""
        path = self.path / TINY
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def read(self, file: str) -> bytes:
        """A file's bytes."""
        return (self.path / file).read_bytes()

    def checkpoints(self) -> dict[str, bytes]:
        """The bytes of every weights file, by path."""
        found = sorted((self.path / "results/checkpoints").rglob("*.safetensors"))
        return {str(path.relative_to(self.path)): path.read_bytes() for path in found}


@functools.cache
def server() -> dict[str, str]:
    """The variables of the environment that lead jobs to this process's forkserver, which is started."""
    forkserver.start()
    return {name: os.environ.pop(name) for name in (client.ADDRESS, client.PYTHON) if name in os.environ}


def jobs_of(done: subprocess.CompletedProcess) -> dict[str, int]:
    """Jobs that a run started, or that a dry run would start, by rule (without ``all``)."""
    # A run reports on standard error, a dry run on standard output.
    rules = re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE)
    return dict(collections.Counter(rule for rule in rules if rule != "all"))


def touch_tree(folder: Path, time: float, only=lambda path: True) -> None:
    """Give every file under a folder the same, new modification time."""
    for path in folder.rglob("*"):
        if path.is_file() and only(path):
            os.utime(path, (time, time))
