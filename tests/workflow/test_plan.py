"""Check the output of the plan's command line, and the page that it writes."""

import collections
import re
import subprocess
import sys

import pytest

from tests.support.studies import ROOT, StudyFolder
from workflow_scripts.timecat.artifacts.files import write_json
from workflow_scripts.timecat.planning.page import scheduler_view
from workflow_scripts.timecat.planning.plan import make_plan
from workflow_scripts.timecat.planning.throughputs import read_throughputs

PAGE = "docs/benchmarks/scale.md"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> StudyFolder:
    """Copy of the repository in which nothing has run."""
    return StudyFolder.fresh(tmp_path_factory.mktemp("fresh") / "study")


# Numbers of training rows, evaluation rows and classes that are unknown before the data sets are made.
PARTS = {f"component{number}": (3000, 1200, 16) for number in (0, 1)} | {"shortcut_balanced": (408, 2000, 2)}
PARTS |= dict.fromkeys(("plants", "insects", "birds", "fishes"), (30000, 1500, 900))


def test_table_all_plans_every_table_without_sequences(fresh):
    rows = [word for part, numbers in PARTS.items() for word in ("--rows", f"{part}={','.join(map(str, numbers))}")]
    given = rows[: 2 * 3]  # options for the three parts of the embedded study
    text = plan("--configfile", "config/config.yaml", "--table", "all", *given, cwd=fresh.path).stdout
    assert "(table2, table1, controls, families, gap, spurious, width, grid, counterexample)" in text.splitlines()[0]


def test_a_table_that_a_rule_adds_is_planned(tmp_path):
    """The table has no block in the config: only the rules file defines it. The target all_arms makes it, too."""
    study = StudyFolder.fresh(tmp_path / "study")
    rule = """
lines = paths.table.at(table="lines")

FURTHER_TABLES.append(lines.csv)


rule tabulate_lines:
    input:
        table2.csv,
    output:
        lines.csv,
    shell:
        "wc -l < {input} > {output}"
"""
    study.append("rules/tables.smk", rule)
    assert "tabulate_lines" in study.snakemake("-n", "--", "all_arms").stdout
    for options in (["--table", "all"], ["--table", "lines"], ["--table", "lines", "--table", "table2"]):
        text = plan("--configfile", "config/tiny.yaml", *options, cwd=study.path).stdout
        assert "lines" in text.splitlines()[0] and re.search(r"^tabulate_lines +1 +1 ", text, re.MULTILINE)
    refused = plan("--configfile", "config/tiny.yaml", "--table", "line", cwd=study.path, check=False)
    assert refused.returncode == 1 and "'line' is not one of the study's tables (table2, " in refused.stderr
    assert "counterexample, lines, calibration); correct it" in refused.stderr


def test_table_1_costs_more_than_twice_as_much_as_table_2(fresh):
    """A step of a wide network costs as much as four of a plain one, and three wide networks are trained.

    Jobs that both tables need count once.
    """
    tables = {}
    for table in ("table2", "table1"):
        options = ["--configfile", "config/paper.yaml", *(["--table", table] if table != "table2" else [])]
        text = plan(*options, cwd=fresh.path).stdout
        (tables[table],) = re.findall(r"^pretrain .* ([\d.]+) GPU-days +([\d.]+) GPU-days$", text, re.MULTILINE)
        assert ("(table1)" in text.splitlines()[0]) is (table == "table1")
    assert 2 < float(tables["table1"][0]) / float(tables["table2"][0]) < 4
    both = plan("--configfile", "config/paper.yaml", "--table", "table2", "--table", "table1", cwd=fresh.path).stdout
    assert "resnet50w2, 224 px" in both and re.search(r"^tabulate_arms +1 +1 ", both, re.MULTILINE)
    (alone,) = re.findall(r"^pretrain +(\d+) ", plan("--configfile", "config/paper.yaml", cwd=fresh.path).stdout, re.M)
    (together,) = re.findall(r"^pretrain +(\d+) ", both, re.MULTILINE)
    assert int(together) == int(alone) + 3 * 2, "each wide chain has two milestones"


