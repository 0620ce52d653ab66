"""Test that weights are recognised by content, that code in them is not run, and that other files are refused."""

import builtins
import os
import pickle
import subprocess

import numpy as np
import pytest
import safetensors.torch
import torch

from workflow_scripts.timecat.artifacts.tensor_files import write_tensors
from workflow_scripts.timecat.checkpoints.formats import read_published
from workflow_scripts.timecat.errors import UserError

TENSORS = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn.running_var": torch.ones(2)}


def assert_tensors(published):
    assert published.tensors.keys() == TENSORS.keys()
    for key, value in TENSORS.items():
        assert torch.equal(published.tensors[key], value)


@pytest.fixture(params=["torch", "torch (legacy)"])
def container(request):
    """Format of the torch file: a zip (since torch 1.6), or consecutive pickles (before)."""
    return request.param


def save(value, path, container):
    torch.save(value, path, _use_new_zipfile_serialization=container == "torch")
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.pth.tar", "weights", "weights.safetensors"])
def test_a_torch_file_may_have_any_name(tmp_path, container, name):
    published = read_published(save(TENSORS, tmp_path / name, container))
    assert_tensors(published)
    assert (published.container, published.wrapper, published.others, published.stated) == (container, "", [], {})


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_safetensors_file_may_have_any_name(tmp_path, name):
    (tmp_path / name).write_bytes(safetensors.torch.save(TENSORS))
    published = read_published(tmp_path / name)
    assert_tensors(published)
    assert (published.container, published.wrapper, published.stated) == ("safetensors", "", {})


def test_this_projects_weights_state_seed_and_step(tmp_path):
    write_tensors(tmp_path / "w", TENSORS, {"seed": 2, "step": 80, "source": "cues"})
    published = read_published(tmp_path / "w")
    assert_tensors(published)
    assert (published.wrapper, published.stated) == ("timecat", {"seed": 2, "step": 80})


@pytest.mark.parametrize("wrapper", ["model_params", "state_dict", "model_state_dict", "model"])
def test_weights_under_a_wrapper_key_are_found(tmp_path, container, wrapper):
    published = read_published(save({wrapper: TENSORS, "epoch": 90, "arch": "resnet50"}, tmp_path / "w", container))
    assert_tensors(published)
    assert published.wrapper == wrapper


def test_weights_under_nested_wrapper_keys_are_found(tmp_path):
    published = read_published(save({"model": {"state_dict": TENSORS}}, tmp_path / "w", "torch"))
    assert_tensors(published)
    assert published.wrapper == "model.state_dict"


def test_keys_without_a_tensor_are_listed(tmp_path):
    assert read_published(save({**TENSORS, "epoch": 3}, tmp_path / "w", "torch")).others == ["epoch"]


def algoperf(step, train_mode=False) -> dict:
    """Return a dict with all types of values that AlgoPerf saves, including NumPy's numbers."""
    numbers = {"float64": np.float64(0.7), "float32": np.float32(0.7), "int64": np.int64(3), "bool": np.bool_(True)}
    return {
        "model_params": TENSORS,
        "optimizer_state": {
            "optimizer": {"state": {0: {"z": torch.zeros(2)}}, "param_groups": [{"lr": 0.01, "train_mode": train_mode}]}
        },
        "model_state": None,
        "train_state": {"accumulated_submission_time": np.float64(1.5), "is_time_remaining": True},
        "eval_results": [(np.int64(10), numbers)],
        "global_step": step,
        "preemption_count": 0,
    }


@pytest.mark.parametrize("step", [80000, np.int64(80000), torch.tensor(80000)])
def test_an_algoperf_file_is_read(tmp_path, container, step, capfd):
    published = read_published(save(algoperf(step), tmp_path / "w", container))
    assert_tensors(published)
    assert (published.wrapper, published.stated) == ("model_params", {"global_step": 80000})
    assert capfd.readouterr().err == ""


def test_scalars_of_older_numpy_versions_are_read(tmp_path, container):
    """The module's name is numpy.core in NumPy 1 and numpy._core in NumPy 2."""
    path = save(algoperf(80000), tmp_path / "w", "torch (legacy)")
    written = path.read_bytes()
    assert b"cnumpy._core.multiarray\nscalar" in written
    path.write_bytes(written.replace(b"cnumpy._core.multiarray\nscalar", b"cnumpy.core.multiarray\nscalar"))
    assert_tensors(read_published(path))


def test_weights_of_an_optimizer_in_training_mode_give_a_warning(tmp_path, capfd):
    read_published(save(algoperf(1, train_mode=True), tmp_path / "w", "torch"))
    assert "optimizer was in training mode; these weights are not its average" in capfd.readouterr().err


# --- no code is run ---


