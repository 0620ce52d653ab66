"""Compare the plan of the tiny study with its real run (jobs, rows, images, bytes) and with dry runs."""

import collections
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.references import original_procedure
from tests.support.studies import TINY, StudyFolder, jobs_of
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.checkpoints.files import read_backbone
from workflow_scripts.timecat.planning.original import images_of_cell
from workflow_scripts.timecat.planning.plan import Plan, make_plan
from workflow_scripts.timecat.planning.throughputs import read_throughputs
from workflow_scripts.timecat.pretraining.batches import Source, batch_norm_stream, batch_stream
from workflow_scripts.timecat.probing.replicates import read_data_set
from workflow_scripts.timecat.runtime import torch_settings
from workflow_scripts.timecat.transfer import training
from workflow_scripts.timecat.transfer.states import Kept


def plan_of(folder: StudyFolder, root=None, change=lambda values: None) -> Plan:
    """Return the plan of the tiny study.

    root: folder in which the plan looks for files (default: the study's folder). change: function that edits the
    config.
    """
    values = yaml.safe_load((folder.path / TINY).read_text())
    change(values)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "study.yaml"
        file.write_text(yaml.safe_dump(values, sort_keys=False))
        return make_plan(file, read_throughputs(), root=root or folder.path)


def by_rule(jobs) -> dict[str, int]:
    return dict(collections.Counter(job.rule for job in jobs))


def files(folder: StudyFolder, pattern: str) -> list[Path]:
    return sorted((folder.path / "results").glob(pattern))


@pytest.fixture(scope="module")
def before(finished, tmp_path_factory) -> Plan:
    """Plan of the study before its run, in a folder without results."""
    return plan_of(finished, tmp_path_factory.mktemp("nothing"))


def test_the_plan_lists_the_jobs_that_ran(finished, before):
    ran = collections.Counter(path.parts[0] for path in relative(finished, "benchmarks/**/*.tsv"))
    assert by_rule(before.left) == by_rule(before.jobs) == ran
    for job in before.jobs:
        for path in job.dag.outputs:
            assert (finished.path / path).exists(), path


def relative(folder: StudyFolder, pattern: str) -> list[Path]:
    return [path.relative_to(folder.path / "results/benchmarks") for path in files(folder, pattern)]


def test_planned_rows_equal_the_rows_in_the_sidecars(finished, before):
    rows = before.planned.rows["cues_tiny"]
    for split in ("train", "evaluation"):
        sidecar = read_sidecar(finished.path / f"results/data_sets/cues_tiny/{split}.beton")
        assert (sidecar["rows"], sidecar["classes"]) == (getattr(rows, split), rows.classes)
    found = plan_of(finished).planned.rows["cues_tiny"]
    assert found.origin == "sidecars"
    # Without labels, the plan takes a share of all rows as the number of held-out rows; with labels it counts by class.
    (heldout, *_) = files(finished, "features/*/*/*/*/*/heldout.center.npy")
    assert found.heldout == len(np.load(heldout)) and abs(found.heldout - rows.heldout) <= rows.classes / 2


def test_planned_images_equal_the_images_in_the_logs(finished):
    plan = plan_of(finished)
    extracted = {job.name: job.work.read for job in plan.jobs if job.rule == "extract_features"}
    for log in files(finished, "logs/extract_features/**/*.log"):
        seed, step = re.search(r"seed(\d+)/step(\d+)", str(log)).groups()
        (total,) = set(re.findall(r"of (\d+) images", log.read_text()))
        assert extracted.pop(f"cues_tiny, seed {seed} at step {step}") == int(total)
    assert not extracted
    written = {job.name: job.work.written for job in plan.jobs if job.rule == "write_dataset"}
    for log in files(finished, "logs/write_dataset/**/*.log"):
        assert written[f"cues_tiny {log.stem}"] == int(re.findall(r"(\d+) images of 16 classes", log.read_text())[0])


def test_planned_images_of_pretraining_equal_its_batches(finished, before):
    pretrain = before.planned.study.config.pretrain
    recipe = pretrain.recipe()
    transform = before.planned.study.config.data_sets["cues_tiny"].transform.settings()
    beton = finished.path / "results/data_sets/cues_tiny/train.beton"
    jobs = {job.name: job for job in before.jobs if job.rule == "pretrain"}
    trained = sum(len(labels) for _, labels in batch_stream(Source(beton, 600), recipe, transform, 2, range(4, 12)))
    assert jobs["seed 2 to step 12"].work.trained == trained
    of_batch_norm = sum(map(len, batch_norm_stream(Source(beton, 600), recipe, transform, 2)))
    assert jobs["seed 2 to step 12"].work.read == of_batch_norm + 200
    # More batches than the rows fill, and a batch larger than the remaining rows.
    for batches, size in ((50, 64), (2, 500)):
        recipe = replace(recipe, **{"batch_norm_batches": batches, "batch_size": size})

        def change(values, batches=batches, size=size):
            values["pretrain"] |= {"batch_norm_batches": batches, "batch_size": size}

        found = plan_of(finished, change=change).planned.batch_norm_images("cues_tiny", "residual4")
        assert found == sum(map(len, batch_norm_stream(Source(beton, 600), recipe, transform, 2)))


