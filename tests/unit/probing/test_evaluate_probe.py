"""Test the evaluation of a probe's selected heads on another data set: masking, output files and the table."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from tests.support import settings as made
from tests.support.probes import data_set, feature_folders, write_index
from tests.support.tables import arms_of, data_sets_of
from workflow_scripts import evaluate_probe
from workflow_scripts import probe as probe_stage
from workflow_scripts.timecat.artifacts.digests import array_digest, canonical_json
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, sidecar_path
from workflow_scripts.timecat.config.model import Config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.probing.probe import EVALUATION
from workflow_scripts.timecat.probing.saved_heads import HeadsFile
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.study.study import Study
from workflow_scripts.timecat.study.wildcards import CellKey
from workflow_scripts.timecat.tables.accuracies import accuracy_rows, accuracy_table
from workflow_scripts.timecat.tables.model import Cell, summarize
from workflow_scripts.timecat.tables.reading import metrics_table, read_probes, selected_values
from workflow_scripts.timecat.tables.writers.markdown import markdown_text
from workflow_scripts.timecat.tables.writers.tex import tex_text

REPLICATES = [[2, 550], [23, 477]]
WIDTHS = {"seed2": 11, "seed550": 6, "seed23": 11, "seed477": 6}
CLASSES = 7
OCCURRING = [1, 4, 5]


def options(**values) -> list[str]:
    """Return the words of a command line; a list is one option with several values."""
    words = []
    for name, value in values.items():
        words.append(f"--{name.replace('_', '-')}")
        words += [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return words


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Folder with a probe of two replicates (probe.parquet, heads, ...) and features of its data set in features/."""
    folder = tmp_path_factory.mktemp("probed")
    data = data_set(CLASSES)
    folders = feature_folders(folder / "features", data, WIDTHS)
    line = options(
        features=folders,
        replicates=json.dumps(REPLICATES),
        train_index=write_index(folder / "train.parquet", data.train_labels),
        evaluation_index=write_index(folder / "evaluation.parquet", data.evaluation_labels),
        views='["view0"]',
        protocol=canonical_json(made.protocol(seed=7, weight_decays=(1e-3, 0.5), epochs=5, batch_size=16, lr=0.3)),
        heldout='{"seed": 1, "fraction": 0.2}',
        torch_threads=1,
        gpus=0,
        memory_gb=1,
        metrics=folder / "probe.parquet",
        predictions=folder / "probe.predictions.parquet",
        heads=folder / "probe.heads.safetensors",
    )
    run(probe_stage, line)
    return SimpleNamespace(path=folder, data=data, folders=folders)


def run(stage, line) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.setattr(sys, "argv", ["stage", *line])
        stage.main()


def other_images(path: Path, labels, seed=5) -> list[Path]:
    """Write members' features of new images with these labels (evaluation split only); return the folders."""
    random, folders = np.random.default_rng(seed), []
    for name, width in WIDTHS.items():
        folders.append(path / name)
        folders[-1].mkdir(parents=True)
        np.save(folders[-1] / EVALUATION, (3 + 2 * random.normal(size=(len(labels), width))).astype(np.float16))
    return folders


def evaluate(probed, folder: Path, folders, labels, name="made", **changes) -> dict:
    """Run the stage evaluate_probe; return its metrics and predictions (pyarrow tables) and their paths."""
    metrics, predictions = folder / f"{name}.parquet", folder / f"{name}.predictions.parquet"
    values = {
        "features": folders,
        "replicates": json.dumps(REPLICATES),
        "heads": probed.path / "probe.heads.safetensors",
        "evaluation_index": write_index(folder / "index.parquet", labels),
        "torch_threads": 1,
        "gpus": 0,
        "metrics": metrics,
        "predictions": predictions,
    }
    run(evaluate_probe, options(**values | changes))
    return {
        "metrics": pq.read_table(metrics),
        "predictions": pq.read_table(predictions),
        "paths": [metrics, predictions],
    }


def test_evaluation_on_the_probes_own_split_gives_the_probes_results(probed, tmp_path):
    made = evaluate(probed, tmp_path, probed.folders, probed.data.evaluation_labels)
    assert made["predictions"].equals(pq.read_table(probed.path / "probe.predictions.parquet"))
    reported = pq.read_table(probed.path / "probe.parquet").drop_columns("relative_gradient").to_pylist()
    for line in made["metrics"].to_pylist():
        selection = line.pop("selection")
        assert line in reported and line["fit"] == "full" and line["split"] == "evaluation"
        own = [one for one in reported if one["replicate"] == line["replicate"]]
        columns = {name: [one[name] for one in own] for name in own[0]}
        assert SELECTIONS[selection](columns) == (line["weight_decay"], line["epoch"], line["top1"])
    assert made["metrics"]["selection"].to_pylist() == ["paper", "holdout"] * 2


