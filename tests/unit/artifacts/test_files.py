"""Test that files are either complete or absent, and that digests depend only on content."""

import numpy as np
import pytest

from workflow_scripts.timecat.artifacts.digests import array_digest
from workflow_scripts.timecat.artifacts.files import atomic_path, write_bytes
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, write_sidecar


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_array_digest_depends_on_dtype_shape_and_values():
    array = np.arange(6, dtype=np.int32)
    digests = [
        array_digest(a) for a in (array, array.astype(np.int64), array.reshape(2, 3), array + 1, array.reshape(2, 3).T)
    ]
    assert len(set(digests)) == 5
    assert array_digest(array.reshape(3, 2).T) == array_digest(array.reshape(3, 2).T.copy())


def test_config_digest_depends_on_params_and_inputs_only(tmp_path):
    def config(params, inputs, device="cpu"):
        write_sidecar(tmp_path / "a", "content", params, inputs, device=device)
        return read_sidecar(tmp_path / "a")["config"]

    base = config({"lr": 0.1, "seed": 2}, {"train": "x"})
    assert config({"seed": 2, "lr": 0.1}, {"train": "x"}, device="GPU") == base
    assert config({"lr": 0.2, "seed": 2}, {"train": "x"}) != base
    assert config({"lr": 0.1, "seed": 2}, {"train": "y"}) != base
