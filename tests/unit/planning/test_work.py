"""Tests of planned work, bytes and costs: they equal the work and bytes of the stages and calculations by hand."""

import math

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from tests.support.settings import backbone
from tests.support.studies import BESIDE_TABLE_2, values_of
from workflow_scripts.timecat.backbones.build import build_backbone
from workflow_scripts.timecat.backbones.sizes import (
    KNOWN,
    backbone_size,
    counted,
    known_dimension,
    small_residual_size,
)
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.planning.costs import usable_gpus
from workflow_scripts.timecat.planning.devices import OnDevices
from workflow_scripts.timecat.planning.jobs import left
from workflow_scripts.timecat.planning.plan import Plan, make_plan
from workflow_scripts.timecat.planning.report import notes
from workflow_scripts.timecat.planning.schedule import critical_path, simulate, work
from workflow_scripts.timecat.planning.text import count, duration, ratio, size, table
from workflow_scripts.timecat.planning.throughputs import read_throughputs
from workflow_scripts.timecat.pretraining.batch_shares import usable_processes
from workflow_scripts.timecat.probing.heads import StackedHeads
from workflow_scripts.timecat.probing.projection import Projection
from workflow_scripts.timecat.probing.saved_heads import saved_head, write_heads

TABLE = read_throughputs()
TABLE2 = "results/table2.csv"


def read(config: str) -> dict:
    """Return the values of a config file in the folder config."""
    return values_of(f"config/{config}.yaml")


def plan_of(values: dict, tmp_path, **options) -> Plan:
    """Return the plan of a study none of whose files exist."""
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return make_plan(file, TABLE, root=tmp_path, **options)


def jobs(plan, rule: str) -> dict:
    """Return the jobs of a rule in a plan, by name."""
    return {job.name: job for job in plan.jobs if job.rule == rule}


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Plan:
    """Plan of the paper's study."""
    return plan_of(read("paper"), tmp_path_factory.mktemp("paper"))


# --- backbones ---


@pytest.mark.parametrize("name", KNOWN, ids=str)
def test_the_table_of_backbones_equals_counted_sizes(name):
    assert counted(backbone(name[0], width=name[1]), 224) == KNOWN[name]


@pytest.mark.parametrize("width, blocks, side", [(8, 3, 28), (4, 2, 32), (16, 3, 33), (5, 1, 7)])
def test_the_size_of_a_small_residual_network_equals_the_counted_size(width, blocks, side):
    settings = backbone(width=width, blocks=blocks)
    assert small_residual_size(width, blocks, side) == counted(settings, side)


@pytest.mark.parametrize("width, blocks, side, last", [(8, 4, 32, 256), (8, 3, 28, 7), (5, 1, 7, 11)])
def test_the_size_with_a_wider_last_block_equals_the_counted_size(width, blocks, side, last):
    settings = backbone(width=width, blocks=blocks, last_width=last)
    assert backbone_size(settings, side) == counted(settings, side)
    assert backbone_size(settings, side).dimension == last


@pytest.mark.parametrize(
    "described",
    [
        {"width": 8, "blocks": 4},
        {"width": 8, "blocks": 4, "last_width": 24},
        {"architecture": "small_vit", "patch": 4, "width": 24, "depth": 1, "heads": 2},
        {"architecture": "small_regnet", "widths": [8, 24], "depths": [1, 1]},
        {"architecture": "sequence_residual", "width": 4, "blocks": 3},
        {"architecture": "random_projection", "dimension": 24},
        {"architecture": "resnet50", "width": 2},
    ],
)
def test_the_number_of_features_is_known_without_torch(described):
    settings = backbone(**described)
    assert known_dimension(settings) == build_backbone(settings, 32).dimension


def test_an_unknown_number_of_features_is_none():
    assert known_dimension(backbone("mobilenet_v3_small")) is None


CHAIN = ("tinyimagenet", "resnet18")


