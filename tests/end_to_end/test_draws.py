"""Run a study with a few-shot target: a replicate trains on the same random draw of rows in every arm."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support import settings as made
from tests.support.images import draw_image_folder
from workflow_scripts.timecat.draws import rows_of_draws
from workflow_scripts.timecat.features.names import EVALUATION, HELDOUT
from workflow_scripts.timecat.holdout import heldout_of_any, heldout_rows, with_heldout
from workflow_scripts.timecat.probing.probe import probe_replicate, training_file
from workflow_scripts.timecat.probing.scoring import DataSet

ARMS = {"one": [[2], [550], [23]], "two": [[2, 550], [550, 23]]}
VIEWS = ["view0", "view1"]


def with_few(values: dict) -> None:
    """Add a few-shot target with two draws to a config.

    Each draw has 6 of the 30 images of a class, 1 of them held out.
    """
    values["data_sets"]["few"] = {
        "kind": "image_folder",
        "root": "photos",
        "fraction": 0.2,
        "draws": 2,
        "views": 2,
        "transform": {"size": 28, "interpolation": "bilinear"},
    }
    values["targets"], values["floors"] = ["few"], None
    values["arms"] = [
        {"name": name, "members": len(replicates[0]), "steps": 4, "replicates": replicates}
        for name, replicates in ARMS.items()
    ]
    tuned = {"epochs": 1, "batch_size": 4, "least_steps": 0, "lr_milestones": []}
    values["arms"].append(values["arms"][0] | {"name": "tuned", "transfer": "finetune", "training": tuned})
    values["heldout"] = {"fraction": 0.2}


def metrics(study, arm: str, replicate: int) -> list[dict]:
    """Return the rows of a replicate in the metrics of an arm on the few-shot target."""
    (path,) = (study.path / "results").glob(f"*/cues_tiny/few/{arm}.parquet")
    rows = pq.read_table(path).to_pylist()
    return [row for row in rows if row["replicate"] == replicate]


@pytest.mark.usefixtures("one_thread")
def test_a_replicate_trains_on_the_same_draw_in_every_arm(study, tmp_path):
    draw_image_folder(study.path / "photos", {"ant": 30, "bee": 30, "cat": 30}, sides=(30, 30))
    study.change_config(with_few)
    assert study.run() == {"write_dataset": 2, "extract_features": 3, "probe": 2, "transfer": 1, "tabulate": 1}
    (log,) = (study.path / "results/logs/transfer").rglob("tuned.log")
    assert "5 steps of 4 images for each network" in log.read_text(), "18 rows"
    assert (
        "Replicates train on different draws of the training rows (few: 2 draws)"
        in study.read("results/table2.md").decode()
    )

    train, evaluation = (
        study.path / f"results/data_sets/few/{split}.index.parquet" for split in ("train", "evaluation")
    )
    labels, truth = (pq.read_table(index)["label"].to_numpy().copy() for index in (train, evaluation))
    draws = rows_of_draws(train)
    assert [np.bincount(labels[rows]).tolist() for rows in draws] == [[6, 6, 6]] * 2
    held = heldout_of_any(with_heldout(draws, labels, 0, 0.2))
    protocol = made.protocol(weight_decays=(0.0001, 0.01), epochs=4, lr_milestones=(2,))
    for arm, replicates in ARMS.items():
        for replicate, seeds in enumerate(replicates):
            rows = draws[replicate % 2]
            own = DataSet(
                train_labels=labels[rows],
                evaluation_labels=truth,
                evaluation_rows=np.arange(len(truth)),
                heldout=heldout_rows(labels[rows], 0, 0.2),
            )
            folders = []
            for seed in seeds:
                there = study.path / f"results/features/cues_tiny/residual4/seed{seed}/step4/few"
                folders.append(tmp_path / f"{arm}-{replicate}-{seed}")
                folders[-1].mkdir()
                chosen = {EVALUATION: slice(None), HELDOUT: np.isin(held, rows[own.heldout])}
                for name, kept in (chosen | {training_file(view): rows for view in VIEWS}).items():
                    np.save(folders[-1] / name, np.load(there / name)[kept])
            wanted = probe_replicate(replicate, seeds, folders, VIEWS, own, protocol)
            assert metrics(study, arm, replicate) == wanted.metrics, (arm, replicate)

    before = {arm: metrics(study, arm, 0) for arm in [*ARMS, "tuned"]}
    study.change_config(lambda values: values["data_sets"]["few"].update(draws=1))
    assert study.run() == {"write_dataset": 1, "extract_features": 3, "probe": 2, "transfer": 1, "tabulate": 1}
    assert {arm: metrics(study, arm, 0) for arm in before} == before, "a single draw is the first of two"
    assert "draw" not in study.read("results/table2.md").decode()
