"""Tests of benchmarks.table_cell: both procedures compute the same, and counts equal the rows of the files."""

import json
import os
import sys

import numpy as np
import pytest

from benchmarks import processes, table_cell

CORES = "import os, sys; print(os.sched_getaffinity(0), file=sys.stderr)"
CONFIG = table_cell.CONFIG | {
    "backbone": "small",
    "data_sets": {"cues": table_cell.CUES | {"rows": {"train": 90, "evaluation": 40}, "transform": {"size": 28}}},
    "backbones": {"small": {"architecture": "small_residual", "width": 8, "blocks": 2}},
    "pretrain": {"seeds": [2], "batch_size": 32, "batch_norm_batches": 2},
    "arms": [{"name": "cat1", "members": 1, "steps": 12}],
    "probe": {"lr": 0.1, "epochs": 3, "lr_milestones": [2], "weight_decays": [0.001, 0.01], "batch_size": 32},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Benchmark of a table cell with few images and a small network."""
    return table_cell.Bench(tmp_path_factory.mktemp("cell"), CONFIG, {20: 20, 28: 4}, 320)


@pytest.fixture(scope="module")
def found(bench):
    """Measurements that the page shows, by name, from a single run."""
    return bench.measure(short_runs=1)


def test_fresh_views_are_as_accurate_as_the_original_procedure(found):
    original, long, short = found["original"], found["long"], found["short"]
    assert list(original.top1) == [found["decay"]] and set(long.top1) == set(short.top1) == {0.001, 0.01}
    assert found["decay"] == short.selected
    theirs, ours = original.top1[found["decay"]], long.top1[found["decay"]]
    assert theirs.shape == ours.shape == (3,)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2.51)  # one of 40 rows, by float16
    assert theirs.max() > 100 / 16  # better than chance of 16 classes: something was learned
    assert found["noise"] >= 0


def test_counted_images_equal_the_rows_of_the_feature_files(bench, found):
    """The feature files are those that our stage extract_features has written."""
    for views, run in ((3, found["long"]), (1, found["short"])):
        files = sorted((bench.folder / f"views{views}/cues").glob("*.npy"))
        assert len(files) == views + 2
        assert run.images == sum(len(np.load(path)) for path in files)
    assert found["original"].images == 2 * 3 * (90 + 40)


def test_a_different_augmentation_seed_gives_different_losses(bench, found):
    """So equal losses of the original procedure and our stages show that both use the same crops."""
    path, result = bench.folder / "other.json", bench.folder / "other.result"
    job = json.loads((bench.folder / "job.json").read_text())
    path.write_text(json.dumps(job | {"augmentation_seed": 1, "result": str(result)}))
    processes.process([sys.executable, "-m", "benchmarks.original_process", str(path)])
    other, same = (json.loads(file.read_text())["losses"] for file in (result, bench.folder / "original.json"))
    ours = table_cell.by_epoch(bench.folder / "views3/cat1.parquet", "loss")[found["decay"]]
    np.testing.assert_allclose(ours, same, rtol=1e-3)  # by float16
    assert np.abs(np.subtract(other, same)).max() > 10 * np.abs(np.subtract(ours, same)).max()


def test_the_page_has_all_measurements(found):
    text = "\n".join(table_cell.page(found))
    for run in (found["original"], found["long"], found["short"]):
        assert f"| {run.images:,} |" in text
    assert f"{found['original'].seconds / found['short'].seconds:.1f}** | " in text
    assert text.count("not run") == 1


def test_a_failed_process_raises_its_error():
    with pytest.raises(RuntimeError, match="No module named benchmarks.nothing"):
        processes.process([sys.executable, "-m", "benchmarks.nothing"])


def test_functions_run_at_the_same_time_on_separate_cores(monkeypatch):
    """On a machine with one core, they run one after the other."""
    cores = os.sched_getaffinity(0)
    where = [lambda: processes.process([sys.executable, "-c", CORES]).log.strip()] * 2
    assert processes.side_by_side(where) == [f"{{{core}}}" for core in (sorted(cores) * 2)[:2]]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {min(cores)})
    assert processes.side_by_side(where) == [f"{{{min(cores)}}}"] * 2
    monkeypatch.undo()
    assert os.sched_getaffinity(0) == cores


def test_the_processor_time_of_each_process_is_measured_separately():
    codes = ["import time\nwhile time.process_time() < 0.5: pass", "import time; time.sleep(0.5)"]
    busy, idle = processes.side_by_side(
        [lambda code=code: processes.process([sys.executable, "-c", code]) for code in codes]
    )
    assert busy.processor_seconds >= 0.5 > idle.processor_seconds and idle.seconds >= 0.5