def test_backbones_outside_the_table_are_counted(tmp_path):
    values = read("photos-gpu")
    values["backbones"]["resnet18"] = {"architecture": "mobilenet_v3_small"}
    rows = {"tinyimagenet": (100, 10, 5), "cifar100": (50, 20, 7)}
    plan = plan_of(values, tmp_path, given=rows)
    size = plan.planned.size(*CHAIN)
    assert size.dimension == 1024 and size.norms == 34
    values["backbones"]["resnet18"] = {"architecture": "convnext_tiny"}
    assert plan_of(values, tmp_path, given=rows).planned.batch_norm_images(*CHAIN) == 0, "it has no batch norm"


# --- linear heads ---


def test_planned_operations_of_heads_equal_torchs_count(tmp_path):
    """torch's flop counter counts a training step and an evaluation of all heads."""
    heads, classes, dim, rows = 6, 100, 512, 256
    stacked = StackedHeads(torch.zeros(classes, dim), [1e-4] * heads, momentum=0.9, batch_norm=True)
    features, labels = torch.randn(rows, dim), torch.zeros(rows, dtype=torch.int64)
    with FlopCounterMode(display=False) as training:
        stacked.train_step(features, labels, 0.1)
    with FlopCounterMode(display=False) as evaluation:
        stacked.logits(features)
    values = read("photos-gpu") | {"arms": [{"name": "one", "members": 1, "steps": 1, "replicates": [[2]]}]}
    values |= {"targets": ["cifar100"], "probe": {"epochs": 1}}
    planned = plan_of(values, tmp_path, given={"tinyimagenet": (999, 9, 9), "cifar100": (1280, 256, classes)}).planned
    found = planned.probe_operations("one", "cifar100")
    # Full fit: 1,280 rows and 256 for evaluation. Fit to nine tenths: 1,152 rows and 128 held out.
    expected = (1280 + 1152) / rows * training.get_total_flops() + 384 / rows * evaluation.get_total_flops()
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_a_reduced_arm_is_planned_with_its_projection(tmp_path, solver):
    """Bytes equal the size of a file of heads (5 features) with a projection of 3 x 512, operations torch's count."""
    classes, columns, left = 100, 3 * 512, 5
    arm = {"members": 3, "steps": 1, "replicates": [[2, 550, 23]], "solver": solver}
    arms = [arm | {"name": "whole"}, arm | {"name": "few", "reduce": {"method": "pca", "dimensions": left}}]
    values = read("photos-gpu") | {
        "arms": arms,
        "targets": ["cifar100"],
        "probe": {"epochs": 2},
    }
    values = {key: value for key, value in values.items() if key not in BESIDE_TABLE_2}
    planned = plan_of(values, tmp_path, given={"tinyimagenet": (999, 9, 9), "cifar100": (1280, 256, classes)}).planned

    stacked = StackedHeads(torch.zeros(classes, left), [1e-4], momentum=0.9, batch_norm=solver == "sgd")
    projection = Projection(*torch.zeros(2, columns), torch.zeros(left, columns))
    heads = {(0, name): saved_head(stacked, 0) for name in ("paper", "holdout")}
    write_heads(tmp_path / "heads", heads, {"classes": classes}, {0: projection})
    assert planned.heads_bytes("few", "cifar100") == pytest.approx((tmp_path / "heads").stat().st_size, rel=0.03)
    assert planned.heads_bytes("whole", "cifar100") > planned.heads_bytes("few", "cifar100")

    with FlopCounterMode(display=False) as reduced:
        projection(torch.zeros(1, columns))
    # Each epoch (or view) projects the training rows and the evaluated rows of both fits. The covariance is computed
    # from 1,152 rows of one view.
    passes = 2 if solver == "sgd" else len(planned.study.data_sets.view_names("cifar100"))
    products = passes * (1280 + 1152 + 256 + 128) * reduced.get_total_flops() + 2 * 1152 * columns**2
    of_heads = planned.probe_operations("whole", "cifar100") * left / columns
    if solver == "lbfgs":  # its reduced coordinates are computed from the covariance of the features
        of_heads -= 2 * passes * 2432 * (left * columns - left**2)
    assert planned.probe_operations("few", "cifar100") == pytest.approx(of_heads + products, rel=1e-3)


# --- images and disk of a study, calculated by hand ---