@pytest.mark.parametrize(
    "kind, pattern, tolerance",
    [
        ("betons", "data_sets/*/*.beton", 0.0),
        ("weights", "checkpoints/**/*.safetensors", 0.01),
        ("training states", "checkpoints/**/*.state.pt", 0.01),
        ("features", "features/**/*.npy", 0.01),  # without labels, the number of held-out rows is an estimate
        ("heads", "probes/**/*.heads.safetensors", 0.03),
    ],
)
def test_planned_bytes_equal_the_sizes_of_the_files(finished, before, kind, pattern, tolerance):
    """Small networks are the hard case, because about half of each of their files is the header."""
    found = sum(path.stat().st_size for path in files(finished, pattern))
    assert found and sum(job.work.bytes.get(kind, 0) for job in before.jobs) == pytest.approx(found, rel=tolerance)
    if kind == "features":
        assert sum(job.work.bytes.get(kind, 0) for job in plan_of(finished).jobs) == found, (
            "with labels, the planned size is exact"
        )


def test_after_the_run_the_plan_has_no_job_left(finished):
    assert plan_of(finished).left == []
    line = [sys.executable, "-m", "workflow_scripts.plan", "--configfile", TINY, "--gpus", "2"]
    done = subprocess.run(line, cwd=finished.path, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("Nothing is left to run.")
    assert re.search(r"^all +13 +0 ", done.stdout, re.MULTILINE)


TABLE = "table2.csv"
SEED = "*/cues_tiny/residual4/seed550"


@pytest.mark.parametrize(
    "removed",
    [
        [TABLE],
        ["table2.md"],
        ["features"],
        [TABLE, "probes/cues_tiny/cues_tiny/cat3.parquet"],
        [TABLE, "probes/cues_tiny/cues_tiny/cat3.parquet", SEED.replace("*", "features")],
        [TABLE, "probes", SEED.replace("*", "features"), SEED.replace("*", "checkpoints") + "/step4.safetensors"],
        [TABLE, "probes", "features", "checkpoints"],
        [TABLE, "probes", "features/cues_tiny/residual4/seed2/step12", "checkpoints/cues_tiny/residual4/seed2"],
        [TABLE, "probes", "features", "checkpoints", "data_sets/cues_tiny/evaluation.beton"],
    ],
    ids=str,
)
def test_the_plan_and_a_dry_run_list_the_same_missing_jobs(study, removed):
    for name in removed:
        path = study.path / "results" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert by_rule(plan_of(study).left) == jobs_of(study.snakemake("-n"))


# --- stages that the tiny study does not run, on its files ---


class Counted:
    """Wrapper of the reader's function `batches` that counts the images that it yields."""

    def __init__(self, batches):
        self.batches, self.images = batches, 0

    def __call__(self, *arguments):
        for batch in self.batches(*arguments):
            self.images += len(batch[0])
            yield batch


def test_planned_images_of_transfers_are_read(finished, monkeypatch, tmp_path):
    def change(values):
        values["arms"].append({"name": "tuned", "members": 3, "steps": 4, "transfer": "finetune"})
        values["finetune"] = {"epochs": 2, "batch_size": 64, "weight_decays": [0.0001, 0.001]}

    plan = plan_of(finished, change=change)
    (job,) = [job for job in plan.jobs if job.rule == "transfer"]
    config, folder = plan.planned.study.config, finished.path / "results/data_sets/cues_tiny"
    counted = Counted(training.batches)
    monkeypatch.setattr(training, "batches", counted)
    torch_settings.configure(1)
    indices = (folder / f"{split}.index.parquet" for split in ("train", "evaluation"))
    target = training.Target(
        name="cues_tiny",
        train=folder / "train.beton",
        evaluation=folder / "evaluation.beton",
        data=read_data_set(*indices, config.heldout.settings()),
        transform=config.data_sets["cues_tiny"].transform.settings(),
        device="cpu",
        workers=1,
    )
    paths = files(finished, "checkpoints/*/*/*/step4.safetensors")

    class Progress:
        done = 0

        def advance(self, epochs):
            self.done += epochs

    training.transfer_replicate(
        0,
        [2, 23, 550],
        lambda: [read_backbone(path)[0].requires_grad_(True) for path in paths],
        target,
        config.finetune.settings(config.probe.init_std),
        training.Job("finetune", Kept(tmp_path / "kept", 1000), Progress()),
    )
    assert job.work.trained + job.work.read == len(paths) * counted.images


def test_planned_images_of_the_original_procedure_are_read(finished, monkeypatch):
    plan = plan_of(finished)
    config, folder = plan.planned.study.config, finished.path / "results/data_sets/cues_tiny"
    counted = Counted(original_procedure.batches)
    monkeypatch.setattr(original_procedure, "batches", counted)
    torch_settings.configure(1)
    images = original_procedure.Images(
        name="cues_tiny",
        train=folder / "train.beton",
        evaluation=folder / "evaluation.beton",
        transform=config.data_sets["cues_tiny"].transform.settings(),
        augmentation_seed=0,
    )
    backbones = [read_backbone(path)[0] for path in files(finished, "checkpoints/*/*/*/step4.safetensors")]
    original_procedure.original_procedure(backbones, images, config.probe.protocol())
    assert images_of_cell(plan.planned, "cat3", "cues_tiny") == 3 * counted.images
