"""Change one thing in the finished tiny study, and check that exactly the jobs that depend on it rerun.

The README lists causes and effects; each entry has a test here.
"""

import shutil
import subprocess
import time

import pyarrow.parquet

from tests.support.studies import StudyFolder, touch_tree

CHECKPOINTS = 4  # step 4 of three seeds and step 12 of one, all members of an arm
PROBES = 2
EVERYTHING_AFTER_DATA = {"pretrain": CHECKPOINTS, "extract_features": CHECKPOINTS, "probe": PROBES, "tabulate": 1}


def test_without_a_change_no_job_runs(study):
    assert study.run() == {}


def test_touching_every_source_file_reruns_no_job(study):
    touch_tree(
        study.path, time.time() + 10, lambda path: "results" not in path.parts and ".snakemake" not in path.parts
    )
    assert study.run() == {}


def clone_with_results(study: StudyFolder, path) -> StudyFolder:
    """Clone the study's repository, and move its results into the clone with their modification times."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "study"]):
        subprocess.run([*git, *command], cwd=study.path, check=True)
    time.sleep(1.1)  # the files of the clone are then newer than the results on any file system
    subprocess.run(["git", "clone", "-q", str(study.path), str(path)], check=True)
    for name in ("results", ".snakemake"):
        shutil.rmtree(path / name, ignore_errors=True)
        shutil.move(study.path / name, path / name)
    return StudyFolder(path)


def test_a_fresh_clone_with_moved_results_reruns_no_job(study, tmp_path):
    clone = clone_with_results(study, tmp_path / "clone")
    assert clone.run() == {}


def with_large_files(values):
    """Reduce the study to a few jobs whose files are all larger than the largest Python module.

    A size limit can then separate results from modules. In the tiny study the weights (11 kB) are smaller than the
    largest module, and modules are compared by content.
    """
    values["data_sets"] = {"cues_tiny": {"kind": "cues", "rows": {"train": 2500, "evaluation": 2500}}}
    values["targets"] = ["cues_tiny"]
    values["backbones"]["residual4"]["width"] = 8
    values["pretrain"]["seeds"] = [2]
    values["arms"] = [{"name": f"cat1_{steps}", "members": 1, "steps": steps} for steps in (4, 8)]


def test_a_fresh_clone_with_large_moved_files_reruns_no_job(tmp_path):
    """Snakemake compares large files (data sets, weights, states and features) only by their times.

    Here each file is newer than the files that were made from it. Rules mark large inputs as ``ancient``, so no job
    reruns.
    """
    study = StudyFolder.fresh(tmp_path / "study")
    study.change_config(with_large_files)
    assert study.run() == {"write_dataset": 2, "pretrain": 2, "extract_features": 2, "probe": 2, "tabulate": 1}
    clone = clone_with_results(study, tmp_path / "clone")
    ends = (".beton", ".index.parquet", ".safetensors", ".state.pt", ".npy")
    made = [path for path in (clone.path / "results").rglob("*") if path.name.endswith(ends)]
    # No rule of this study reads the heads.
    large = [path for path in made if not path.name.endswith(".heads.safetensors")]
    assert {end: sum(path.name.endswith(end) for path in large) for end in ends} == dict(zip(ends, (2, 2, 2, 2, 6)))
    small = [*(clone.path / "workflow_scripts").rglob("*.py"), *(clone.path / "results").rglob("*.json")]
    limit = max(path.stat().st_size for path in small) + 1
    # For a folder, Snakemake compares no checksum, but the time of a file that it leaves in the folder.
    timed = [path for path in large if path.suffix != ".npy"]
    assert min(path.stat().st_size for path in timed) > limit
    touch_tree(
        clone.path / "results", time.time() + 10, lambda path: path in large or path.name == ".snakemake_timestamp"
    )
    assert clone.run("--max-checksum-file-size", str(limit)) == {}


def test_touch_replaces_missing_records_of_snakemake(study, tmp_path):
    """A fresh clone with results, but without Snakemake's records of them, needs ``snakemake --touch``."""
    clone = clone_with_results(study, tmp_path / "clone")
    shutil.rmtree(clone.path / ".snakemake")
    assert clone.run("-n") != {}  # Snakemake cannot know that nothing has changed
    clone.snakemake("--touch")
    assert clone.run() == {}


def test_an_edit_of_the_probes_code_reruns_probes_and_tables(study):
    study.append("workflow_scripts/timecat/probing/heads.py", "\n# edited\n")
    assert study.run() == {"probe": PROBES, "tabulate": 1}


def test_an_edit_of_extraction_code_reruns_later_stages(study):
    study.append("workflow_scripts/timecat/features/extraction.py", "\n# edited\n")
    assert study.run() == {"extract_features": CHECKPOINTS, "probe": PROBES, "tabulate": 1}


def test_an_edit_of_a_data_sets_code_reruns_everything(study):
    """Everything reruns even if the bytes of the data set are equal, because Snakemake decides before the job runs."""
    study.append("workflow_scripts/timecat/images/datasets/cues.py", "\n# edited\n")
    assert study.run() == {"write_dataset": 2, **EVERYTHING_AFTER_DATA}


def test_an_edit_of_shared_code_reruns_everything(study):
    """All stages share the edited module."""
    study.append("workflow_scripts/timecat/artifacts/files.py", "\n# edited\n")
    assert study.run("-n") == {"write_dataset": 2, **EVERYTHING_AFTER_DATA}


def test_a_changed_setting_of_the_probe_reruns_probes_and_tables(study):
    study.change_config(lambda values: values["probe"].update(lr=0.02))
    assert study.run("-n") == {"probe": PROBES, "tabulate": 1}