def test_the_papers_images_and_bytes_equal_a_calculation_by_hand(paper):
    pretrain = jobs(paper, "pretrain")
    assert sum(job.work.trained for job in pretrain.values()) == 5 * 450_000 * 1024
    assert pretrain["seed 2 to step 80000"].work.trained == 80_000 * 1024
    assert pretrain["seed 2 to step 450000"].work.trained == 250_000 * 1024, "from step 200,000"
    assert {job.work.read for job in pretrain.values()} == {50 * 1024 + 50_000}, "for batch norm and for accuracy"
    extract = jobs(paper, "extract_features")
    imagenet = extract["imagenet, seed 2 at step 80000"]
    assert imagenet.work.read == 4 * 1_281_167 + 128_117 + 50_000
    assert imagenet.work.bytes["features"] == imagenet.work.read * 2048 * 2 + 6 * 128
    assert sum(job.work.bytes["features"] for job in extract.values()) == pytest.approx(0.83e12, rel=0.01), (
        "as paper.yaml says"
    )
    weights = jobs(paper, "pretrain")["seed 2 to step 80000"].work.bytes
    # torchvision's resnet50: 25,557,032 parameters with its classifier; 97.8 MB as a file.
    assert weights["weights"] == pytest.approx(4 * (25_557_032 + 53_120), rel=2e-3)
    assert weights["training states"] == pytest.approx(4 * (3 * 25_557_032 + 53_120), rel=2e-3)
    assert paper.left == paper.jobs
    # Original procedure: 18 backbones x weight decays x 28 epochs x (rows + evaluation rows), over the four data sets.
    of_data_sets = 2 * (1_281_167 + 50_000) + 3 * (437_513 + 24_426) + 2 * 6 * 60_000
    assert paper.original.images == 18 * 28 * of_data_sets
    # With fresh views, the same jobs read 28 views of each training image of both large data sets. The small data sets
    # already have 28 views.
    fresh = {job.name: job for job in paper.fresh if job.rule == "extract_features"}
    assert fresh["imagenet, seed 2 at step 80000"].work.read == 28 * 1_281_167 + 128_117 + 50_000
    assert fresh["cifar10, seed 2 at step 80000"].work.read == extract["cifar10, seed 2 at step 80000"].work.read
    assert [(job.rule, job.name) for job in paper.fresh] == [(job.rule, job.name) for job in paper.jobs]
    # Each checkpoint from scratch: 5 x 450,000, 4 x 200,000, 4 x 100,000 and 5 x 80,000 steps.
    assert paper.original.pretrained_apart == (5 * 450 + 4 * 200 + 4 * 100 + 5 * 80) * 1000 * 1024


def test_numbers_of_views_and_weight_decays_are_counted(tmp_path):
    values = read("tiny")
    values["features"] = {"views": ["center"]}
    values["probe"]["weight_decays"] = [0.1, 0.2, 0.3]
    plan = plan_of(values, tmp_path)
    (one, *_) = jobs(plan, "extract_features").values()
    assert one.work.read == 600 + 60 + 200
    assert plan.original.images == 4 * 3 * 4 * 800
    values["features"] = {"views": 5}
    assert next(iter(jobs(plan_of(values, tmp_path), "extract_features").values())).work.read == 5 * 600 + 260


def test_pretraining_on_each_target_is_counted(tmp_path):
    """Three seeds train five steps on each of two targets; on the source, other arms already train four of them."""
    values = read("tiny") | {"floors": None}
    values["data_sets"]["other"] = {"kind": "cues", "label": "cue0", "rows": {"train": 600, "evaluation": 200}}
    values["targets"].append("other")
    before = plan_of(values, tmp_path)
    values["arms"].append({"name": "own", "members": 1, "steps": 5, "pretrained_on": "target"})
    plan = plan_of(values, tmp_path)

    def trained(found: Plan, source: str) -> int:
        """Return the number of training images of all pretraining jobs on a source."""
        own = (job for job in found.jobs if job.rule == "pretrain" and job.dag.wildcards["source"] == source)
        return sum(job.work.trained for job in own)

    assert trained(before, "other") == 0 and trained(plan, "other") == 3 * 5 * 64
    assert trained(plan, "cues_tiny") == trained(before, "cues_tiny") + 2 * (5 - 4) * 64
    assert plan.original.pretrained_apart == before.original.pretrained_apart + 2 * 3 * 5 * 64
    assert len(jobs(plan, "probe")) == len(jobs(before, "probe")) + 2


