"""What a cluster's scheduler sees of a planned study: its jobs, what each asks for, and how long it runs."""

import statistics
from pathlib import Path

import yaml

from workflow_scripts.timecat.planning.jobs import Job
from workflow_scripts.timecat.planning.report import Plan
from workflow_scripts.timecat.planning.text import duration, table

PROFILE = Path(__file__).resolve().parents[3] / "profiles/slurm/profile.yaml"
# Rules that Snakemake runs itself, on the login node (localrules of the Snakefile).
LOCAL = {"tabulate"}


def scheduler_view(plan: Plan, settings: dict | None = None) -> str:
    """The section's text: a table of the rules, and the settings that keep the scheduler quiet.

    settings: of profiles/slurm/profile.yaml, which are read by default.
    """
    settings = settings or yaml.safe_load(PROFILE.read_text())
    rows = [["rule", "jobs", "GPUs", "cores", "shortest", "median", "longest"]]
    for rule in plan.rules:
        jobs = [job for job in plan.jobs if job.rule == rule]
        seconds = [plan.costs.seconds(job) for job in jobs]
        asked = jobs[0]
        rows.append(
            [rule, str(len(jobs))]
            + [str(asked.devices or "-"), str(asked.threads)]
            + [duration(value) for value in (min(seconds), statistics.median(seconds), max(seconds))]
        )
    sent = [job for job in plan.jobs if job.rule not in LOCAL]
    return (
        f"With `profiles/slurm`, the study is {len(sent)} jobs, each a call of sbatch when its inputs are there, and Snakemake "
        f"asks for all of them at once every {settings['seconds-between-status-checks']} seconds or more rarely, where a "
        f"script's loop asks for each.\n\n```\n{table(rows)}\n```\n\n"
        "Times are of the work alone; waiting in the queue, and the seconds in which a job starts Snakemake and Python "
        f"(measured here: 6 to 15), come on top. {_short_jobs(plan, sent)}\n\n{_settings(settings)}"
    )


def _short_jobs(plan: Plan, jobs: list[Job]) -> str:
    minutes = [job for job in jobs if plan.costs.seconds(job) < 300]
    if not minutes:
        return "No job is shorter than five minutes, so that cost is nothing."
    return f"{len(minutes)} of the jobs are shorter than five minutes."


def _settings(settings: dict) -> str:
    retries = settings["retries"]
    return "\n".join(
        [
            "What keeps a scheduler quiet, all of it in `profiles/slurm/profile.yaml`:",
            "",
            f"- `jobs` ({settings['jobs']}): no more than so many stand in the queue.",
            f"- `max-jobs-per-timespan` ({settings['max-jobs-per-timespan']}): no burst of submissions, and few wake-ups "
            "of Snakemake itself.",
            f"- `slurm-init-seconds-before-status-checks` ({settings['slurm-init-seconds-before-status-checks']}) and "
            f"`seconds-between-status-checks` ({settings['seconds-between-status-checks']}): how often it is asked.",
            f"- `retries` ({retries}): a job that was killed comes back by itself, {retries} times at most, with more memory "
            "and time, so that nobody has to submit by hand.",
            "- `groups` and `group-components`, for studies of hundreds of short jobs: one call for many of them, which run "
            "one after another. Commented out, for a group is tried again as a whole.",
            "- `limits.runtime_minutes` and `limits.pretrain_memory_mb` of the config near what is needed: short jobs fit into "
            "gaps.",
        ]
    )
