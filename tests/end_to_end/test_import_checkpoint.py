"""Run a study whose checkpoints are published files: its table equals the table of the study that pretrained them."""

import functools
import http.server
import json
import shutil
import tarfile
import threading
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.support.studies import StudyFolder, touch_tree

CHECKPOINTS = 4  # step 4 of three seeds and step 12 of one
JOBS = {
    "write_dataset": 2,
    "import_checkpoint": CHECKPOINTS,
    "extract_features": CHECKPOINTS,
    "probe": 2,
    "tabulate": 1,
}
TABLES = ("table2.csv", "table2.md", "table2.tex", "table2.svg", "metrics.parquet")
LARGE = torch.zeros(300_000)  # makes a file larger than 1 MB, which Snakemake does not compare by content
RUNS = {2: 0, 550: 1, 23: 2}


def publish(finished: StudyFolder, folder) -> None:
    """Write the finished study's checkpoints in the format of AlgoPerf and the layout of the authors' release."""
    for path in (finished.path / "results/checkpoints/cues_tiny/residual4").rglob("*.safetensors"):
        seed, step = int(path.parent.name.removeprefix("seed")), int(path.stem.removeprefix("step"))
        params = {
            f"_orig_mod.module.{name.removeprefix('backbone.')}": value for name, value in load_file(path).items()
        }
        target = folder / f"checkpoints_{'full' if step == 12 else step}/checkpoint_run{RUNS[seed]}.pth"
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"model_params": params, "optimizer_state": {"z": LARGE}, "global_step": step}, target)


def take_published(study: StudyFolder, place: str, **others) -> None:
    """Change a config to read published checkpoints (block `checkpoints`) instead of pretraining."""
    block = {
        "path": f"{place}checkpoints_{{step_name}}/checkpoint_run{{run}}.pth",
        "step_names": {12: "full"},
        **others,
    }
    study.change_config(lambda values: values.update(checkpoints=block))


@pytest.fixture(scope="module")
def imported(finished, tmp_path_factory) -> StudyFolder:
    """Finished tiny study whose checkpoints are published files. Do not change it: copy it."""
    study = StudyFolder.fresh(tmp_path_factory.mktemp("imported") / "study")
    publish(finished, study.path / "published")
    take_published(study, "published/")
    planned = study.snakemake("-n")
    assert "pretrain" not in planned.stdout
    assert study.run() == JOBS
    return study


def test_published_weights_give_the_same_tables(finished, imported):
    for table in TABLES:
        assert imported.read(f"results/{table}") == finished.read(f"results/{table}"), table
    assert imported.checkpoints().keys() == finished.checkpoints().keys()
    assert not list((imported.path / "results").rglob("*.state.pt"))


def test_a_changed_file_of_weights_reruns_what_depends_on_it(imported, tmp_path):
    """If only the modification time of the file changes, no job reruns."""
    study = imported.copy(tmp_path / "study")
    assert study.run() == {}
    assert all(path.stat().st_size > 10**6 for path in (study.path / "published").rglob("*.pth"))
    touch_tree(study.path / "published", time.time() + 10)
    assert study.run() == {}
    path = study.path / "published/checkpoints_full/checkpoint_run0.pth"
    shutil.copy(study.path / "published/checkpoints_4/checkpoint_run0.pth", path)
    saved = torch.load(path, weights_only=True)
    torch.save(saved | {"global_step": 12}, path)
    assert study.run() == {"import_checkpoint": 1, "extract_features": 1, "probe": 1, "tabulate": 1}
    assert study.read("results/table2.csv") != imported.read("results/table2.csv")


def test_a_missing_file_stops_the_run_before_any_job(imported, tmp_path):
    study = imported.copy(tmp_path / "study")
    (study.path / "published/checkpoints_4/checkpoint_run1.pth").unlink()
    done = study.snakemake(check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "`arms`: 'cat3' needs 3 checkpoints at step 4, but of the 3 seeds' checkpoints, 2 exist" in done.stderr


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Return (folder of a server on loopback, its URL, list of the paths that were requested)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def test_one_download_serves_all_checkpoints_of_an_archive(imported, server, tmp_path):
    folder, url, asked = server
    with tarfile.open(folder / "release.tar.gz", "w:gz") as tar:
        tar.add(imported.path / "published", "release")
    study = StudyFolder.fresh(tmp_path / "study")
    take_published(study, "", archive=f"{url}release.tar.gz")
    wanted = list(imported.checkpoints())
    assert study.run("--", *wanted) == {"download": 1, "import_checkpoint": CHECKPOINTS}
    assert asked == ["/release.tar.gz"]
    assert study.checkpoints() == imported.checkpoints()
    # No job reruns after an edit of the download's code or after a SHA-256 is added.
    study.append("workflow_scripts/timecat/checkpoints/downloads.py", "# edited\n")
    (sidecar,) = (study.path / "results/downloads").glob("*-release.tar.gz.json")
    sha256 = json.loads(sidecar.read_text())["content"]
    take_published(study, "", archive=f"{url}release.tar.gz", sha256={f"{url}release.tar.gz": sha256}, step_tolerance=1)
    assert study.run("--", *wanted) == {}
    assert asked == ["/release.tar.gz"]