def test_all_kinds_of_stages_are_planned(tmp_path):
    values = read("tiny")
    values["data_sets"]["sketch"] = {"kind": "evaluation_folder", "root": "x", "probe_of": "cues_tiny"}
    values["targets"].append("sketch")
    values["checkpoints"] = {"archive": "https://x.org/a.zip", "path": "{run}_{step}.pt"}
    plan = plan_of(values, tmp_path, given={"sketch": (70,)})
    assert {rule: len(jobs(plan, rule)) for rule in plan.rules} == {
        "write_dataset": 3,
        "import_checkpoint": 4,
        "download": 1,
        "extract_features": 8,
        "probe": 2,
        "evaluate_probe": 2,
        "tabulate": 1,
    }
    assert jobs(plan, "extract_features")["sketch, seed 2 at step 4"].work.read == 70
    assert {job.work.bytes.get("training states") for job in jobs(plan, "import_checkpoint").values()} == {None}
    assert plan.original.images == 4 * 2 * 4 * 800 + 4 * 70 and plan.original.pretrained_apart == 0
    # Transfers: 3 members and 2 weight decays with both fits; then 1 member and 1 weight decay with one fit.
    values = read("tiny")
    values["arms"] += [
        {"name": "tuned", "members": 3, "steps": 4, "transfer": "finetune"},
        {"name": "scratch", "members": 1, "transfer": "direct"},
    ]
    values["finetune"] = {"epochs": 2, "weight_decays": [0.0001, 0.001]}
    values["direct"] = {"epochs": 5}
    plan = plan_of(values, tmp_path)
    tuned, scratch = jobs(plan, "transfer").values()
    assert (tuned.work.trained, tuned.work.read) == (3 * 2 * 2 * (600 + 540), 3 * 2 * 2 * 260)
    assert (scratch.work.trained, scratch.work.read) == (3 * 5 * 600, 3 * 5 * 200), "three replicates"
    assert any("step4.safetensors" in path for path in tuned.dag.inputs)
    assert not any(path.startswith("results/checkpoints") for path in scratch.dag.inputs)
    original = plan_of(read("tiny"), tmp_path).original.images
    assert plan.original.images == original + sum(job.work.trained + job.work.read for job in (tuned, scratch))


# --- what is left ---


def test_the_jobs_that_are_left_follow_from_the_missing_files(tmp_path):
    plan = plan_of(read("tiny"), tmp_path)
    there = {path for job in plan.jobs for path in job.dag.outputs}

    def rules(*missing: str) -> list[str]:
        """Return the rules of the jobs that are left if files with these prefixes are missing."""
        return [
            job.rule for job in left(plan.jobs, lambda path: path in there and not path.startswith(missing), [TABLE2])
        ]

    assert rules() == []
    assert rules(TABLE2) == ["tabulate"]
    assert rules("results/features") == [], "no missing file needs them"
    others = ("results/probes", "results/features", "results/checkpoints", "results/data_sets")
    assert len(rules(*others)) == len(plan.jobs), "the table that exists is another study's"
    assert rules(TABLE2, "results/probes/cues_tiny/cues_tiny/cat3.parquet", "results/features") == [
        *["extract_features"] * 3,
        "probe",
        "tabulate",
    ]
    one_seed = "results/checkpoints/cues_tiny/residual4/seed550/"
    assert sorted(rules(TABLE2, "results/probes", "results/features", one_seed)) == sorted(
        [*["extract_features"] * 4, "pretrain", "probe", "probe", "tabulate"]
    )
    # If a job runs again, all jobs that need its outputs run again, even if their files exist.
    one_of_each = (
        "results/probes",
        "results/features/cues_tiny/residual4/seed2/step12",
        "results/data_sets/cues_tiny/train",
    )
    found = rules(TABLE2, *one_of_each)
    assert {rule: found.count(rule) for rule in found} == {
        "write_dataset": 1,
        "pretrain": 4,
        "extract_features": 4,
        "probe": 2,
        "tabulate": 1,
    }


# --- costs ---


