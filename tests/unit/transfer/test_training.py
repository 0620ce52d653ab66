"""Test transfers that train backbones.

With frozen backbones a transfer must equal the probe. With trained backbones it must equal a plain training loop.
Interruption, divergence and direct training are tested, too.
"""

import io
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.references.reader import batches_reference
from tests.support import settings as made
from tests.support.images import read_split
from workflow_scripts import transfer as stage
from workflow_scripts.timecat import randomness
from workflow_scripts.timecat.artifacts.digests import canonical_json
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar
from workflow_scripts.timecat.backbones.build import Classifier, build_backbone
from workflow_scripts.timecat.backbones.start import Start
from workflow_scripts.timecat.checkpoints import files
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.features.extraction import Extractor
from workflow_scripts.timecat.features.extraction_settings import Extraction
from workflow_scripts.timecat.holdout_settings import Heldout
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.images.views import normalise, view_key
from workflow_scripts.timecat.pretraining import training
from workflow_scripts.timecat.probing.heads import initial_weight
from workflow_scripts.timecat.probing.probe import batches, probe_replicate
from workflow_scripts.timecat.probing.replicates import read_data_set
from workflow_scripts.timecat.runtime import torch_settings
from workflow_scripts.timecat.runtime.progress import Progress
from workflow_scripts.timecat.transfer import job
from workflow_scripts.timecat.transfer import states as transfer_states
from workflow_scripts.timecat.transfer import training as transferring
from workflow_scripts.timecat.transfer.network import parameter_groups, start_network
from workflow_scripts.timecat.transfer.settings import OnRows

BACKBONE = made.backbone(width=4, blocks=2)
TRANSFORM = {
    "size": 28,
    "scale": [0.3, 1.0],
    "ratio": [0.75, 1.3],
    "flip": 0.5,
    "center_ratio": 0.875,
    "interpolation": "area",
    "mean": [0.4, 0.3, 0.2],
    "std": [0.3, 0.2, 0.1],
}
NAME, CLASSES = "small", 16
ROWS = {"train": 49, "evaluation": 30}  # batches of 16 leave a single training row
SEEDS = [2, 550]
HELDOUT = {"seed": 1, "fraction": 0.1}
SETTINGS = {
    "seed": 7,
    "epochs": 3,
    "batch_size": 16,
    "lr": 0.05,
    "backbone_lr": 0.02,
    "momentum": 0.9,
    "lr_milestones": [2],
    "lr_gamma": 0.5,
    "least_steps": 0,
    "weight_decays": [1e-3, 0.5],
    "init_std": 0.01,
}
OF_TRANSFERS = ("backbone_lr", "least_steps")  # keys that a probe does not have


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder with a data set (two splits and their indices) and the weights of two members, all with sidecars."""
    folder = tmp_path_factory.mktemp("data")
    torch_settings.configure(1)
    settings = {"kind": "cues", "seed": 1, "rows": ROWS, "agreement": 0.9, "components": None, "label": "class"}
    for name in ROWS:
        split = read_split(settings, name)
        storage = {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90}
        write_beton(folder / f"{name}.beton", split, storage)
        write_sidecar(folder / f"{name}.beton", f"digest of {name}", {}, {})
        index = pa.table({"row": np.arange(len(split)), "label": split.labels})
        pq.write_table(index, folder / f"{name}.index.parquet")
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = Classifier(build_backbone(BACKBONE), 3)
        content = files.write_weights(folder / f"seed{seed}", model, {"backbone": BACKBONE})
        write_sidecar(folder / f"seed{seed}", content, {}, {})
    return folder


@pytest.fixture(scope="module")
def target(folder) -> transferring.Target:
    """Target of the transfer, from the files in ``folder``."""
    return transferring.Target(
        name=NAME,
        train=folder / "train.beton",
        evaluation=folder / "evaluation.beton",
        data=read_data_set(folder / "train.index.parquet", folder / "evaluation.index.parquet", Heldout(**HELDOUT)),
        transform=made.transform(**TRANSFORM),
        device="cpu",
        workers=1,
    )


def settings(**others) -> OnRows:
    """Return SETTINGS with these changes and one pass per epoch."""
    return OnRows(**SETTINGS | others, passes=1)


def members(folder) -> list:
    """Return the trainable backbones of the two members."""
    return job.finetuned([folder / f"seed{seed}" for seed in SEEDS])


@pytest.fixture
def replicate(folder, target, tmp_path):
    """Function that trains one replicate with the given settings and returns its report."""

    def run(own: OnRows, backbones=lambda: members(folder), number=0, target=target):
        kept = transfer_states.Kept(tmp_path, 1e9)
        try:
            return transferring.transfer_replicate(
                number, SEEDS, backbones, target, own, transferring.Job("finetune", kept, Progress(10**6, "", ""))
            )
        finally:
            kept.stop_watching()
            for path in tmp_path.glob("replicate*.pt"):
                path.unlink()

    return run


class Frozen(nn.Module):
    """Backbone that stays in evaluation mode and has no trainable parameters."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.dimension = backbone.requires_grad_(False), backbone.dimension

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.backbone(x)


