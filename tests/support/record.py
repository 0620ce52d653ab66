"""Record all results of a study and the outputs of its commands, or compare two records.

A refactoring must not change any result. Make a record before and after the change, on the same machine (last
bits can differ between kinds of CPU), and compare:

    python tests/support/record.py make CHECKOUT before.json --study full
    python tests/support/record.py compare before.json after.json

A record holds
- ``files``: SHA-256 of every csv, md, tex, svg and parquet under results/, and the ``content`` digest of every sidecar;
- ``jobs``: the jobs of ``snakemake -n`` (rule and outputs) for every file of config/;
- ``plans``: the output of ``make plan`` for every file of config/;
- ``help``: the output of ``--help`` of every stage;
- ``closures``: the project's files that each stage imports. Only their numbers are compared: a move renames them.

The script works in a temporary copy of the files that git tracks in CHECKOUT, and does not depend on the layout below
workflow_scripts/.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

READABLE = {".csv", ".md", ".tex", ".svg", ".parquet"}
UNRECORDED = ("logs", "benchmarks")  # folders of results/ that hold times
STUDIES = {
    "none": None,
    "tiny": ["--configfile", "config/tiny.yaml", "--", "all_arms", "results/diagnostics.csv"],
    "full": ["--", "all_arms", "results/diagnostics.csv"],
}
CLOSURES = """
import importlib, json, sys
from pathlib import Path
for name in ("workflow_scripts.timecat.artifacts.source_code", "workflow_scripts.timecat.source_code"):
    try:
        code_of = importlib.import_module(name).code_of
        break
    except ModuleNotFoundError:
        pass
stages = sorted(path.stem for path in Path("workflow_scripts").glob("*.py") if path.stem != "__init__")
print(json.dumps({stage: sorted(map(str, code_of(stage))) for stage in stages}))
"""


def copy_of(checkout: Path, folder: Path) -> Path:
    """Copy the files that git tracks in ``checkout``, in the state of the working tree, to ``folder``."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (checkout / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((checkout / name).read_bytes())
            (folder / name).chmod((checkout / name).stat().st_mode)
    return folder


def output_of(command: list[str], folder: Path) -> str:
    """Run a command in a folder, without GPUs, and return its output, plus its exit status if that is not 0."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120", "PATH": path_with_environment()}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    failed = f"exit status {done.returncode}\n{done.stderr[-3000:]}" if done.returncode else ""
    return (done.stdout + failed).replace(str(folder), "FOLDER")


def path_with_environment() -> str:
    """Return PATH with this interpreter's folder first, so that snakemake is found without an active environment."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def jobs_in(dry_run: str) -> list[str]:
    """Return one line per job of a dry run (rule and outputs), sorted, or the error message of a failed dry run."""
    if dry_run.startswith("exit status") or "\nexit status" in dry_run:
        return dry_run.splitlines()
    found = []
    for block in re.split(r"\n(?=\[\w{3} \w{3})", dry_run):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
        output = re.search(r"^    output: (.*)$", block, re.MULTILINE)
        if rule:
            found.append(f"{rule[1]}: {output[1] if output else ''}")
    return sorted(found)


def results_of(folder: Path, results: str = "results") -> dict[str, str]:
    """Return the digests of the files of a finished study, by path.

    results: name of the study's results_dir.
    """
    digests = {}
    for path in sorted((folder / results).rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name == "README.md" or path.relative_to(folder).parts[1] in UNRECORDED:
            continue
        if path.suffix in READABLE:
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".json":
            digests[name] = json.loads(path.read_text()).get("content", "no content")
    return digests


def make(checkout: Path, study: str) -> dict:
    """Return the record of a checkout, made in a temporary copy of it.

    study: key of STUDIES, the study to run.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_of(checkout, Path(temporary))
        configs = sorted(str(path.relative_to(folder)) for path in (folder / "config").glob("*.yaml"))
        configs = [name for name in configs if name != "config/throughputs.yaml"]
        stages = sorted(path.stem for path in (folder / "workflow_scripts").glob("*.py") if path.stem != "__init__")
        python = sys.executable

        def dry_run(config: str) -> list[str]:
            return jobs_in(output_of(["snakemake", "-n", "--nolock", "--configfile", config, "--", "all_arms"], folder))

        def plan(config: str) -> str:
            return output_of([python, "-m", "workflow_scripts.plan", "--configfile", config], folder)

        def help_of(stage: str) -> str:
            return output_of([python, "-m", f"workflow_scripts.{stage}", "--help"], folder)

        with ThreadPoolExecutor(2) as pool:
            record = {
                "jobs": dict(zip(configs, pool.map(dry_run, configs))),
                "plans": dict(zip(configs, pool.map(plan, configs))),
                "help": dict(zip(stages, pool.map(help_of, stages))),
                "closures": json.loads(output_of([python, "-c", CLOSURES], folder)),
            }
        if STUDIES[study] is not None:
            said = output_of(["snakemake", "--cores", "2", "--quiet", "all", *STUDIES[study]], folder)
            if "exit status" in said:
                sys.exit(f"the study failed:\n{said}")
        return record | {"files": results_of(folder)}


def differences(before: dict, after: dict) -> list[str]:
    """Return a line for each difference between two records; closures are compared by their number of files."""
    lines = []
    for section in ("files", "jobs", "plans", "help"):
        old, new = before[section], after[section]
        changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
        lines += [f"{section}: {name}: {_change(old.get(name), new.get(name))}" for name in changed]
    for stage in sorted(before["closures"].keys() | after["closures"].keys()):
        old, new = (len(record["closures"].get(stage, [])) for record in (before, after))
        if old != new:
            lines.append(f"closures: {stage}: {old} -> {new} files")
    return lines


def _change(old, new) -> str:
    if old is None or new is None:
        return "new" if old is None else "gone"
    if isinstance(old, list):
        return (
            f"gone {sorted(set(old) - set(new))[:5]}, new {sorted(set(new) - set(old))[:5]}, {len(old)} -> {len(new)}"
        )
    pairs = zip(old.splitlines(), new.splitlines())
    first = next(((one, other) for one, other in pairs if one != other), ("", "(length)"))
    return f"{first[0]!r} -> {first[1]!r}"


def main() -> None:
    """Read the command line; make a record, or compare two records and exit with 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="make the record of a checkout")
    maker.add_argument("checkout", type=Path)
    maker.add_argument("record", type=Path, help="JSON file to write")
    maker.add_argument("--study", choices=STUDIES, default="tiny", help="which study to run (default: tiny)")
    maker.add_argument(
        "--results", type=Path, help="checkout whose finished results/ are recorded instead of running a study"
    )
    comparer = commands.add_parser("compare", help="compare two records")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "make":
        record = make(arguments.checkout.resolve(), "none" if arguments.results else arguments.study)
        if arguments.results:
            record["files"] = results_of(arguments.results.resolve())
        arguments.record.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        return
    before, after = (json.loads(path.read_text()) for path in (arguments.before, arguments.after))
    lines = differences(before, after)
    print("\n".join(lines) or f"equal: {len(after['files'])} files, {sum(map(len, after['jobs'].values()))} jobs")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
