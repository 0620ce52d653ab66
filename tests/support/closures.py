"""The stages that rules run, and the project's files that each depends on: a snapshot that reviewers see in a diff.

    python -m tests.support.closures --write

writes tests/unit/artifacts/closures.json anew after a change of imports that is meant. Without --write it prints how many
files each stage has.
"""

import argparse
import json
import re

from tests.support.studies import ROOT
from workflow_scripts.timecat.artifacts.source_code import code_of

SNAPSHOT = ROOT / "tests/unit/artifacts/closures.json"
TABLE_RULES = ("tables.smk", "calibration.smk")  # all other rules' stages compute
RULE = re.compile(r"^rule (\w+):$", re.MULTILINE)
CODE = re.compile(r'\bcode_of\(\s*"(\w+)"')
COMMAND = re.compile(r"python -m workflow_scripts\.(\w+)")


def rules() -> dict[str, tuple[str, str]]:
    """Return, for each rule that runs a stage, the stage of its ``code=`` and that of its command line."""
    found = {}
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]:
        _, *parts = RULE.split(path.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            code, command = CODE.findall(text), COMMAND.findall(text)
            if code or command:
                found[name] = (" ".join(code), " ".join(command))
    return found


def stages() -> list[str]:
    """Return the stages that rules list the code of, sorted."""
    return sorted({code for code, _ in rules().values() if code})


def table_stages() -> set[str]:
    """Return the stages that write tables, by the files of their rules (TABLE_RULES)."""
    texts = [(ROOT / "rules" / name).read_text() for name in TABLE_RULES]
    return {stage for text in texts for stage in COMMAND.findall(text)}


def closures() -> dict[str, list[str]]:
    """Return stage -> paths of its code, relative to workflow_scripts/."""
    return {stage: [path.removeprefix("workflow_scripts/") for path in code_of(stage)] for stage in stages()}


def main() -> None:
    """Write the snapshot, or print the number of files of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the snapshot anew")
    if parser.parse_args().write:
        SNAPSHOT.write_text(json.dumps(closures(), indent=1) + "\n")
        return
    for stage, files in closures().items():
        print(f"{stage:25} {len(files)}")


if __name__ == "__main__":
    main()