def features_by_epoch(folder, target, path, seed: int, epochs: int) -> list[Path]:
    """Extract the members' features for a probe, and return the folders.

    View e has the same images as epoch e of a transfer.
    """
    made = []
    for member, backbone in zip(SEEDS, members(folder)):
        made.append(path / f"seed{member}")
        made[-1].mkdir()
        extraction = Extraction(views=[], dtype="float32", batch_size=500, augmentation_seed=seed)
        extractor = Extractor(backbone.eval(), target.transform, extraction, "cpu", workers=1)
        rows = range(ROWS["train"])
        for epoch in range(epochs):
            extractor.write(made[-1] / f"train.view{epoch}.npy", target.train, rows, view_key(seed, NAME, epoch))
        extractor.write(made[-1] / "heldout.center.npy", target.train, target.data.heldout, None)
        extractor.write(made[-1] / "evaluation.center.npy", target.evaluation, range(ROWS["evaluation"]), None)
    return made


def test_the_linear_layer_starts_with_the_probes_weights(folder):
    """The weights have the standard deviation ``probe.init_std``."""
    weights = [start_network(members(folder), CLASSES, 0, settings(init_std=std)).fc.weight for std in (0.01, 0.02, 0)]
    torch.testing.assert_close(2 * weights[0], weights[1])
    assert weights[0].any() and not weights[2].any()


@pytest.mark.parametrize("number", [0, 1])
def test_with_frozen_backbones_a_transfer_equals_the_probe(folder, target, replicate, tmp_path, number):
    """Order, batches, initial weights, images, learning rates, weight decays and scores are equal over three epochs.

    Each replicate has its own seed, and equals a probe with that seed.
    """
    own = settings()
    seed = own.seed + number
    folders = features_by_epoch(folder, target, tmp_path, seed, own.epochs)
    protocol = made.protocol(**{k: v for k, v in SETTINGS.items() if k not in OF_TRANSFERS} | {"seed": seed})
    probe = probe_replicate(number, SEEDS, folders, ["view0", "view1", "view2"], target.data, protocol)
    found = replicate(own, lambda: [Frozen(backbone) for backbone in members(folder)], number)
    assert len(found.metrics) == len(probe.metrics) == 2 * 2 * 3 * 2
    numbers = ("loss", "top1", "top5")
    for mine, theirs in zip(found.metrics, probe.metrics):
        assert {k: v for k, v in mine.items() if k not in numbers} == {
            k: v for k, v in theirs.items() if k not in (*numbers, "relative_gradient")
        }
        assert [mine[k] for k in numbers] == pytest.approx([theirs[k] for k in numbers], rel=1e-5)
    assert found.selected == probe.selected
    for name, parts in probe.predictions.items():
        for mine, theirs in zip(found.predictions[name], parts, strict=True):
            assert mine.dtype == theirs.dtype
            if name == "probability":
                np.testing.assert_allclose(mine, theirs, rtol=1e-4)
            else:
                assert np.array_equal(mine, theirs)


