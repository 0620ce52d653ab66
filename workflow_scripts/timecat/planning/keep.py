"""Decide which results of an earlier version of the code may be taken over, and tell Snakemake so.

A job is kept if its outputs match their sidecars, were made from the present inputs with the config's present settings,
and if all jobs that it needs are kept. The user has to decide whether the new code would write the same bytes.
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
from workflow_scripts.timecat.planning.verification import differs, has_sidecar, stale_input

CODE = (".py", ".smk")
NO_DIGEST = "it has no digest to check and takes little time"


@dataclass(frozen=True)
class Verdict:
    """The decision about one job. reason: why it runs again; None if its outputs are kept."""

    job: DagJob
    reason: str | None


def verdicts(config: str, targets: Sequence[str], again: Collection[str] = ()) -> list[Verdict]:
    """Return the decision about each job that makes the targets, each after the jobs that it needs.

    again: rules that must run again. UserError if Snakemake finds a mistake in the study, or if ``again`` names an
    unknown rule.
    """
    dag, records = read_in_place(config, targets)
    if unknown := sorted(set(again) - set(dag.rules)):
        raise UserError(f"--except {unknown[0]}: no such rule; choose from {', '.join(dag.rules)}")
    found: dict[DagJob, Verdict] = {}
    for job in dag.jobs:
        found[job] = Verdict(job, _reason(job, records, again, found))
    return list(found.values())


def _reason(
    job: DagJob, records: Mapping[str, Record | None], again: Collection[str], earlier: Mapping[DagJob, Verdict]
) -> str | None:
    """Return why a job runs again, or None. The cheap checks come first."""
    if job.rule in again:
        return "--except names its rule"
    if missing := [path for path in job.outputs if not Path(path).exists()]:
        return f"{missing[0]} is missing"
    digested = [path for path in job.outputs if has_sidecar(path)]
    if not digested:
        return NO_DIGEST
    if needed := next((need for need in job.needs if earlier[need].reason is not None), None):
        return f"{needed.rule} runs again for {needed.outputs[0]}"
    if reason := _unlike_the_record(job, records):
        return reason
    for path in digested:
        if stale := stale_input(path, job.inputs):
            return f"{path} was made from another version of {stale}"
    return next(filter(None, map(differs, digested)), None)


def _unlike_the_record(job: DagJob, records: Mapping[str, Record | None]) -> str | None:
    """Return how a job differs from Snakemake's record of it, or None. Changes of code are ignored."""
    for path in job.outputs:
        record = records[path]
        if record is None:
            return f"Snakemake has no record of {path}"
        if record.other_params:
            return f"{path} was made with other settings"
        if other := sorted(_without_code(record.inputs) ^ _without_code(job.inputs)):
            return f"{path} was made from other files ({', '.join(other[:2])}{', ...' if len(other) > 2 else ''})"
    return None


def _without_code(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path for path in paths if not path.endswith(CODE))


def take_over(config: str, kept: Iterable[DagJob]) -> None:
    """Tell Snakemake that the outputs of these jobs are up to date. All jobs that they need must be among them."""
    kept = list(kept)
    needed = {need for job in kept for need in job.needs}
    last = [job.outputs[0] for job in kept if job not in needed]
    if last:
        _snakemake(config, "--touch", "--cores", "1", "--", *last)


def _snakemake(config: str, *options: str) -> str:
    """Run Snakemake in this folder and return its standard output. UserError with its message if it fails."""
    command = [sys.executable, "-m", "snakemake", "-s", path_of("Snakefile"), "--configfile", config, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{' '.join(command[3:])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def report(found: Sequence[Verdict]) -> str:
    """Return a table of the numbers of jobs that are kept and that run again, by rule, and the reasons."""
    rules = list(dict.fromkeys(each.job.rule for each in found))
    kept = Counter(each.job.rule for each in found if each.reason is None)
    total = Counter(each.job.rule for each in found)
    lines = [
        "rule                    kept  again",
        *(f"{rule:22}{kept[rule]:6}{total[rule] - kept[rule]:7}" for rule in rules),
    ]
    reasons = [f"{each.job.rule}: {each.reason}" for each in found if each.reason not in (None, NO_DIGEST)]
    if reasons:
        lines += [
            "",
            "Jobs that run again although their results might be kept:",
            *(f"  {line}" for line in reasons[:20]),
        ]
        if len(reasons) > 20:
            lines.append(f"  and {len(reasons) - 20} more")
    return "\n".join(lines)


def listing(found: Sequence[Verdict]) -> str:
    """Return all outputs as a table with tabs: path, "kept" or "again", reason."""
    rows = [
        (path, "again" if each.reason else "kept", each.reason or "") for each in found for path in each.job.outputs
    ]
    return "".join("\t".join(row) + "\n" for row in [("path", "decision", "reason"), *rows])
