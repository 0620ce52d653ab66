"""Test the contribution of each member to a probe, against heads changed one at a time, and the stage diagnose."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.references.cka import linear_cka_reference
from tests.references.members import (
    block_accuracy_reference,
    leave_one_out_accuracy_reference,
)
from tests.support import settings as made
from tests.support.probes import data_set, feature_folders, write_index
from workflow_scripts import diagnose
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.measures.members import blocks, diagnose_head
from workflow_scripts.timecat.probing.probe import EVALUATION, probe_replicate
from workflow_scripts.timecat.probing.saved_heads import HeadsFile, write_heads

WIDTHS = {"seed2": 11, "seed550": 6, "seed23": 8}
SEEDS = [2, 550, 23]
ROWS = 1500  # more than one chunk
PROTOCOL = made.protocol(seed=7, weight_decays=(1e-3, 0.1), epochs=4, batch_size=16, lr=0.2, lr_milestones=(3,))


@pytest.fixture(scope="module")
def data():
    return data_set(evaluation=ROWS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, data):
    return feature_folders(tmp_path_factory.mktemp("features"), data, WIDTHS, noise=2.0)


@pytest.fixture(scope="module", params=[True, False], ids=["batch norm", "plain"])
def probe(request, folders, data):
    return probe_replicate(0, SEEDS, folders, ["view0"], data, replace(PROTOCOL, batch_norm=request.param))


def features_of(folders):
    return [np.load(folder / EVALUATION, mmap_mode="r") for folder in folders]


def test_contributions_equal_those_of_heads_changed_one_at_a_time(probe, folders, data):
    together = np.concatenate(features_of(folders), axis=1)
    for selection, head in probe.heads.items():
        found = diagnose_head(head, features_of(folders), data.evaluation_labels)
        for m, block in enumerate(blocks(list(WIDTHS.values()))):
            alone = block_accuracy_reference(head, together, data.evaluation_labels, block)
            without = leave_one_out_accuracy_reference(head, together, data.evaluation_labels, block)
            assert found.block_accuracy[m] == pytest.approx(alone, abs=1e-9)
            assert found.leave_one_out_accuracy[m] == pytest.approx(without, abs=1e-9)
            scale = head.gamma / torch.sqrt(head.running_var + 1e-5) if head.batch_norm else torch.ones(25)
            assert found.weight[m] == pytest.approx(head.weight[:, block].abs().mean().item(), rel=1e-5)
            folded = (head.weight @ torch.diag(scale))[:, block].abs().mean().item()
            assert found.folded_weight[m] == pytest.approx(folded, rel=1e-5)
        # The data distinguish the figures: no two are equal, and accuracy falls without any member.
        figures = [*found.block_accuracy, *found.leave_one_out_accuracy, probe.selected[selection].top1]
        assert len(set(figures)) == 7 and max(found.leave_one_out_accuracy) < probe.selected[selection].top1


def test_block_and_leave_one_out_accuracy_differ_only_by_beta(probe, folders, data):
    """Leaving out one of two members leaves the block of the other, plus the constant of β of the member left out."""
    head = probe.heads["holdout"]
    two = head.__class__(
        **{name: value[..., :17] if name != "bias" else value for name, value in head.tensors().items()}
    )
    features = features_of(folders)[:2]
    found = diagnose_head(two, features, data.evaluation_labels)
    if head.batch_norm:
        assert (two.beta != 0).all()
        assert found.leave_one_out_accuracy[0] != found.block_accuracy[1]
        found = diagnose_head(replace(two, beta=torch.zeros(17)), features, data.evaluation_labels)
    assert np.array_equal(found.leave_one_out_accuracy, found.block_accuracy[::-1])


def test_leaving_out_a_member_with_zero_weights_changes_nothing(probe, folders, data):
    head = probe.heads["paper"]
    weight = head.weight.clone()
    weight[:, blocks(list(WIDTHS.values()))[1]] = 0
    found = diagnose_head(replace(head, weight=weight), features_of(folders), data.evaluation_labels)
    whole = leave_one_out_accuracy_reference(
        replace(head, weight=weight), np.concatenate(features_of(folders), axis=1), data.evaluation_labels, slice(0, 0)
    )
    assert found.leave_one_out_accuracy[1] == pytest.approx(whole) and found.folded_weight[1] == 0
    assert found.block_accuracy[1] == pytest.approx(
        100 * np.mean(data.evaluation_labels == int(head.bias.argmax()))
    )  # the bias alone


def line(folder, folders, data, name="made", **changes) -> list[str]:
    """Return the command line of the stage diagnose for the heads in the folder."""
    values = {
        "replicates": json.dumps([SEEDS[:2], SEEDS[2:] * 2]),
        "heads": folder / "heads.safetensors",
        "evaluation-index": write_index(folder / "index.parquet", data.evaluation_labels),
        "torch-threads": 1,
        "gpus": 0,
        "diagnostics": folder / f"{name}.parquet",
    }
    words = [str(word) for name, value in (values | changes).items() for word in (f"--{name}", value)]
    return ["diagnose", "--features", *map(str, [folders[0], folders[1], folders[2], folders[2]]), *words]


@pytest.fixture
def written(tmp_path, folders, data):
    """Folder with the heads of two replicates, of which the second has two copies of one member; and their probes."""
    replicates = [(SEEDS[:2], folders[:2]), (SEEDS[2:] * 2, [folders[2]] * 2)]
    probes = [probe_replicate(r, seeds, own, ["view0"], data, PROTOCOL) for r, (seeds, own) in enumerate(replicates)]
    description = {
        "classes": data.classes,
        "replicates": [
            {
                "members": seeds,
                "dimensions": [WIDTHS[folder.name] for folder in own],
                "heads": {name: selected._asdict() for name, selected in probe.selected.items()},
            }
            for probe, (seeds, own) in zip(probes, replicates)
        ],
    }
    heads = {(r, name): head for r, probe in enumerate(probes) for name, head in probe.heads.items()}
    write_heads(tmp_path / "heads.safetensors", heads, description)
    return tmp_path, probes


def run(monkeypatch, arguments) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", arguments)
    diagnose.main()


def test_the_stage_writes_every_quantity_of_every_member(written, folders, data, monkeypatch):
    folder, probes = written
    for name in ("one", "two"):
        run(monkeypatch, line(folder, folders, data, name))
    assert (folder / "one.parquet").read_bytes() == (folder / "two.parquet").read_bytes()
    rows = pq.read_table(folder / "one.parquet").to_pylist()
    assert len(rows) == 2 * (2 * (1 + 4 * 2) + 1)
    saved = HeadsFile(folder / "heads.safetensors")
    for r, (seeds, own) in enumerate([(SEEDS[:2], folders[:2]), (SEEDS[2:] * 2, [folders[2]] * 2)]):
        for selection in ("paper", "holdout"):
            wanted = diagnose_head(saved.head(r, selection), features_of(own), data.evaluation_labels)
            for quantity in ("block_accuracy", "leave_one_out_accuracy", "weight", "folded_weight"):
                mine = [
                    row
                    for row in rows
                    if (row["replicate"], row["selection"], row["quantity"]) == (r, selection, quantity)
                ]
                assert [row["value"] for row in mine] == getattr(wanted, quantity).tolist()
                assert [(row["member"], row["seed"]) for row in mine] == list(enumerate(seeds))
                assert all(row["members"] == seeds and row["other_member"] is None for row in mine)
            (accuracy,) = [
                row
                for row in rows
                if (row["replicate"], row["selection"], row["quantity"]) == (r, selection, "accuracy")
            ]
            assert accuracy["value"] == probes[r].selected[selection].top1 and accuracy["member"] is None
    first, second = [row for row in rows if row["quantity"] == "cka"]
    X, Y = features_of(folders)[:2]
    assert first["value"] == pytest.approx(linear_cka_reference(X, Y)) and first["selection"] is None
    assert [first[name] for name in ("member", "seed", "other_member", "other_seed")] == [0, 2, 1, 550]
    assert second["value"] == pytest.approx(1) and second["members"] == [23, 23]


def test_features_of_another_arm_are_refused(written, folders, data, monkeypatch):
    folder, _ = written
    with pytest.raises(UserError, match=r"heads\.safetensors: its heads are of replicates with members"):
        run(monkeypatch, line(folder, folders, data, replicates=json.dumps([[2, 9], [23, 23]])))
    with pytest.raises(
        UserError, match=r"with dimensions \[\[11, 6\], \[8, 8\]\], but the features have \[\[6, 11\], \[8, 8\]\]"
    ):
        run(monkeypatch, line(folder, [folders[1], folders[0], folders[2]], data))
