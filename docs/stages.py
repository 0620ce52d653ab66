"""Write docs/reference/stages.md: every rule, with what it reads and writes, from the headers of the files in rules/.

Run ``make docs`` after a change of a header; a test fails when the page is out of date.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/stages.md"
# From the images to the tables, then what stands beside that line.
ORDER = (
    "write_dataset",
    "pretrain",
    "initialise",
    "download",
    "import_checkpoint",
    "extract_features",
    "probe",
    "evaluate_probe",
    "transfer",
    "reweight",
    "diagnose",
    "calibration",
    "counterexample",
    "tables",
    "build_image",
)
# Paragraphs that are lists, by the beginning of a line.
ALIGNED = re.compile(r"^(Input|Output|    )", re.MULTILINE)
INTRODUCTION = """\
# Stages

A stage is one rule of Snakemake and one command line, `python -m workflow_scripts.STAGE`. This page is generated from the
headers of the files in `rules/`. `{NAME}` is a wildcard of the rule. A sidecar is a small file beside a big one,
`FILE.json`, that stands for it ([Results](results.md)).

![The rules of the workflow](../figures/dag.svg)

Each job writes a log, `results/logs/RULE/...`, and its seconds and peak memory, `results/benchmarks/RULE/...`.
"""


def rule_files() -> list[Path]:
    """Return the files of rules in the order of the page."""
    files = {path.stem: path for path in (ROOT / "rules").glob("*.smk")}
    return [files.pop(name) for name in ORDER if name in files] + [files[name] for name in sorted(files)]


def page() -> str:
    """Return the text of the page."""
    return "\n".join([INTRODUCTION, *map(section, rule_files())])


def section(path: Path) -> str:
    """Return the section of one file of rules: prose as it is, aligned lines as lists."""
    source = path.read_text()
    header = ast.literal_eval(re.match(r'""".*?"""', source, re.DOTALL)[0]).strip()
    rules = re.findall(r"^rule (\w+):", source, re.MULTILINE)
    title = f"`{rules[0]}`" if len(rules) == 1 else path.stem.capitalize()
    parts = [f"## {title}", ""]
    for paragraph in header.split("\n\n"):
        parts += [*(items(paragraph) if ALIGNED.search(paragraph) else [paragraph.strip()]), ""]
    return "\n".join(parts)


def items(paragraph: str) -> list[str]:
    """Return aligned lines as Markdown lists: "name  meaning", under the words Input and Output where a line has them."""
    lines: list[str] = []
    is_open = False  # whether a line that goes on belongs to the item or sentence before it
    for line in paragraph.splitlines():
        if found := re.match(r"(Input|Output) +(.*)", line):
            lines += ["", f"**{found[1]}**", ""]
            line, is_open = " " * 8 + found[2], False
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if named := re.match(r"(\S+(?:, \.\w+)*)  +(\S.*)", text):
            lines.append(f"- `{named[1]}`: {named[2]}")
        elif re.fullmatch(r"results/\S+", text):
            lines.append(f"- `{text}`")
        elif is_open and (indent > 8 or not lines[-1].startswith("- ")):
            lines[-1] += f" {text}"
        else:
            lines.append(f"- {text.removeprefix('and ')}" if lines and lines[-1].startswith("- ") else text)
        is_open = True
    return lines[1:] if lines and not lines[0] else lines


if __name__ == "__main__":
    PAGE.write_text(page())
