"""Copy the repository into test folders, and run Snakemake there."""

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
BESIDE_TABLE_2 = (*TABLES, *OTHER_TABLES, "width", "grid")  # all blocks of tables that a study may omit


def values_of(config: str) -> dict:
    """Return the values of a study's config file, including the values of its data_sets_file.

    config: path relative to the repository's root.
    """
    values = yaml.safe_load((ROOT / config).read_text())
    if (shared := values.pop("data_sets_file", None)) is None:
        return values
    values, _ = with_shared_data_sets(values | {"data_sets_file": str(ROOT / shared)}, [])
    return {key: value for key, value in values.items() if key != "data_sets_file"}


class StudyFolder:
    """A copy of the repository, with the files that Snakemake has made in it."""

    # Whether jobs run as forks of one server process that this test process starts for all its studies (unless the
    # config decides it). Without forks, most of the tiny study's time is spent on loading torch in each job. End-to-end
    # tests set this to True.
    forks = False

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def fresh(cls, path: Path) -> "StudyFolder":
        """Copy the files that git tracks or would track, in the state of the working tree, to a folder."""
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
        """Copy this folder with all its results, and keep modification times."""
        shutil.copytree(self.path, path, symlinks=True)
        return StudyFolder(path)

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a run, which hide GPUs so that tests behave equally on every machine."""
        return os.environ | {"CUDA_VISIBLE_DEVICES": ""} | (server() if self.forks else {})

    def command(self, *options: str, config: str | None = TINY, cores: int = 2) -> list[str]:
        """Return the command line that runs Snakemake."""
        study = ["--configfile", config] if config else []
        return ["snakemake", "--cores", str(cores), *study, *options]

    def snakemake(
        self, *options: str, check: bool = True, timeout: float = 600, variables: dict | None = None, **settings
    ) -> subprocess.CompletedProcess:
        """Run Snakemake until it ends, and return the finished process.

        timeout: limit in seconds. variables: additional environment variables.
        """
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
        """Run Snakemake and return the number of jobs that ran, by rule (without ``all``)."""
        return jobs_of(self.snakemake(*options, **settings))

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs exactly once in a file."""
        text = (self.path / file).read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {file}"
        (self.path / file).write_text(text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Append a text to a file."""
        with open(self.path / file, "a") as stream:
            stream.write(text)

    def change_config(self, change) -> None:
        """Apply ``change(values)`` to the tiny study's config."""
        path = self.path / TINY
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def read(self, file: str) -> bytes:
        """Return the bytes of a file."""
        return (self.path / file).read_bytes()

    def checkpoints(self) -> dict[str, bytes]:
        """Return the bytes of every weights file of the study, by path."""
        found = sorted((self.path / "results/checkpoints").rglob("*.safetensors"))
        return {str(path.relative_to(self.path)): path.read_bytes() for path in found}


@functools.cache
def server() -> dict[str, str]:
    """Start a forkserver for this process, and return the environment variables through which jobs find it."""
    forkserver.start()
    return {name: os.environ.pop(name) for name in (client.ADDRESS, client.PYTHON) if name in os.environ}


def jobs_of(done: subprocess.CompletedProcess) -> dict[str, int]:
    """Return the number of jobs that a run started or a dry run would start, by rule (without ``all``)."""
    # A run reports on standard error, a dry run on standard output.
    rules = re.findall(r"^(?:local)?rule (\w+):$", done.stdout + done.stderr, re.MULTILINE)
    return dict(collections.Counter(rule for rule in rules if rule != "all"))


def touch_tree(folder: Path, time: float, only=lambda path: True) -> None:
    """Set the modification time of every file under a folder for which ``only(path)`` is true."""
    for path in folder.rglob("*"):
        if path.is_file() and only(path):
            os.utime(path, (time, time))
