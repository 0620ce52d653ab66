"""Published weights of a study: their files, the seeds that have a file at a step, downloads and digests.

Snakemake compares only the modification times of large files, so a touched or copied file of weights would re-run
everything, features included. Therefore the import gets the file's SHA-256 as a param. The SHA-256 is stored, and
computed again only if the file changes.
"""

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workflow_scripts.timecat.artifacts.digests import digest, file_sha256
from workflow_scripts.timecat.artifacts.files import read_json, write_json
from workflow_scripts.timecat.artifacts.sidecars import sidecar_path
from workflow_scripts.timecat.config.checkpoints import Checkpoints
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.chains import Chains
from workflow_scripts.timecat.study.paths import Paths

LISTED = 3  # number of file names that a message lists


def is_remote(place: str) -> bool:
    """Return whether a path of the config is a URL that must be downloaded."""
    return place.startswith(("http://", "https://"))


def local_path(place: str) -> str:
    """Return a path of the config as a local path, with ``file:`` and ``~`` resolved."""
    if place.startswith("file:"):
        return unquote(urlsplit(place).path)
    return str(Path(place).expanduser())


def download_name(url: str) -> str:
    """Return the local file name of a download: eight digits of the URL's digest and the file name in the URL."""
    own = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(url).path).rpartition("/")[2]) or "file"
    return f"{digest(url.encode())[:8]}-{own}"


class Published:
    """The published weights of a backbone.

    checkpoints: block of the config. seeds: seeds in the order of their runs. steps: all steps that arms use. paths:
    templates of downloads and digests. key: config key of the block.
    """

    def __init__(
        self, checkpoints: Checkpoints, seeds: list[int], steps: list[int], paths: Paths, key: str = "checkpoints"
    ):
        self.checkpoints, self.seeds, self.steps, self.paths, self.key = checkpoints, seeds, steps, paths, key
        self._seeds_at: dict[int, list[int]] = {}
        self._check_files()

    def place(self, seed: int, step: int) -> str:
        """Return the path or URL of a checkpoint, or its path inside the archive if there is one."""
        return self.checkpoints.fill(seed, self.seeds.index(seed), step)

    def container(self, seed: int, step: int) -> str:
        """Return the path or URL of the file that contains a checkpoint: the archive, or the checkpoint's file."""
        return self.checkpoints.archive or self.place(seed, step)

    def file(self, seed: int, step: int) -> str:
        """Return the local path of the file that contains a checkpoint; for a URL, the path of the download."""
        container = self.container(seed, step)
        return self._standing_for(container)

    def _standing_for(self, place: str) -> str:
        """Return the local path for a path or URL of the config; for a URL, the path of the download."""
        if is_remote(place):
            return self.paths.download.at(download=download_name(place)).path
        return local_path(place)

    def is_downloaded(self, seed: int, step: int) -> bool:
        """Return whether the file that contains a checkpoint is downloaded from a URL."""
        return is_remote(self.container(seed, step))

    def sidecars(self, seed: int, step: int) -> list[str]:
        """Return a list with the sidecar of the file that contains a checkpoint; empty if it is not downloaded."""
        if not self.is_downloaded(seed, step):
            return []
        return [self.paths.download.at(download=download_name(self.container(seed, step))).sidecar]

    def member(self, seed: int, step: int) -> str | None:
        """Return the path of a checkpoint inside the archive, or None without an archive."""
        return self.place(seed, step) if self.checkpoints.archive else None

    @cached_property
    def urls(self) -> dict[str, str]:
        """URLs of all downloads by the file name of the download."""
        containers = {self.container(seed, step) for step in self.steps for seed in self.seeds_at(step)}
        return {download_name(url): url for url in sorted(containers) if is_remote(url)}

    # --- which exist ---

    def seeds_at(self, step: int) -> list[int]:
        """Return the seeds that have a checkpoint at a step, in the order of ``seeds``.

        A seed has a checkpoint if `runs` lists it and its local file exists. For an archive or a URL, the existence of
        the file is not checked.
        """
        if step not in self._seeds_at:
            runs = self.checkpoints.runs.get(step, range(len(self.seeds)))
            seeds = [seed for run, seed in enumerate(self.seeds) if run in runs]
            if self._existence_is_known:
                seeds = [seed for seed in seeds if Path(self.file(seed, step)).is_file()]
            self._seeds_at[step] = seeds
        return self._seeds_at[step]

    @property
    def _existence_is_known(self) -> bool:
        """Whether checkpoints are local files, so that it is known which of them exist."""
        return self.checkpoints.archive is None and not is_remote(self.checkpoints.path)

    def check_arm(self, name: str, step: int, members: int, replicates: list[list[int]]) -> None:
        """Raise UserError if an arm needs checkpoints that do not exist.

        replicates: replicates that the config lists.
        """
        there = self.seeds_at(step)
        for seed in (seed for replicate in replicates for seed in replicate):
            if seed not in there:
                raise UserError(
                    f"`arms`: the replicates of {name!r} contain seed {seed}, whose checkpoint at step {step} does "
                    f"not exist: {self._what_is_missing([seed], step)}, or remove the seed"
                )
        if not replicates and len(there) < members:
            missing = [seed for seed in self.seeds if seed not in there]
            raise UserError(
                f"`arms`: {name!r} needs {members} checkpoints at step {step}, but of the {len(self.seeds)} seeds' "
                f"checkpoints, {len(there) or 'none'} exist{'s' if len(there) == 1 else ''}: "
                f"{self._what_is_missing(missing, step)}, or lower the arm's members"
            )

    def _what_is_missing(self, seeds: list[int], step: int) -> str:
        """Return what the user has to do so that the checkpoints of these seeds exist, as part of an error message."""
        runs = self.checkpoints.runs.get(step, range(len(self.seeds)))
        names = [f"{self.file(seed, step)} (seed {seed})" for seed in seeds if self.seeds.index(seed) in runs]
        if not names or not self._existence_is_known:
            return f"`{self.key}.runs` lists {list(runs)} for this step; correct the list"
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"no file {', '.join(names[:LISTED])}{more}; put the files there or correct `{self.key}.path`"

    # --- expected and actual digests of files ---

    def expected_sha256(self, place: str | None) -> str:
        """Return the SHA-256 that the config gives for a path or URL, or ""."""
        return "" if place is None else self.checkpoints.sha256.get(place, "")

    def _check_files(self) -> None:
        """Raise UserError if the archive is missing or a SHA-256 of the config is wrong.

        Each SHA-256 must belong to a file that the study uses and match the content of that file. (The jobs that
        download or extract a file check it afterwards.)
        """
        archive = self.checkpoints.archive
        if archive and not is_remote(archive) and not Path(local_path(archive)).is_file():
            raise UserError(
                f"`{self.key}.archive`: there is no file {local_path(archive)}; put it there or correct the path"
            )
        places = [self.place(seed, step) for step in self.steps for seed in self.seeds] + ([archive] if archive else [])
        for place, expected in self.checkpoints.sha256.items():
            if place not in places:
                near = difflib.get_close_matches(place, places, n=1)
                raise UserError(
                    f"`{self.key}.sha256`: the study reads no file {place!r}; write the path or URL with all "
                    "placeholders filled in" + (f", such as {near[0]!r}" if near else "")
                )
            found = self._known_sha256(place)
            if found not in (None, expected):
                path = self._standing_for(place)
                raise UserError(
                    f"`{self.key}.sha256`: {path} has the SHA-256 {found}, but for {place!r} the config expects "
                    f"{expected}; correct the config, or replace the file"
                )

    def _known_sha256(self, place: str) -> str | None:
        """Return the SHA-256 of the local file of a path or URL; None if it does not exist or is inside an archive."""
        if is_remote(place):
            sidecar = sidecar_path(self._standing_for(place))
            return str(read_json(sidecar)["content"]) if sidecar.exists() else None
        is_inside = self.checkpoints.archive not in (None, place)
        path = Path(local_path(place))
        return None if is_inside or not path.is_file() else file_sha256_kept(path, self._known_digests)

    @property
    def _known_digests(self) -> Path:
        return Path(self.paths.published_digests)

    def local_sha256(self, seed: int, step: int) -> str | None:
        """Return the SHA-256 of the local file of a checkpoint; None if it is downloaded or does not exist."""
        path = Path(self.file(seed, step))
        return (
            None
            if self.is_downloaded(seed, step) or not path.is_file()
            else file_sha256_kept(path, self._known_digests)
        )