def test_planned_seconds_equal_a_calculation_by_hand(paper):
    costs = paper.costs
    assert costs.name == "v100" and costs.unit == "GPU"
    first = jobs(paper, "pretrain")["seed 2 to step 80000"]
    reading = (50 * 1024 + 50_000) / 1261
    assert costs.seconds(first) == pytest.approx(10 + 80_000 * 1024 / 356 + reading)
    extract = jobs(paper, "extract_features")["cifar10, seed 2 at step 80000"]
    assert costs.seconds(extract) == pytest.approx(10 + (28 * 50_000 + 5_000 + 10_000) / 1261)
    probe = jobs(paper, "probe")["cat5 on inat18"]
    per_row = 2 * 3 * 8142 * 5 * 2048
    operations = 28 * per_row * (2 * (2 * 437_513 - 43_751) + 24_426 + 43_751)
    assert costs.seconds(probe) == pytest.approx(10 + operations / (0.5 * 15.7e12))
    write = jobs(paper, "write_dataset")["imagenet train"]
    each = 469 * 387 / 187_500 / 280 + 0.0004
    assert costs.seconds(write) == pytest.approx(10 + 1_281_167 * each / 8) and costs.device_seconds(write) == 0
    assert sum(map(costs.device_seconds, jobs(paper, "pretrain").values())) / 86400 == pytest.approx(75.1, abs=0.2)


def test_a_job_that_a_scheduler_would_stop_is_named(paper, tmp_path):
    said = " ".join(notes(paper).split())
    assert "The longest job (pretrain seed 2 to step 450000) takes 8.3 days" in said
    values = read("paper")
    values["limits"]["pretrain_gpus"] = 8
    assert "The longest job" not in notes(plan_of(values, tmp_path)), "with 8 GPUs it takes a day"


def test_a_job_with_several_gpus_is_faster_by_the_scaling(paper, tmp_path):
    values = read("paper")
    values["limits"] |= {"pretrain_gpus": 8, "extract_gpus": 2}
    plan = plan_of(values, tmp_path)
    job, single = (jobs(each, "pretrain")["seed 2 to step 80000"] for each in (plan, paper))
    costs = plan.costs
    training = 80_000 * 1024 / 356
    rest = costs.seconds(single) - training
    assert costs.devices(job) == 8 and costs.devices(job, 4) == 4
    assert costs.seconds(job) == pytest.approx(training / (8 * 0.99**3) + rest)
    assert costs.seconds(job, 4) == pytest.approx(training / (4 * 0.99**2) + rest)
    assert costs.seconds(job, 3) == pytest.approx(training / (2 * 0.99) + rest), "a batch cannot be divided by three"
    assert costs.devices(job, 3) == 3
    job = jobs(plan, "extract_features")["imagenet, seed 2 at step 80000"]
    assert costs.seconds(job) == pytest.approx(10 + job.work.read / 1261 / 2)


def test_a_study_with_fresh_views_has_no_second_plan(tmp_path):
    values = read("tiny")
    epochs = values["probe"]["epochs"]
    assert plan_of(values | {"features": {"views": epochs}}, tmp_path).fresh is None
    assert plan_of(values | {"features": {"views": ["center"]}}, tmp_path).fresh is None
    assert plan_of(values | {"features": {"views": epochs - 1}}, tmp_path).fresh is not None


def test_on_a_cpu_every_job_takes_cores(tmp_path):
    values = read("config") | {"limits": {"pretrain_gpus": 8, "workers": 2}}
    plan = plan_of(values, tmp_path)
    assert plan.costs.is_cpu and plan.costs.unit == "core"
    taken = {job.rule: plan.costs.devices(job) for job in plan.jobs}
    assert (taken["pretrain"], taken["extract_features"], taken["probe"]) == (16, 2, 1), "the `threads` of the rules"
    assert {plan.costs.devices(job, 1) for job in plan.jobs} == {1}
    first = jobs(plan, "pretrain")["seed 2 to step 288"]
    assert plan.costs.seconds(first) == pytest.approx(1.5 + 288 * 128 / 6000 + (20 * 128 + 4000) / 20600)