def plan(*options: str, cwd=ROOT, check=True) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "workflow_scripts.plan", *options]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_the_papers_study_is_planned_without_its_data(fresh):
    text = plan(
        "--configfile", "config/paper.yaml", "--gpus", "8,64,512", "--pretrain-gpus", "1,8", cwd=fresh.path
    ).stdout
    assert not (fresh.path / "data").exists()
    for line in (
        r"imagenet +1,281,167 +128,117 +50,000 +1,000 +4 +224 +published",
        r"pretrain +20 +20 +2\.3e9 +2\.0e6 +- +75 GPU-days +75 GPU-days",
        r"features +0\.83 TB +0\.83 TB",
        r"images through backbones +2\.4e9 +2\.1e8 +12 x",
        r" 64 +8 +48 h",
        r"More than 6 GPUs with pretrain_gpus: 1 save at most 1 %",
    ):
        assert re.search(line, text), line
    assert max(map(len, text.splitlines())) <= 120


def test_local_jobs_are_not_sent_to_the_scheduler():
    """Snakemake itself runs the jobs of tables and downloads; all remaining jobs are sent to the scheduler."""
    plan = make_plan(ROOT / "config/paper.yaml", read_throughputs(), root=ROOT / "nowhere")
    view = scheduler_view(plan)
    assert len(view["sent"]) == 155 and view["profile"]["retries"] == 2
    for rule, jobs in collections.Counter(job.rule for job in plan.jobs).items():
        assert re.search(rf"^{rule} +{jobs} ", view["rules"], re.MULTILINE), rule
    plan = make_plan(ROOT / "config/families.yaml", read_throughputs(), root=ROOT / "nowhere")
    assert {job.rule for job in plan.jobs} - {job.rule for job in scheduler_view(plan)["sent"]} == {
        "tabulate",
        "download",
    }


