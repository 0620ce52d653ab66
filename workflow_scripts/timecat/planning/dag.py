"""Read a study's jobs from Snakemake's graph (DAG): rule, wildcards, files, resources and dependencies.

Snakemake's documented API has no call that returns the graph. This module uses three private names of its ``Workflow``
(PRIVATE); ``test_dag.py`` compares the result with ``snakemake -n``.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.project import ROOT
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study.paths import Paths

PRIVATE = ("_prepare_dag", "_build_dag", "_localrules")


@dataclass(frozen=True, eq=False, kw_only=True)
class DagJob:
    """One job of Snakemake's graph.

    inputs, outputs: paths, in the rule's order. resources: resources of the first attempt, not limited by a machine.
    is_local: whether the job runs on Snakemake's machine even if the study runs on a cluster. needs: jobs that make the
    inputs.

    Params are left out, because some are digests of large files and the graph must be readable without any data.
    """

    rule: str
    wildcards: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    resources: Mapping[str, int | str]
    threads: int
    is_local: bool
    needs: tuple["DagJob", ...] = field(repr=False)

    @property
    def gpus(self) -> int:
        """Number of GPUs that the job requests."""
        return int(self.resources.get("gpu", 0))


@dataclass(frozen=True)
class Record:
    """Snakemake's record of a file, written when its job ended.

    inputs: input files of the job. checksums: checksum of each small input when the job read it. has_other_params:
    whether the job has different params now. is_incomplete: whether the job was interrupted.
    """

    inputs: frozenset[str]
    checksums: Mapping[str, str]
    has_other_params: bool
    is_incomplete: bool


@dataclass(frozen=True)
class Dag:
    """Snakemake's graph of jobs for some targets.

    jobs: all jobs, each after the jobs that it needs, in the order in which the targets and each rule's inputs name
    them. rules: names of all rules, in the Snakefile's order.
    """

    jobs: tuple[DagJob, ...]
    rules: tuple[str, ...]

    @cached_property
    def maker(self) -> dict[str, DagJob]:
        """Job that makes each file, by the file's path."""
        return {path: job for job in self.jobs for path in job.outputs}

    def needed_for(self, targets: Iterable[str]) -> list[DagJob]:
        """Return the jobs that make these files, directly or indirectly, in the order of ``jobs``."""
        found: set[DagJob] = set()
        waiting = [self.maker[target] for target in targets]
        while waiting:
            job = waiting.pop()
            if job not in found:
                found.add(job)
                waiting += job.needs
        return [job for job in self.jobs if job in found]


def read_dag(config: str | Path, targets: Sequence[str], results: str = Paths().root) -> Dag:
    """Return the jobs that make ``targets`` from nothing, for the study in the file ``config``.

    targets: files, or names of rules without output. results: folder of the study's results.

    Neither data nor results are read or written. Relative paths in the config start from the current folder. The
    current folder of the process changes during the call, so call this function from one thread only. Raise UserError
    if Snakemake finds a mistake.
    """
    config = Path(config).absolute()
    with tempfile.TemporaryDirectory() as temporary, _process_restored():
        # A results folder outside the current folder is not hidden; the graph still contains the jobs that write to it.
        hidden = {results, ".snakemake"}
        folder = Path.cwd()
        os.chdir(_mirror(folder, Path(temporary), hidden))
        return _read(config, targets, partial(_from_folder, folder=folder, temporary=Path(temporary).resolve()))


def _from_folder(path: str, folder: Path, temporary: Path) -> str:
    """Return a path of the graph relative to ``folder`` if it is a relative path of a file of the project.

    Other paths are returned unchanged, because they are valid both in the mirror and in ``folder``.
    """
    place = Path(os.path.normpath(Path.cwd() / path))
    if Path(path).is_absolute() or place.is_relative_to(temporary) or not place.is_relative_to(ROOT):
        return path
    return os.path.relpath(place, folder)


def _mirror(folder: Path, temporary: Path, hidden: Collection[str]) -> Path:
    """Create and return a folder of links in which relative paths resolve as in ``folder``.

    hidden: names in ``folder`` that get no link, so that they seem not to exist.
    """
    mirrored = temporary.joinpath(*folder.parts[1:])
    mirrored.mkdir(parents=True)
    for level in (folder, *folder.parents):
        copy = temporary.joinpath(*level.parts[1:])
        with contextlib.suppress(PermissionError):  # a parent folder may allow entry but no listing
            for name in os.listdir(level):
                if not os.path.lexists(copy / name) and not (level == folder and name in hidden):
                    (copy / name).symlink_to(level / name)
    return mirrored