def test_usable_gpus_equal_the_usable_processes_of_the_stage():
    recipes = [
        {"batch_size": 1024, "accumulation": 4, "ghost_batch": 128},
        {"batch_size": 1024, "accumulation": 4, "ghost_batch": 128, "compile": True},
        {"batch_size": 1024},
        {"batch_size": 96, "accumulation": 6, "ghost_batch": 4},
        {"batch_size": 128},
    ]
    for recipe in recipes:
        config = Config.model_validate(read("tiny") | {"pretrain": {"seeds": [2, 550, 23]} | recipe}).pretrain
        stage = config.recipe()
        for gpus in range(1, 70):
            assert usable_gpus(config, gpus) == usable_processes(stage, gpus), (recipe, gpus)


def test_more_gpus_never_take_longer_for_the_papers_study(paper):
    total = 0.0
    for pretrain_gpus in (1, 8, 64):
        case = OnDevices(paper.jobs, paper.costs, pretrain_gpus)
        times = []
        for gpus in (1, 2, 4, 5, 6, 8, 16, 32, 40, 64, 128, 320, 512, 1024):
            tasks = case.tasks(gpus)
            schedule = simulate(tasks, gpus)
            longest = sum(tasks[place].seconds for place in critical_path(tasks))
            assert schedule.makespan >= max(longest, work(tasks) / gpus) * (1 - 1e-12)
            times.append(schedule.makespan)
        assert times == sorted(times, reverse=True)
        assert times[-1] == pytest.approx(case.shortest)
        assert case.wall_clock(case.enough) <= 1.01 * case.shortest < case.wall_clock(case.enough - 1)
        total = total or times[0]
        assert times[0] == pytest.approx(total), "on one GPU, all jobs run one after another"
    assert case.bound(8) == "the number of devices" and case.bound(1024) == "the longest chain"


def test_the_chains_of_seeds_bound_the_papers_study(paper):
    case = OnDevices(paper.jobs, paper.costs, 1)
    assert case.enough == 6 and case.pretraining_share > 0.99
    assert case.shortest > 450_000 * 1024 / 356
    assert "4 x pretrain (up to seed 2 to step 450000" in case.chain()
    assert OnDevices(paper.jobs, paper.costs, 8).shortest < case.shortest / 7


def test_on_a_cpu_the_original_procedure_reads_with_as_many_cores(tmp_path):
    """Four workers per job instead of one give four times as many core-seconds."""
    values = read("config")
    one, four = (plan_of(values | {"limits": {"workers": workers}}, tmp_path) for workers in (1, 4))
    assert one.original.seconds > 0 and four.original.seconds == pytest.approx(4 * one.original.seconds)
    assert {"write_dataset"} < {job.rule for job in one.after_pretraining}, "the original procedure writes no data sets"


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(UserError, match="--device: 'tpu' is not in the table"):
        plan_of(read("tiny"), tmp_path, device="tpu")
    plan = plan_of(read("tiny"), tmp_path, device="h100")
    assert plan.original.seconds > 0 and math.isfinite(plan.costs.device.peak_tflops)


# --- numbers as text ---


def test_numbers_are_formatted_for_readers():
    assert [count(n) for n in (0, 999, 12_345, 999_999, 1_000_000, 2.304e9, 9.96e7)] == [
        *("0", "999", "12,345", "999,999", "1.0e6", "2.3e9", "1.0e8"),
    ]
    assert [size(n) for n in (12, 44_656, 8.4e6, 2.05e9, 0.0998e12, 0.73e12, 12.3e12)] == [
        *("12 B", "45 kB", "8.4 MB", "2.0 GB", "100 GB", "0.73 TB", "12 TB"),
    ]
    assert [duration(s) for s in (0, 0.5, 9.3, 119, 120, 7199, 7200, 2 * 86400, 1e9)] == [
        *("0 s", "0.50 s", "9.3 s", "119 s", "2.0 min", "120 min", "2.0 h", "2.0 days", "11,574 days"),
    ]
    assert duration(6_566_400, "GPU") == "76 GPU-days"
    assert ratio(168, 1) == "168 x" and ratio(1, 0) == "-"
    assert table([["a", "b"], ["long", "1"]]).splitlines() == ["a     b", "----  -", "long  1"]