def test_a_transfer_equals_a_plain_training_loop(folder, target):
    """The loop trains both backbones with their learning rate, and it computes Nesterov momentum and weight decay."""
    own, decay = settings(epochs=2, lr_milestones=[1]), 0.5
    run = transferring.start_run(members(folder), 0, decay, target, own)
    scores = transferring.finish_run(run, "full", target, own)

    first, second = members(folder)
    dimension = first.dimension + second.dimension
    norm, linear = nn.BatchNorm1d(dimension), nn.Linear(dimension, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(initial_weight(randomness.key("head", own.seed, 0), CLASSES, dimension, own.init_std))
        linear.bias.zero_()
    everything = nn.ModuleList([nn.ModuleList([first, second]), norm, linear]).train()
    norms = [module for module in everything.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert len(norms) == 1 + 2 * 7
    spared = {parameter for module in norms for parameter in module.parameters()}
    slow = {*first.parameters(), *second.parameters()}
    momenta = {parameter: torch.zeros_like(parameter) for parameter in everything.parameters()}

    def logits(images):
        images = normalise(images, target.transform)
        return linear(norm(torch.cat([first(images), second(images)], 1)))

    for epoch, factor in enumerate((1, 0.5)):
        order = randomness.permutation(randomness.key("probe", own.seed, epoch), np.arange(ROWS["train"]))
        total = 0
        for piece in (order[:16], order[16:32], order[32:]):  # 16, 16, 17
            crop_key = view_key(own.seed, NAME, epoch)
            ((_, images, labels),) = batches_reference(target.train, piece, 17, target.transform, crop_key)
            loss = functional.cross_entropy(logits(images), labels)
            total += loss.item() * len(piece)
            gradients = torch.autograd.grad(loss, list(momenta))
            with torch.no_grad():
                for parameter, gradient in zip(momenta, gradients):
                    gradient = gradient + (0 if parameter in spared else decay) * parameter
                    momenta[parameter] = 0.9 * momenta[parameter] + gradient
                    lr = factor * (own.backbone_lr if parameter in slow else own.lr)
                    parameter -= lr * (gradient + 0.9 * momenta[parameter])
        assert scores[epoch]["train"].loss == pytest.approx([total / ROWS["train"]], rel=1e-5)
    for mine, theirs in zip(run.network.parameters(), everything.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(members(folder)[0].stem[0].weight, first.stem[0].weight, atol=1e-3)  # they were trained

    everything.eval()
    ((_, images, labels),) = batches_reference(target.evaluation, range(30), 30, target.transform, None)
    with torch.no_grad():
        z = logits(images)
    assert scores[1]["evaluation"].loss == pytest.approx([functional.cross_entropy(z, labels).item()], rel=1e-4)
    assert np.array_equal(scores[1]["evaluation"].predicted[0], z.argmax(1).numpy())


def test_an_epoch_of_few_rows_has_more_passes():
    own = settings(epochs=3, batch_size=16, least_steps=50)
    assert [own.for_rows(rows).passes for rows in (16 * 17, 16 * 16, 100, 16, 1)] == [1, 2, 3, 17, 17]
    assert own.for_rows(100).steps(100) == 3 * 3 * 7 >= 50 and settings().for_rows(1).passes == 1
    assert own.for_rows(100).for_rows(16 * 17).passes == 1


def test_an_epoch_of_several_passes_equals_several_epochs(folder, target):
    own = settings(epochs=2, lr_milestones=[1], least_steps=12).for_rows(ROWS["train"])
    assert own.passes == 2
    plain = settings(epochs=4, lr_milestones=[2])
    runs = [transferring.start_run(members(folder), 0, 1e-3, target, each) for each in (own, plain)]
    together, apart = (
        transferring.finish_run(run, "full", target, each) for run, each in zip(runs, (own, plain), strict=True)
    )
    assert runs[0].step == runs[1].step == own.steps(ROWS["train"]) == 12, "49 rows in batches of 16 are three steps"
    assert len(together) == 2 and len(apart) == 4
    for epoch, scores in enumerate(together):
        assert scores["evaluation"].loss == apart[2 * epoch + 1]["evaluation"].loss
        both = [apart[2 * epoch + number]["train"].loss for number in (0, 1)]
        assert scores["train"].loss == pytest.approx(sum(both) / 2)


def test_batch_norms_have_no_weight_decay(folder):
    """Every parameter is in exactly one group, and backbones have a separate learning rate."""
    network = start_network(members(folder), CLASSES, 0, settings())
    groups = parameter_groups(network, settings(), 0.3)
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        group = of[id(parameter)]
        assert group["lr"] == (0.02 if name.startswith("backbones.") else 0.05), name
    decayed = {name for name, parameter in network.named_parameters() if of[id(parameter)]["weight_decay"] == 0.3}
    spared = {name for name, parameter in network.named_parameters() if of[id(parameter)]["weight_decay"] == 0}
    assert {"fc.weight", "fc.bias", "backbones.0.stem.0.weight", "backbones.1.blocks.0.conv2.weight"} <= decayed
    assert {"norm.weight", "norm.bias", "backbones.0.stem.1.weight", "backbones.1.blocks.0.bn2.bias"} <= spared
    assert decayed | spared == {name for name, _ in network.named_parameters()}


def test_a_transfer_works_without_momentum_and_batch_norms(target):
    class Plain(nn.Module):
        dimension = 4

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3))

    own = settings(momentum=0.0, epochs=1)
    run = transferring.start_run([Plain()], 0, 0.0, target, own)
    assert len(run.optimizer.param_groups) == 3
    (scores,) = transferring.finish_run(run, "full", target, own)
    assert math.isfinite(scores["evaluation"].loss[0])


@pytest.mark.parametrize(("initialisation", "zero_gamma"), [("library", False), ("lecun_normal", True)])
def test_direct_training_starts_with_pretrainings_initial_weights(initialisation, zero_gamma):
    """The initial weights do not depend on the number of classes of the source."""
    recipe = made.recipe(batch_size=8, initialisation=initialisation, zero_gamma=zero_gamma)
    drawn = Start(initialisation=initialisation, zero_gamma=zero_gamma)
    first, second, copy = job.untrained(BACKBONE, [2, 550, 2], 28, drawn)
    assert bool(first.blocks[0].bn2.weight.any()) is not zero_gamma
    for backbone, seed in ((first, 2), (second, 550)):
        pretrained = training.start_run(BACKBONE, CLASSES, recipe, seed, "cpu", 28).model.backbone
        for mine, theirs in zip(backbone.state_dict().values(), pretrained.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)
    assert not torch.equal(first.stem[0].weight, second.stem[0].weight)
    assert torch.equal(first.stem[0].weight, copy.stem[0].weight) and first is not copy


class Noisy(nn.Module):
    """Backbone with dropout on its features."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.dimension = backbone, backbone.dimension

    def forward(self, x):
        return functional.dropout(self.backbone(x), 0.3, self.training)


class Stopped(Exception):
    """Error that stands for an interruption."""


def bits(run) -> list[bytes]:
    """Return all values of a run's state as bytes. (The file's bytes also depend on which strings are one object.)"""
    found = []

    def collect(value):
        if isinstance(value, torch.Tensor):
            found.append(value.contiguous().numpy().tobytes())
        elif isinstance(value, (list, tuple, dict)):
            for part in value.values() if isinstance(value, dict) else value:
                collect(part)
        else:
            found.append(repr(value).encode())

    state = torch.load(io.BytesIO(transfer_states.state_bytes("run", run)), weights_only=True)
    assert {"network", "optimizer", "scores"} < set(state)
    collect(state)
    return found


# In the middle of an epoch, before and after an evaluation, and at the end.
@pytest.mark.parametrize("calls", [1, 3, 4, 6, 8])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(folder, target, calls):
    """The backbones draw from torch's generator in training, which must not depend on the interruption."""
    goes_on(folder, target, settings(epochs=2), calls, calls - calls // 4)


# In the first pass, at its end, in the second pass, at its end, and after the evaluation.
@pytest.mark.parametrize("calls", [1, 3, 5, 6, 7])
def test_resuming_within_an_epoch_of_two_passes_gives_the_same_run(folder, target, calls):
    """Runs are interrupted within a pass and between the two passes."""
    own = settings(epochs=1, least_steps=4).for_rows(ROWS["train"])
    assert own.passes == 2
    goes_on(folder, target, own, calls, min(calls, 6))


def goes_on(folder, target, own: OnRows, calls: int, step: int) -> None:
    """Check that a run stopped at its ``calls``-th offer, at ``step``, and resumed equals an uninterrupted run."""

    def start():
        return transferring.start_run([Noisy(backbone) for backbone in members(folder)], 0, 1e-3, target, own)

    whole = start()
    transferring.finish_run(whole, "full", target, own)

    stopped, count = start(), 0

    def offer():
        nonlocal count
        count += 1
        if count == calls:
            raise Stopped

    with pytest.raises(Stopped):
        transferring.finish_run(stopped, "full", target, own, offer)
    saved = transfer_states.state_bytes("run", stopped)
    following = start()
    torch.manual_seed(calls)  # another process
    assert not transfer_states.load_state(saved, "another run", following) and following.step == 0
    assert transfer_states.load_state(saved, "run", following) and following.step == step
    transferring.finish_run(following, "full", target, own)
    assert bits(following) == bits(whole)


def test_a_network_that_diverges_is_not_selected(replicate, capsys):
    alone, beside = replicate(settings()), replicate(settings(weight_decays=[1e-3, 1e9, 0.5]))
    others = [row for row in beside.metrics if row["weight_decay"] != 1e9]
    assert others == alone.metrics and beside.selected == alone.selected
    lost = [row for row in beside.metrics if row["weight_decay"] == 1e9]
    assert len(lost) == 2 * 3 * 2 and not any(math.isfinite(row["loss"]) for row in lost if row["epoch"] > 1)
    stage_log = stage_report(beside, capsys)
    for fit in ("full", "nine_tenths"):
        assert f"the {fit} head with weight decay 1e+09 diverged, not selected" in stage_log


def stage_report(report, capsys) -> str:
    from workflow_scripts.timecat.probing.replicates import log_report

    capsys.readouterr()
    log_report(0, SEEDS, report)
    return capsys.readouterr().err


def test_an_error_is_raised_if_all_networks_diverge(replicate):
    with pytest.raises(UserError, match=r"replicate 0 \(seeds 2, 550\): every head diverged.*lower finetune.lr"):
        replicate(settings(weight_decays=[1e20]))


def test_more_weight_decays_do_not_change_the_existing_rows(replicate):
    short, long = replicate(settings(weight_decays=[0.001, 0.5])), replicate(settings(weight_decays=[0.001, 0.1, 0.5]))
    assert short.metrics == [row for row in long.metrics if row["weight_decay"] != 0.1]


def test_one_weight_decay_needs_no_second_fit(replicate):
    """The report equals the report with both fits, because there is no weight decay to choose."""
    alone, beside = replicate(settings(weight_decays=[0.5])), replicate(settings(weight_decays=[0.001, 0.5]))
    assert alone.metrics == [row for row in beside.metrics if row["weight_decay"] == 0.5 and row["fit"] == "full"]
    last = [row["top1"] for row in alone.metrics if row["epoch"] == SETTINGS["epochs"] and row["split"] == "evaluation"]
    assert alone.selected["holdout"] == (0.5, SETTINGS["epochs"], *last)


def test_direct_training_without_a_backbone_is_refused():
    with pytest.raises(UserError, match="direct needs --backbone and --initialisation to train from scratch"):
        job.untrained(None, [2], 28, Start(initialisation="library", zero_gamma=False))


# --- the stage ---


def command_line(folder: Path, output: Path, mode="finetune", **others) -> list[str]:
    """Return the stage's command-line arguments for two replicates of one member each."""
    values = {
        "mode": mode,
        "data-set": NAME,
        "replicates": json.dumps([[seed] for seed in SEEDS]),
        "backbone": canonical_json(BACKBONE if mode == "direct" else None),
        "initialisation": json.dumps({"initialisation": "library", "zero_gamma": True} if mode == "direct" else None),
        "settings": json.dumps(SETTINGS | others),
        "transform": json.dumps(TRANSFORM),
        "heldout": json.dumps(HELDOUT),
        "resume-seconds": 0,
        "torch-threads": 1,
        "workers": 1,
        "gpus": 0,
        "metrics": output / "arm.parquet",
        "predictions": output / "arm.predictions.parquet",
    }
    for split in ROWS:
        values[split], values[f"{split}-index"] = folder / f"{split}.beton", folder / f"{split}.index.parquet"
    words = [text for name, value in values.items() for text in (f"--{name}", str(value))]
    return words + ["--weights", *([str(folder / f"seed{seed}") for seed in SEEDS] if mode == "finetune" else [])]


@pytest.fixture
def run_stage(folder, monkeypatch, capsys):
    """Function that runs the stage in this process and returns its log."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(output: Path, **settings) -> str:
        monkeypatch.setattr(sys, "argv", ["transfer", *command_line(folder, output, **settings)])
        stage.main()
        return capsys.readouterr().err

    return run


OUTPUTS = ["arm.parquet", "arm.predictions.parquet", "arm.predictions.parquet.json"]


def contents(output: Path) -> dict[str, bytes]:
    """Check that the folder contains only the stage's outputs, and return the contents of these files."""
    assert sorted(path.name for path in output.iterdir()) == OUTPUTS
    return {name: (output / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory, root) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("uninterrupted")
    command = [sys.executable, "-m", "workflow_scripts.transfer", *command_line(folder, output)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    return contents(output)


def test_the_stage_writes_metrics_predictions_and_a_sidecar(folder, uninterrupted, tmp_path):
    for name, data in uninterrupted.items():
        (tmp_path / name).write_bytes(data)
        assert str(folder).encode() not in data
    metrics = pq.read_table(tmp_path / "arm.parquet")
    assert metrics.num_rows == 2 * 2 * 2 * 3 * 2 and metrics["members"].to_pylist()[-1] == [550]
    predictions = pq.read_table(tmp_path / "arm.predictions.parquet")
    assert predictions.num_rows == 2 * 2 * ROWS["evaluation"]
    sidecar = read_sidecar(tmp_path / "arm.predictions.parquet")
    assert sidecar["inputs"] == {
        "train": "digest of train",
        "evaluation": "digest of evaluation",
        "0/2": read_sidecar(folder / "seed2")["content"],
        "1/550": read_sidecar(folder / "seed550")["content"],
    }
    assert sidecar["params"]["settings"] == SETTINGS and sidecar["params"]["mode"] == "finetune"


def test_the_files_have_the_probes_columns_except_gradients(folder, target, uninterrupted, tmp_path):
    from workflow_scripts.timecat.probing.files import write_metrics, write_predictions

    own = {k: v for k, v in SETTINGS.items() if k not in OF_TRANSFERS} | {"epochs": 1}
    folders = features_by_epoch(folder, target, tmp_path, 0, 1)
    probe = probe_replicate(0, SEEDS, folders, ["view0"], target.data, made.protocol(**own))
    metrics = [{name: value for name, value in row.items() if name != "relative_gradient"} for row in probe.metrics]
    write_metrics(tmp_path / "probe.parquet", metrics)
    write_predictions(tmp_path / "probe.predictions.parquet", [probe.predictions])
    for ending in (".parquet", ".predictions.parquet"):
        (tmp_path / f"arm{ending}").write_bytes(uninterrupted[f"arm{ending}"])
        assert pq.read_schema(tmp_path / f"arm{ending}") == pq.read_schema(tmp_path / f"probe{ending}")


def test_direct_training_needs_no_weights(run_stage, tmp_path, folder):
    log = run_stage(tmp_path, mode="direct", epochs=1)
    assert "replicate 1 (seeds 550): paper: weight decay" in log
    assert list(read_sidecar(tmp_path / "arm.predictions.parquet")["inputs"]) == ["evaluation", "train"]
    losses = pq.read_table(tmp_path / "arm.parquet")["loss"].to_pylist()
    assert len(set(losses)) == len(losses)  # replicates differ too, because they start from different seeds


def test_a_wrong_number_of_weights_files_is_refused(monkeypatch, folder, tmp_path):
    for mode, given, wanted in (("finetune", 0, 2), ("direct", 2, 0)):
        words = command_line(folder, tmp_path, mode=mode)
        words = words[: words.index("--weights") + 1] + [str(folder / "seed2")] * given
        monkeypatch.setattr(sys, "argv", ["transfer", *words])
        with pytest.raises(UserError, match=f"names {given} files, but {mode} of these replicates needs {wanted}"):
            stage.main()


INTERRUPTED = """
import os, signal, sys
from workflow_scripts import transfer
from workflow_scripts.timecat.transfer import states as transfer_states

offer = transfer_states.Kept.offer

def interrupt_in_the_second_epoch_of_the_third_run(self, name, run):
    if name == "replicate0.nine_tenths.weight_decay0.001" and run.epoch == 1 and run.rows == 16:
        os.kill(os.getpid(), signal.{name})
    offer(self, name, run)

transfer_states.Kept.offer = interrupt_in_the_second_epoch_of_the_third_run
transfer.main()
"""


@pytest.mark.parametrize("end", [(signal.SIGKILL, -9, 0), (signal.SIGTERM, 143, 1)])
def test_a_resumed_job_writes_the_same_bytes(folder, target, uninterrupted, run_stage, tmp_path, root, end):
    """After SIGKILL a job resumes from the last saved state, after SIGTERM from the last step."""
    number, code, further = end
    step = len(batches(len(target.data.fits()["nine_tenths"]), 16)) + further  # one more after SIGTERM
    program = textwrap.dedent(INTERRUPTED.format(name=number.name))
    command = [sys.executable, "-c", program, *command_line(folder, tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    left = tmp_path / ".arm.parquet.unfinished"
    whole = [f"replicate0.full.weight_decay{weight_decay}" for weight_decay in SETTINGS["weight_decays"]]
    assert sorted(path.name for path in left.glob("*.pt")) == [".run.resume.pt", *(f"{name}.pt" for name in whole)]
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []

    log = run_stage(tmp_path)
    assert [line for line in log.splitlines() if "complete already" in line] == [
        f"{name} is complete already, from an interrupted job" for name in whole
    ]
    assert f"continuing an interrupted job: replicate0.nine_tenths.weight_decay0.001 after step {step}\n" in log
    assert contents(tmp_path) == uninterrupted


def test_states_of_a_job_with_other_settings_are_not_used(folder, uninterrupted, run_stage, tmp_path, root):
    program = textwrap.dedent(INTERRUPTED.format(name="SIGKILL"))
    command = [sys.executable, "-c", program, *command_line(folder, tmp_path, lr=0.01)]
    assert subprocess.run(command, cwd=root, capture_output=True, timeout=120).returncode == -9
    log = run_stage(tmp_path)
    assert "complete already" not in log and "continuing" not in log
    assert contents(tmp_path) == uninterrupted


def test_training_on_a_draw_equals_training_on_its_rows_alone(folder, target, replicate, tmp_path):
    """Crops depend on the row numbers of the file, so the test uses complete images. Results are equal bit for bit."""
    whole = {"scale": [1.0, 1.0], "ratio": [1.0, 1.0], "flip": 0.0}
    labels = pq.read_table(folder / "train.index.parquet")["label"].to_numpy()
    drawn = np.random.default_rng(0).random((len(labels), 2)) < 0.6
    drawn[0] = [True, False]  # so every row of the second draw has another number in the draw than in the file
    rows = np.flatnonzero(drawn[:, 1])
    settings_of_data = {"kind": "cues", "seed": 1, "rows": ROWS, "agreement": 0.9, "components": None, "label": "class"}
    split = read_split(settings_of_data, "train")
    alone = replace(
        split,
        images=np.stack([split[row][0] for row in rows]),
        labels=split.labels[rows],
        sources=[split.sources[row] for row in rows],
    )
    write_beton(tmp_path / "alone.beton", alone, {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90})
    indices = {
        "all": {"label": labels, "draws": [np.flatnonzero(row).tolist() for row in drawn]},
        "alone": {"label": labels[rows]},
    }
    reports = []
    for name, columns in indices.items():
        index = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"row": np.arange(len(columns["label"]))} | columns), index)
        data = read_data_set(index, folder / "evaluation.index.parquet", Heldout(**HELDOUT))
        assert data.classes == CLASSES
        own = replace(
            target,
            train=tmp_path / "alone.beton" if name == "alone" else target.train,
            data=data,
            transform=made.transform(**TRANSFORM | whole),
        )
        reports.append(replicate(settings(), number=1, target=own))
    found, wanted = reports
    assert found.metrics == wanted.metrics and found.selected == wanted.selected
    for name, parts in wanted.predictions.items():
        assert all(map(np.array_equal, found.predictions[name], parts)), name


def test_the_number_of_decoding_workers_does_not_change_the_results(target, folder):
    states = []
    for workers in (1, 3):
        own = replace(target, workers=workers)
        run = transferring.start_run(members(folder), 0, 1e-3, own, settings(epochs=1))
        transferring.finish_run(run, "full", own, settings(epochs=1))
        states.append(bits(run))
    assert states[0] == states[1]