@contextlib.contextmanager
def _process_restored() -> Iterator[None]:
    """Restore what Snakemake changes in the process: current folder, environment, module path and its logger."""
    from snakemake.logging import logger

    folder, environment, path = os.getcwd(), dict(os.environ), list(sys.path)
    handlers, level, propagates = list(logger.handlers), logger.level, logger.propagate
    logger.propagate = False  # keep Snakemake's progress messages out of the caller's log
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagates


def read_in_place(config: str | Path, targets: Sequence[str]) -> tuple[Dag, dict[str, Record | None]]:
    """Return the graph of the jobs that make ``targets``, and Snakemake's record of each file that they write.

    Unlike read_dag, this function uses the current folder with its results. It does not write files. The record of a
    file is None if Snakemake has none.
    """
    with _process_restored(), _workflow(Path(config).absolute(), targets) as workflow:
        records = _records(workflow)
        return _dag(workflow, targets, str), records


def _record(workflow: Any, job: Any, path: Any, incomplete: Collection[str]) -> Record | None:
    found = workflow.persistence.metadata(path)
    if found is None or found.input is None:
        return None
    return Record(
        inputs=frozenset(map(str, found.input)),
        checksums={str(name): value for name, value in (found.input_checksums or {}).items() if value is not None},
        has_other_params=bool(workflow.persistence.params_changed(job, file=path)),
        is_incomplete=bool(found.incomplete) or str(path) in incomplete,
    )


def _records(workflow: Any) -> dict[str, Record | None]:
    """Return Snakemake's record of each output of the graph, by path."""
    records: dict[str, Record | None] = {}
    for job in workflow.dag.jobs:
        incomplete = set(map(str, workflow.async_run(workflow.persistence.incomplete(job))))
        records |= {str(path): _record(workflow, job, path, incomplete) for path in job.output}
    return records


def _read(config: Path, targets: Sequence[str], path_of: Callable[[str], str]) -> Dag:
    with _workflow(config, targets) as workflow:
        return _dag(workflow, targets, path_of)


def _dag(workflow: Any, targets: Sequence[str], path_of: Callable[[str], str]) -> Dag:
    return Dag(tuple(_jobs(workflow, targets, path_of)), tuple(rule.name for rule in workflow.rules))


@contextlib.contextmanager
def _workflow(config: Path, targets: Sequence[str]) -> Iterator[Any]:
    """Yield Snakemake's workflow of a study in the current folder, with its graph built."""
    from snakemake import api
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings import types

    quiet = api.OutputSettings(quiet={types.Quietness.ALL}, skip_plugin_handlers=True)
    with api.SnakemakeApi(quiet) as snakemake:
        try:
            workflow_api = snakemake.workflow(
                snakefile=ROOT / "Snakefile",
                config_settings=types.ConfigSettings(configfiles=[config]),
                resource_settings=types.ResourceSettings(cores=sys.maxsize),  # fewer cores would limit a job's threads
            )
            workflow_api.dag(types.DAGSettings(targets=set(targets)))
            workflow = workflow_api._workflow
            _check_private(workflow)
            workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True, nolock=True)
            workflow._build_dag()
            yield workflow
        except (WorkflowError, RuleException) as error:
            raise UserError(
                f"Snakemake cannot list the jobs of {config}: {error}; run `snakemake -n` for details"
            ) from None


def _check_private(workflow: Any) -> None:
    """Raise UserError if this version of Snakemake lacks one of the PRIVATE names."""
    from snakemake import __version__

    if missing := [name for name in PRIVATE if not hasattr(workflow, name)]:
        raise UserError(
            f"the jobs are read from Snakemake, and Snakemake {__version__} has no {' and no '.join(missing)}; "
            "install the version that envs/requirements.txt names (make setup)"
        )


def _jobs(workflow: Any, targets: Sequence[str], path_of: Callable[[str], str]) -> list[DagJob]:
    """Return Snakemake's jobs as DagJobs, depth first from the targets.

    path_of: function that returns the path to store for the path of an input.
    """
    maker = {str(path): job for job in workflow.dag.jobs for path in job.output or [job.rule.name]}
    made: dict[Any, DagJob] = {}

    def visit(job: Any) -> DagJob:
        if job not in made:
            inputs = tuple(map(str, job.input))
            needs = tuple(dict.fromkeys(visit(maker[path]) for path in inputs if path in maker))
            made[job] = DagJob(
                rule=job.rule.name,
                wildcards=dict(job.wildcards.items()),
                inputs=tuple(map(path_of, inputs)),
                outputs=tuple(map(str, job.output)),
                resources={name: value for name, value in job.resources.items() if not name.startswith("_")},
                threads=job.threads,
                is_local=job.rule.name in workflow._localrules,
                needs=needs,
            )
        return made[job]

    for target in targets:
        visit(maker[target])
    return list(made.values())