def test_predictions_are_masked_to_the_classes_that_occur(probed, tmp_path):
    labels = np.array(OCCURRING)[np.random.default_rng(6).integers(0, 3, 60)]
    folders = other_images(tmp_path, labels)
    made = evaluate(probed, tmp_path, folders, labels)
    heads, predictions = HeadsFile(probed.path / "probe.heads.safetensors"), made["predictions"].to_pandas()
    unmasked = 0
    for line in made["metrics"].to_pylist():
        r = line["replicate"]
        x = np.concatenate([np.load(folder / EVALUATION) for folder in folders[2 * r : 2 * r + 2]], axis=1)
        z = heads.head(r, line["selection"]).logits(torch.from_numpy(x)).double()
        unmasked += int((~torch.isin(z.argmax(1), torch.tensor(OCCURRING))).sum())
        masked = torch.full_like(z, -torch.inf)
        masked[:, OCCURRING] = z[:, OCCURRING]
        log_p = masked.log_softmax(1)
        own = predictions[(predictions["replicate"] == r) & (predictions["selection"] == line["selection"])]
        assert own["predicted"].tolist() == log_p.argmax(1).tolist()
        assert own["probability"].tolist() == pytest.approx(log_p.max(1).values.exp().tolist(), rel=1e-5)
        assert own["label"].tolist() == labels.tolist() and own["row"].tolist() == list(range(60))
        assert line["top1"] == pytest.approx(100 * (log_p.argmax(1).numpy() == labels).mean())
        assert line["top5"] == 100.0  # there are only three classes
        assert line["loss"] == pytest.approx(-log_p[range(60), labels].mean().item(), rel=1e-5)
    assert unmasked > 0  # without a mask, classes that do not occur would be predicted