def test_a_new_weight_decay_keeps_the_results_of_the_old_ones(study):
    """Probes rerun, and give the same bits although the positions of weight decays in the grid change.

    Gradients are left out, because they include the head that `paper` selects, which may now have the new weight decay.
    """

    def metrics():
        found = pyarrow.parquet.read_table(study.path / "results/metrics.parquet")
        return found.drop_columns("relative_gradient").to_pylist()

    before = metrics()
    study.change_config(lambda values: values["probe"]["weight_decays"].insert(0, 0.1))
    assert study.run() == {"probe": PROBES, "tabulate": 1}
    after = metrics()
    assert len(after) == 1.5 * len(before), "there are three weight decays instead of two"
    assert [row for row in after if row["weight_decay"] != 0.1] == before


def test_a_new_arm_of_existing_checkpoints_runs_one_probe(study):
    study.change_config(lambda values: values["arms"].insert(1, {"name": "cat2", "members": 2, "steps": 4}))
    assert study.run() == {"probe": 1, "tabulate": 1}
    assert b"\ncat2,2,4,8,1," in study.read("results/table2.csv")


def test_removing_an_arm_reruns_the_table_only(study):
    """The steps of the removed arm stay a milestone, so the checkpoints of the remaining arm still continue from it."""

    def change(values):
        values["pretrain"]["milestones"] = [values["arms"].pop(1)["steps"]]

    before = study.checkpoints()
    study.change_config(change)
    assert study.run() == {"tabulate": 1}
    assert study.checkpoints() == before and b"cat3" not in study.read("results/table2.csv")


def test_removing_a_milestone_reruns_the_later_checkpoint(study):
    """Step 4 of the removed arm is no longer a milestone, so the checkpoint of step 12 no longer continues from it."""
    study.change_config(lambda values: values["arms"].pop(1))
    assert study.run("-n") == {"pretrain": 1, "extract_features": 1, "probe": 1, "tabulate": 1}


def test_a_new_seed_trains_its_checkpoints_only(study):
    before = study.checkpoints()

    def change(values):
        values["pretrain"]["seeds"].append(477)
        values["arms"][0]["replicates"].append([477])

    study.change_config(change)
    # The seed's chain to step 12 and features at step 12; cat3 still has one replicate of three seeds.
    assert study.run() == {"pretrain": 2, "extract_features": 1, "probe": 1, "tabulate": 1}
    after = study.checkpoints()
    assert len(after) == len(before) + 2 and before.items() <= after.items()


def test_a_larger_budget_continues_the_chain(study):
    def change(values):
        values["arms"][0]["steps"] = 16
        values["pretrain"]["milestones"] = [12]  # keep the checkpoint, and continue from it

    before = study.checkpoints()
    study.change_config(change)
    assert study.run() == {"pretrain": 1, "extract_features": 1, "probe": 1, "tabulate": 1}
    assert before.items() <= study.checkpoints().items()
    log = study.read("results/logs/pretrain/cues_tiny/residual4/seed2/step16.log").decode()
    assert "step12.state.pt after step 12" in log


def test_a_step_between_two_milestones_gives_the_same_bits(study):
    before, table = study.checkpoints(), study.read("results/table2.csv")
    study.change_config(lambda values: values["pretrain"].update(milestones=[8]))
    # Steps 8 and 12 of the only seed that is trained beyond step 4, and what depends on step 12.
    assert study.run() == {"pretrain": 2, "extract_features": 1, "probe": 1, "tabulate": 1}
    after = study.checkpoints()
    assert len(after) == len(before) + 1 and before.items() <= after.items()
    assert study.read("results/table2.csv") == table


def test_a_new_target_runs_no_pretraining(study):
    def change(values):
        values["data_sets"]["cue0_tiny"] = values["data_sets"]["cues_tiny"] | {"label": "cue0"}
        values["targets"].append("cue0_tiny")

    study.change_config(change)
    # With floors: the untrained networks of three seeds, a projection of the pixels, and a probe for each arm.
    floors = {"initialise": 3 + 1, "extract_features": CHECKPOINTS + 3 + 1, "probe": PROBES + 2 + 1}
    assert study.run() == {"write_dataset": 2, "tabulate": 1} | floors


def test_a_changed_label_smoothing_reruns_pretraining_and_later_jobs(study):
    study.change_config(lambda values: values["pretrain"].update(label_smoothing=0.0))
    assert study.run() == EVERYTHING_AFTER_DATA


def test_a_changed_plot_style_reruns_the_table_only(study):
    study.change_config(lambda values: values.update(table={"height": 3.0}))
    assert study.run() == {"tabulate": 1}


def test_changed_limits_rerun_no_job(study):
    """The changed limits affect only time and memory, not results."""
    limits = {"resume_seconds": 7, "workers": 2, "memory_gb": 0.001, "memory_mb": 3000, "runtime_minutes": 60}
    study.change_config(lambda values: values.update(limits=limits | {"pretrain_memory_mb": 3000}))
    assert study.run() == {}


def test_a_training_state_of_another_recipe_is_refused(study):
    """The state records its recipe, so ``snakemake --touch`` after a change of the recipe does not hide the change."""
    study.change_config(lambda values: values["pretrain"].update(lr=0.02))
    study.snakemake("--touch")
    study.change_config(lambda values: values["arms"][0].update(steps=16))
    done = study.snakemake(check=False)
    assert done.returncode != 0
    assert "step4.state.pt was written with a different recipe, backbone or data set" in done.stderr