class Publications(Mapping[str, Published]):
    """The published weights of a study by backbone, for the backbones that arms use."""

    def __init__(self, config: Config, chains: Chains, paths: Paths):
        used = {config.backbone_of(arm) for arm in config.all_arms.values()}
        self._by_backbone = {
            name: Published(
                block, config.pretrain.seeds, chains.milestones_of(name), paths, config.publication_key(name)
            )
            for name, block in config.publications.items()
            if name in used
        }

    def __getitem__(self, backbone: str) -> Published:
        return self._by_backbone[backbone]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_backbone)

    def __len__(self) -> int:
        return len(self._by_backbone)

    @property
    def downloads(self) -> dict[str, Published]:
        """Published weights that use each download, by the file name of the download."""
        return {name: published for published in self.values() for name in published.urls}


def file_sha256_kept(path: Path, known_digests: Path) -> str:
    """Return the SHA-256 (hex) of a file, from ``known_digests`` if its size, inode and time of change are unchanged.

    The kernel sets the time of change (ctime): it differs even for a copy that keeps the modification time (cp -p).
    """
    found = path.stat()
    state = {"bytes": found.st_size, "inode": found.st_ino, "changed_ns": found.st_ctime_ns}
    known: dict[str, dict[str, int | str]] = {}
    with contextlib.suppress(OSError, ValueError):
        known = read_json(known_digests)
    entry = known.get(str(path), {})
    if entry == {**state, "sha256": entry.get("sha256")}:
        return str(entry["sha256"])
    sha256 = file_sha256(path)
    with contextlib.suppress(OSError):  # the folder of results is read-only: the digest is computed again next time
        write_json(known_digests, known | {str(path): {**state, "sha256": sha256}})
    return sha256