def test_equal_content_gives_equal_bytes(probed, tmp_path):
    labels = np.repeat(OCCURRING, 9)
    folders = other_images(tmp_path, labels)
    for name in ("one", "two"):
        made = evaluate(probed, tmp_path, folders, labels, name)
        assert str(tmp_path).encode() not in sidecar_path(made["paths"][1]).read_bytes()
    for suffix in (".parquet", ".predictions.parquet", ".predictions.parquet.json"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    inputs = read_sidecar(tmp_path / "one.predictions.parquet")["inputs"]
    assert inputs["heads"] == read_sidecar(probed.path / "probe.heads.safetensors")["content"]
    assert inputs["1/477/evaluation.center.npy"] == array_digest(np.load(folders[3] / EVALUATION))


def test_inputs_that_do_not_fit_the_heads_are_refused(probed, tmp_path):
    labels = np.repeat(OCCURRING, 9)
    folders = other_images(tmp_path, labels)
    with pytest.raises(UserError, match=r"index\.parquet has a label 7, but the probe has 7 classes \(0 to 6\)"):
        evaluate(probed, tmp_path, folders, np.append(labels[:-1], 7))
    with pytest.raises(
        UserError, match=r"members \[\[2, 550\], \[23, 477\]\], but the features have \[\[2, 550\], \[23, 9\]\]"
    ):
        evaluate(probed, tmp_path, folders, labels, replicates="[[2, 550], [23, 9]]")
    with pytest.raises(UserError, match="names 3 folders, but --replicates names 4 members"):
        evaluate(probed, tmp_path, folders[:3], labels)
    with pytest.raises(UserError, match=r"seed2/evaluation\.center\.npy are 27 x 11, .* index has 26 rows"):
        evaluate(probed, tmp_path, folders, labels[:-1])


ARMS = arms_of([{"name": "cat2", "members": 2, "steps": 10}])
DATA_SETS = data_sets_of(
    [
        {"name": "own", "title": "Own", "in_distribution": True},
        {"name": "sketch", "title": "Sk_etch", "in_distribution": False, "probe_of": "Own"},
    ]
)


def test_the_table_reads_a_cell_of_an_evaluated_data_set(probed, tmp_path):
    labels = np.repeat(OCCURRING, 9)
    made = evaluate(probed, tmp_path, other_images(tmp_path, labels), labels)
    paths = [probed.path / "probe.parquet", made["paths"][0]]
    cells = [Cell("cat2", data_set.name) for data_set in DATA_SETS]
    probes = read_probes(paths, cells, ARMS, DATA_SETS)
    (row,) = accuracy_rows(probes, ARMS, DATA_SETS)
    for selection in SELECTIONS:
        own = [line["top1"] for line in made["metrics"].to_pylist() if line["selection"] == selection]
        assert row.summaries["sketch", selection] == summarize(own) and row.replicates == 2
    metrics = metrics_table(probes, ARMS)
    assert metrics["selection"].to_pylist()[-4:] == ["paper", "holdout"] * 2 and metrics["selection"].null_count > 0
    assert r"masked to the classes that occur (Sk\_etch: heads of Own)" in markdown_text(
        accuracy_table([row], DATA_SETS)
    )
    assert r"masked to the classes that occur (Sk\_etch: heads of Own)" in tex_text(accuracy_table([row], DATA_SETS))
    assert "masked" not in markdown_text(accuracy_table([row], DATA_SETS[:1]))


def test_metrics_that_lack_a_row_of_a_replicate_are_refused():
    lines = [{"replicate": 0, "selection": "paper", "top1": 1.0}, {"replicate": 1, "selection": "holdout", "top1": 1.0}]
    with pytest.raises(UserError, match="arm x on y: selection paper does not have one line per replicate"):
        selected_values(pa.Table.from_pylist(lines), "paper", "arm x on y")


@pytest.fixture
def study(root) -> Study:
    """Tiny study with an image folder that is only evaluated, and an arm without a probe."""
    values = yaml.safe_load((root / "config/tiny.yaml").read_text())
    values["data_sets"]["cues_tiny"]["transform"] = {"size": 24}
    values["data_sets"]["sketch"] = {"kind": "evaluation_folder", "root": "images", "probe_of": "cues_tiny"}
    values["arms"].append({"name": "tuned", "members": 2, "steps": 4, "transfer": "finetune"})
    return Study(Config.model_validate(values))


def wildcards(data_set: str) -> CellKey:
    return CellKey("cues_tiny", data_set, "cat3")


def test_exactly_one_rule_makes_every_path(study, root):
    """Wildcard patterns of the rules must not overlap."""
    probed_floors = [name for name, floor in study.arms.floors.items() if floor.transfer == "probe"]
    assert len(probed_floors) == 3 and len(study.arms.floors) == 4, "of cat1, cat3 and tuned, and the projection"
    patterns = {name: study.patterns[name] for name in ("data_set", "probed", "evaluated", "arm", "probed_arm")}
    assert patterns == {
        "data_set": "cues_tiny|sketch",
        "probed": "cues_tiny",
        "evaluated": "sketch",
        "arm": "|".join(["cat1", "cat3", "tuned", *study.arms.floors]),
        "probed_arm": "|".join(["cat1", "cat3", *probed_floors]),
    }
    plain = Study(Config.model_validate(yaml.safe_load((root / "config/tiny.yaml").read_text())))
    assert not re.fullmatch(plain.patterns["evaluated"], "") and not re.fullmatch(
        plain.patterns["evaluated"], "cues_tiny"
    )
    assert study.tables.diagnosed_cells() == [wildcards("cues_tiny")]
    assert study.inputs.diagnoses() == ["results/diagnostics/cues_tiny/cues_tiny/cat3.parquet"]


def test_an_evaluated_data_set_uses_the_heads_of_the_probed_one(study):
    """Images are transformed as in the probed data set, too."""
    own, probed = wildcards("sketch"), wildcards("cues_tiny")
    assert (
        study.params.transform(own) == study.params.transform(probed)
        and json.loads(study.params.transform(own))["size"] == 24
    )
    assert study.inputs.heads(own) == "results/probes/cues_tiny/cues_tiny/cat3.heads.safetensors"
    assert (study.inputs.train_beton(own), study.inputs.train_sidecar(own), study.data_sets.view_names("sketch")) == (
        [],
        [],
        [],
    )
    assert study.params.heldout(own) == "null" and json.loads(study.params.heldout(probed))["fraction"] == 0.1
    assert study.inputs.train_sidecar(probed) == ["results/data_sets/cues_tiny/train.beton.json"]
    assert study.inputs.cell_files(own).metrics == "results/evaluations/cues_tiny/sketch/cat3.parquet"
