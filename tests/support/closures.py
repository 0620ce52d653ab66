"""List the project's files that each stage depends on, and compare them with a stored snapshot.

    python -m tests.support.closures --write

updates the snapshot tests/unit/artifacts/closures.json after an intended change of imports. Reviewers see its changes
in a diff. With and without --write it prints the number of files of each stage, and which were added (+) and removed
(-) since the snapshot.
"""

import argparse
import json
import re

from tests.support.studies import ROOT
from workflow_scripts.timecat.artifacts.source_code import code_of

SNAPSHOT = ROOT / "tests/unit/artifacts/closures.json"
TABLE_RULES = ("tables.smk", "calibration.smk")  # files of rules whose stages write tables
RULE = re.compile(r"^rule (\w+):$", re.MULTILINE)
CODE = re.compile(r'\bcode_of\(\s*"(\w+)"')
COMMAND = re.compile(r"python -m workflow_scripts\.(\w+)")


def rules() -> dict[str, tuple[str, str]]:
    """Return (stage named in ``code=``, stage that the command line runs) for each rule that runs a stage."""
    found = {}
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]:
        _, *parts = RULE.split(path.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            code, command = CODE.findall(text), COMMAND.findall(text)
            if code or command:
                found[name] = (" ".join(code), " ".join(command))
    return found


def stages() -> list[str]:
    """Return the sorted names of the stages whose code a rule lists (``code_of``)."""
    return sorted({code for code, _ in rules().values() if code})


def table_stages() -> set[str]:
    """Return the names of the stages that write tables: the stages that the rules in TABLE_RULES run."""
    texts = [(ROOT / "rules" / name).read_text() for name in TABLE_RULES]
    return {stage for text in texts for stage in COMMAND.findall(text)}


def closures() -> dict[str, list[str]]:
    """Return the paths of the files that each stage imports, relative to workflow_scripts/, by stage."""
    return {stage: [path.removeprefix("workflow_scripts/") for path in code_of(stage)] for stage in stages()}


def report(before: dict[str, list[str]], now: dict[str, list[str]]) -> str:
    """Return a table of the number of files per stage, before and now, with added (+) and removed (-) files."""
    lines = [f"{'stage':25} {'snapshot':>8} {'now':>5}"]
    for stage in sorted(before.keys() | now.keys()):
        old, new = before.get(stage, []), now.get(stage, [])
        lines.append(f"{stage:25} {len(old):8} {len(new):5}")
        lines += [f"  {'+' if path in new else '-'} {path}" for path in sorted(set(old) ^ set(new))]
    return "\n".join(lines)


def main() -> None:
    """Print the difference from the snapshot, and with --write update the snapshot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="update the snapshot")
    write, now = parser.parse_args().write, closures()
    print(report(json.loads(SNAPSHOT.read_text()), now))
    if write:
        SNAPSHOT.write_text(json.dumps(now, indent=1) + "\n")


if __name__ == "__main__":
    main()