class Call:
    """An object whose pickle calls a function when an ordinary reader loads it."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def attacks(canary) -> dict:
    """Return a dict of attacks, as name of the function in the error message -> value that creates the canary if run.

    The names are Python 2's, as in torch's pickles.
    """
    return {
        f"{os.system.__module__}.system": Call(os.system, f"touch {canary}"),
        "commands.Popen": Call(subprocess.Popen, ["touch", str(canary)]),
        "eval": Call(builtins.eval, f"open({str(canary)!r}, 'w')"),
        "io.open": Call(open, str(canary), "w"),
    }


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("place", ["beside", "inside", "alone"])
def test_the_code_of_a_malicious_file_is_not_run(tmp_path, container, number, place):
    """The error names the function that the file would call."""
    canary = tmp_path / "canary"
    name, attack = list(attacks(canary).items())[number]
    value = {"beside": {"state_dict": TENSORS, "args": attack}, "inside": {**TENSORS, "x": attack}, "alone": attack}
    path = save(value[place], tmp_path / "w", container)
    with pytest.raises(UserError, match="is refused") as error:
        read_published(path)
    assert f"it needs {name}," in str(error.value) and str(path) in str(error.value)
    assert not canary.exists()


def test_an_ordinary_reader_runs_each_attack(tmp_path):
    """Without restrictions each attack creates the canary, so the tests above would notice code that runs."""
    for name, attack in attacks(tmp_path / "canary").items():
        made = pickle.loads(pickle.dumps(attack))
        if name == "commands.Popen":
            made.wait()
        (tmp_path / "canary").unlink()


def test_the_code_of_a_malicious_plain_pickle_is_not_run(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "w"
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {canary}"), protocol=2))
    with pytest.raises(UserError, match=r"is refused: .* \w+\.system,"):
        read_published(path)
    assert not canary.exists()


def test_torchs_variable_for_unrestricted_loading_has_no_effect(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = save({"x": Call(os.system, f"touch {tmp_path / 'canary'}")}, tmp_path / "w", "torch")
    with pytest.raises(UserError, match="is refused"):
        read_published(path)
    assert not (tmp_path / "canary").exists()


def test_numpy_arrays_and_whole_models_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"it needs numpy\._core\.multiarray\._reconstruct,"):
        read_published(save({"w": np.ones(3)}, tmp_path / "w", "torch"))
    with pytest.raises(UserError, match=r"it needs torch\.nn\.modules\.linear\.Linear,"):
        read_published(save(torch.nn.Linear(2, 2), tmp_path / "m", "torch"))


def test_reading_a_file_leaves_torchs_safe_globals_unchanged(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    read_published(save(algoperf(1), tmp_path / "w", "torch"))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
def test_no_error_advises_unrestricted_loading(tmp_path):
    torch.save({"x": Call(os.system, "true")}, tmp_path / "w", pickle_protocol=4)
    with pytest.raises(UserError, match="uses a pickle protocol.*save its state dict") as error:
        read_published(tmp_path / "w")
    assert "weights_only" not in str(error.value)


# --- files that are not weights ---

NO_WEIGHTS = {
    "a web page": (b"<!DOCTYPE html><html>404</html>" * 9, "a web page"),
    "a pointer of LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "a gzip file": (b"\x1f\x8b\x08\x00" + bytes(100), "checkpoints.archive"),
    "text": (b"hello " * 20, "neither a torch nor a safetensors file:"),
    "nothing": (b"", "neither a torch nor a safetensors file:"),
    "half a safetensors file": (safetensors.torch.save(TENSORS)[:-5], "cannot be read as a safetensors file"),
    "a pickle": (pickle.dumps([1, 2], protocol=2), "cannot be read as a torch file"),
}


@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_a_file_that_is_not_weights_is_refused(tmp_path, case):
    content, expected = NO_WEIGHTS[case]
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_published(tmp_path / "w")
    assert expected in str(error.value) and "\n" not in str(error.value) and "weights_only" not in str(error.value)


def test_a_truncated_torch_file_is_refused(tmp_path, container):
    path = save(TENSORS, tmp_path / "w", container)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match="torch"):
        read_published(path)


def test_a_torch_file_without_one_state_dict_is_refused(tmp_path):
    with pytest.raises(UserError, match="contains a list, not a dict of weights"):
        read_published(save([torch.ones(2)], tmp_path / "w", "torch"))
    with pytest.raises(UserError, match="under both 'state_dict' and 'model'"):
        read_published(save({"state_dict": TENSORS, "model": TENSORS}, tmp_path / "w", "torch"))


def test_unusual_values_beside_the_weights_are_accepted(tmp_path):
    odd = {
        "state_dict": TENSORS,
        7: "a key",
        "global_step": float("inf"),
        "optimizer_state": {"param_groups": [[1], None]},
    }
    published = read_published(save(odd, tmp_path / "odd.pth", "torch"))
    assert_tensors(published)
    assert published.stated == {}


def test_a_training_state_of_this_project_is_refused(tmp_path):
    state = {"identity": "x", "model": TENSORS, "optimizer": {}, "step": 8, "loss_average": 1.0}
    with pytest.raises(UserError, match=r"is a training state.*use the \.safetensors file in the same folder"):
        read_published(save(state, tmp_path / "w", "torch"))