def test_planning_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys; sys.argv[1:] = ['--configfile', 'config/paper.yaml', '--gpus', '8,64,512'];"
        "from workflow_scripts import plan; plan.main();"
        "assert not {'torch', 'matplotlib', 'sklearn', 'ffcv'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_make_plan_passes_its_variables_to_the_command(fresh):
    """The test checks only the printed command, because `make` would first set up an environment in the copy."""
    # Inside `make test`, make would also print which folders it enters and leaves.
    make = ["make", "--no-print-directory", "-n", "plan"]
    asked = [[*make, "CONFIG=config/paper.yaml", "GPUS=8,64"], make, [*make, "TABLE=table1 grid"]]
    done = [
        subprocess.run(line, cwd=fresh.path, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        for line in asked
    ]
    assert done[0].endswith("-m workflow_scripts.plan --configfile config/paper.yaml --gpus 8,64")
    assert done[1].endswith("-m workflow_scripts.plan --configfile config/config.yaml")
    assert done[2].split()[-4:] == ["--table", "table1", "--table", "grid"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--table", "table7"], "error: --table: 'table7' is not one of the study's tables (table2, table1, controls"),
        (
            ["--table", "gap"],
            "data_sets.component0: its numbers of rows are not known before it is written; state them",
        ),
        (
            ["--table", "genomics"],
            "error: --table genomics: its data set 'single' has sequences, but a plan can count only images",
        ),
        (["--table", "calibration"], "leave that table out, or list only the other tables in calibration.tables"),
        (["--table", "table1", "--page", "page.md"], "error: --page: the page is about table 2; leave out --table"),
        (["--configfile", "nowhere.yaml"], "error: --configfile: nowhere.yaml cannot be read"),
        (["--configfile", "config/photos.yaml"], "data_sets.tinyimagenet25: its rows cannot be counted"),
        (["--device", "abacus"], "error: --device: 'abacus' is not in the table of throughputs; choose one of v100,"),
        (["--throughputs", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["--gpus", "8,none"], "'8,none' is not a list of whole numbers greater than 0"),
        (["--gpus", "0"], "is not a list of whole numbers"),
        (["--rows", "cues"], "'cues' is not of the form imagenet=1281167,50000"),
        (["--rows", "sauce=1,2"], "--rows: 'sauce' is not one of the study's data sets"),
        (["--pretrain-gpus", "8"], "--pretrain-gpus: cpu-core is not a GPU"),
        (["--page", "page.md"], "--page: the page shows how pretraining scales; give --gpus, --pretrain-gpus"),
    ],
)
def test_a_mistake_is_refused_without_a_traceback(fresh, options, message):
    done = plan(*options, cwd=fresh.path, check=False)
    assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr
    assert not (fresh.path / "page.md").exists()


def test_the_page_is_current(tmp_path):
    """The command on docs/benchmarks/scale.md writes the same page and figure again, without data and results."""
    text = (ROOT / PAGE).read_text()
    (line,) = re.findall(r"^python -m workflow_scripts\.plan .*$", text, re.MULTILINE)
    words = line.split()[3:]
    assert words[-2:] == ["--page", PAGE]
    copy = StudyFolder.fresh(tmp_path / "study")
    for file in (PAGE, "docs/benchmarks/scale.svg"):
        (copy.path / file).unlink()
    plan(*words, cwd=copy.path)
    assert (copy.path / PAGE).read_text() == text, f"the page is out of date; write it again: {line}"
    assert copy.read("docs/benchmarks/scale.svg") == (ROOT / "docs/benchmarks/scale.svg").read_bytes()
    for file in re.findall(r"\(([\w.]+)\)$", text, re.MULTILINE):
        assert (ROOT / PAGE).with_name(file).exists()


def test_the_readme_agrees_with_the_page():
    told, page = ((ROOT / file).read_text() for file in ("docs/how_to/plan.md", PAGE))
    lines = told.partition("| after pretraining |")[2].partition("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]
    of_page = [re.split(r" {2,}", line) for line in page.splitlines()]
    assert len(rows) == 3 and all(row in of_page for row in rows)
    (probes,) = re.findall(r"here the probes: (.*?)\. ", " ".join(lines[2].split()))
    assert f"costs {probes} of probes here" in page


def test_the_page_does_not_depend_on_existing_results(tmp_path):
    """Different numbers of rows in sidecars change the printed plan, but not the page."""
    copy = StudyFolder.fresh(tmp_path / "study")
    options = ["--configfile", "config/tiny.yaml", "--device", "v100", "--gpus", "2"]
    to_page = [*options, "--pretrain-gpus", "1,2", "--page", "page.md"]
    plan(*to_page, cwd=copy.path)
    page, printed = copy.read("page.md"), plan(*options, cwd=copy.path).stdout
    assert copy.read("page.svg").startswith(b"<?xml") and "600        60" in printed
    for split in ("train", "evaluation"):
        write_json(copy.path / f"results/data_sets/cues_tiny/{split}.beton.json", {"rows": 777, "classes": 16})
    plan(*to_page, cwd=copy.path)
    assert copy.read("page.md") == page
    assert "777        78" in plan(*options, cwd=copy.path).stdout


def test_the_plan_shows_how_many_more_seeds_a_contrast_needs(fresh):
    """The plan reads the contrasts of a finished pilot study; before the pilot it does not show seeds."""
    lines = [
        "kind,arm,data_set,selection,baseline,mean,low,high,se,df,p,p_holm,seeds,replicates,row_se,interval,no_interval_because",
        "gain,cat2,cues,holdout,cat1,1.000,,,0.700,4.000,,,10,5,0.3,t,",
        "gain,cat2,cue0,holdout,cat1,1.000,,,0.700,4.000,,,10,5,0.3,t,",
        "gain,cat2,cue0,paper,cat1,9.000,,,0.700,4.000,,,10,5,0.3,t,",
    ]
    file = fresh.path / "results/table2.contrasts.csv"
    file.parent.mkdir(exist_ok=True)
    before = plan("--configfile", "config/config.yaml", cwd=fresh.path).stdout
    file.write_text("\n".join(lines) + "\n")
    text = plan("--configfile", "config/config.yaml", cwd=fresh.path).stdout
    file.unlink()
    assert "more seeds" not in before
    found = [line.split() for line in text.splitlines() if line.startswith("table2: ")]
    assert found == [["table2:", "cat2", "cue0", "+1.00", "-0.94", "to", "+2.94", "10", "34"]], "the source has no line"
