"""Decide which results of an earlier version of the code may be taken over, and tell Snakemake so.

A job is kept if Snakemake's records say that it was made from what is there now, with the settings that the config has
now; if its outputs have the recorded digests; and if all jobs that it needs are kept. Whether the new code computes the
same results is for the user to say.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.timecat.artifacts.project import path_of
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.dag import DagJob, Record, read_in_place
from workflow_scripts.timecat.planning.verification import (
    INDEX,
    checksum_error,
    content_error,
    has_sidecar,
    lineage_error,
)

CODE = (".py", ".smk")
RECORDS = Path(".snakemake/metadata")
LOCKS = Path(".snakemake/locks")
NO_DIGEST = "it has no digest to check and takes little time"
NEEDS = "it needs a job that runs again"
MAXIMUM_REASONS = 20  # lines of the report; --list has all


@dataclass(frozen=True)
class Verdict:
    """Decision about one job. reason: why it runs again; None if its outputs are kept."""

    job: DagJob
    reason: str | None

    @property
    def is_cause(self) -> bool:
        """Whether the job runs again for a reason of itself, and not only because a job that it needs does."""
        return self.reason not in (None, NEEDS, NO_DIGEST)


def verdicts(config: str, targets: Sequence[str], again: Collection[str] = ()) -> list[Verdict]:
    """Return the decision about each job that makes the targets, each after the jobs that it needs.

    again: names of rules that run again. Raise UserError if this folder has no records or is locked, if ``again`` names
    no rule, or if Snakemake finds a mistake in the study.
    """
    if not Path(config).is_file():
        raise UserError(f"--configfile: there is no file {config}; name the config of the study")
    if not RECORDS.is_dir():
        raise UserError(f"{RECORDS} is missing, so nothing is known of the results here; run this where they were made")
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise UserError("Snakemake works in this folder, or was killed here; wait, or run `snakemake --unlock`")
    dag, records = read_in_place(config, targets)
    if unknown := sorted(set(again) - set(dag.rules)):
        raise UserError(f"--except {unknown[0]}: no such rule; the rules are {', '.join(dag.rules)}")
    read = {path for job in dag.jobs for path in job.inputs}
    found: dict[DagJob, Verdict] = {}
    for job in dag.jobs:
        if any(found[need].reason is not None for need in job.needs):
            found[job] = Verdict(job, NEEDS)
        else:
            found[job] = Verdict(job, _reason(job, records, read, again))
    return list(found.values())


def _reason(
    job: DagJob, records: Mapping[str, Record | None], read: Collection[str], again: Collection[str]
) -> str | None:
    """Return why a job runs again, or None. The cheap checks come first.

    read: paths that jobs of the study read.
    """
    if job.rule in again:
        return "--except names its rule"
    if missing := [path for path in job.outputs if not Path(path).exists()]:
        return f"{missing[0]} is missing"
    digested = [path for path in job.outputs if has_sidecar(path)]
    if not digested:
        return NO_DIGEST
    if reason := _unlike_the_record(job, records):
        return reason
    covered = {*digested, *(f"{path}.json" for path in digested)}
    covered |= {path for path in job.outputs if path.endswith(INDEX)}  # part of the digest of a data set
    for path in job.outputs:
        if path in covered or path not in read:
            continue
        if not (recorded := _checksums(path, records)):
            return f"no checksum of {path} is recorded, because no table has read it"
        if error := next(filter(None, (checksum_error(path, each) for each in sorted(recorded))), None):
            return error
    errors = (lineage_error(path, job.rule, job.inputs) or content_error(path, job.rule) for path in digested)
    return next(filter(None, errors), None)


def _unlike_the_record(job: DagJob, records: Mapping[str, Record | None]) -> str | None:
    """Return how a job differs from what Snakemake recorded when it ran, code apart."""
    for path in job.outputs:
        record = records[path]
        if record is None:
            return f"Snakemake has no record of {path}"
        if record.is_incomplete:
            return f"Snakemake does not know whether {path} is complete: its job was interrupted"
        if record.has_other_params:
            return f"{path} was made with other settings"
        if other := sorted(_without_code(record.inputs) ^ _without_code(job.inputs)):
            return f"{path} was made from other files ({', '.join(other[:2])}{', ...' if len(other) > 2 else ''})"
        for name in sorted(_without_code(record.checksums)):
            if error := checksum_error(name, record.checksums[name]):
                return f"{path} was made from other inputs: {error}"
    return None


def _without_code(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path for path in paths if not path.endswith(CODE))


def _checksums(path: str, records: Mapping[str, Record | None]) -> set[str]:
    """Return the checksums of a file that were recorded when other jobs read it."""
    return {record.checksums[path] for record in records.values() if record is not None and path in record.checksums}


def take_over(config: str, kept: Iterable[DagJob]) -> None:
    """Tell Snakemake that the outputs of these jobs are up to date. All jobs that they need must be among them."""
    kept = list(kept)
    needed = {need for job in kept for need in job.needs}
    if not (last := [job.outputs[0] for job in kept if job not in needed]):
        return
    command = [sys.executable, "-m", "snakemake", "-s", path_of("Snakefile"), "--configfile", config]
    done = subprocess.run([*command, "--touch", "--cores", "1", "--", *last], capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"`snakemake --touch` failed, so nothing may have been taken over: {' '.join(lines[-3:])}")


def to_force(found: Sequence[Verdict]) -> list[str]:
    """Return what `--forcerun` must name, because Snakemake may see no reason to run it: rules, or outputs of jobs.

    Missing files need no force.
    """
    causes = [each for each in found if each.is_cause and not (each.reason or "").endswith(" is missing")]
    total, forced = Counter(each.job.rule for each in found), Counter(each.job.rule for each in causes)
    names = [each.job.rule if forced[each.job.rule] == total[each.job.rule] else each.job.outputs[0] for each in causes]
    return list(dict.fromkeys(names))


def report(found: Sequence[Verdict]) -> str:
    """Return a table of the jobs that are kept and that run again, by rule, and the causes."""
    rules = list(dict.fromkeys(each.job.rule for each in found))
    kept = Counter(each.job.rule for each in found if each.reason is None)
    total = Counter(each.job.rule for each in found)
    width = max(len(rule) for rule in rules)
    lines = [f"{'rule':{width}}   kept  again"]
    lines += [f"{rule:{width}}{kept[rule]:7}{total[rule] - kept[rule]:7}" for rule in rules]
    causes = [f"  {each.job.rule}: {each.reason}" for each in found if each.is_cause]
    if causes:
        lines += ["", "Why jobs run again, with all that need them:", *causes[:MAXIMUM_REASONS]]
        if len(causes) > MAXIMUM_REASONS:
            lines.append(f"  and {len(causes) - MAXIMUM_REASONS} more (--list FILE has all)")
    return "\n".join(lines)


def listing(found: Sequence[Verdict]) -> str:
    """Return all outputs as a table with tabs: path, "kept" or "again", reason."""
    rows = [
        (path, "again" if each.reason else "kept", each.reason or "") for each in found for path in each.job.outputs
    ]
    return "".join("\t".join(row) + "\n" for row in [("path", "decision", "reason"), *rows])
