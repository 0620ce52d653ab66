"""Compare artifacts with what their sidecars record: the digest of the content, and the digests of their inputs."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.artifacts.digests import array_digest, digest, file_sha256
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, sidecar_path
from workflow_scripts.timecat.artifacts.tensor_files import weights_digest

INDEX = ".index.parquet"
# Recorded inputs that are not artifacts of a rule: class names of a probed data set, and published files, whose digest
# is a param of their import.
NO_ARTIFACT = frozenset({"probed_classes", "file", "archive"})


def content_of(artifact: str) -> str:
    """Return the digest of an artifact's content, as its sidecar should record it.

    OSError or ValueError if the artifact cannot be read.
    """
    for ending, digest_of in READERS.items():
        if artifact.endswith(ending):
            return digest_of(Path(artifact))
    return _features(Path(artifact)) if Path(artifact).is_dir() else file_sha256(artifact)


def differs(artifact: str) -> str | None:
    """Return what is wrong with an artifact that has a sidecar, or None if its content is the recorded one."""
    try:
        recorded = read_sidecar(artifact)["content"]
        found = content_of(artifact)
    except Exception as error:  # each kind of file has other errors, and each error is an answer
        return f"{artifact} cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
    return None if found == recorded else f"the content of {artifact} is not what its sidecar records"


def stale_input(artifact: str, inputs: Iterable[str]) -> str | None:
    """Return the first recorded input of an artifact whose digest none of the present inputs has, or None.

    inputs: paths of the inputs of its job; those without a sidecar count by their bytes.
    """
    known = {found for path in inputs for found in _digests_of(path)}
    return next((name for name, recorded in _leaves(read_sidecar(artifact)["inputs"]) if recorded not in known), None)


def has_sidecar(path: str) -> bool:
    """Return whether an artifact has a sidecar."""
    return sidecar_path(path).is_file()


def _digests_of(path: str) -> Iterator[str]:
    """Yield the digests by which sidecars of dependents record a file: its content's, and those of a folder's files."""
    if path.endswith(INDEX) and Path(path).is_file():
        yield file_sha256(path)
    if has_sidecar(path):
        sidecar = read_sidecar(path)
        yield sidecar["content"]
        yield from sidecar.get("files", {}).values()


def _leaves(recorded: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, digest) for each digest in a sidecar's inputs."""
    if isinstance(recorded, Mapping):
        for key, value in recorded.items():
            if key not in NO_ARTIFACT:
                yield from _leaves(value, key)
    elif isinstance(recorded, list):
        for value in recorded:
            yield from _leaves(value, name)
    elif recorded is not None:
        yield name, str(recorded)


def _beton(path: Path) -> str:
    import pyarrow.parquet

    from workflow_scripts.timecat.images.ffcv.writer import content_digest

    index = pyarrow.parquet.read_table(path.with_suffix("").with_name(path.stem + INDEX))
    return digest([content_digest(path), digest({name: index[name].to_pylist() for name in index.column_names})])


def _weights(path: Path) -> str:
    import safetensors.torch

    return weights_digest(safetensors.torch.load_file(path))


def _heads(path: Path) -> str:
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        return digest([json.loads((file.metadata() or {})["timecat"]), _weights(path)])


def _state(path: Path) -> str:
    return digest(path.read_bytes())


def _predictions(path: Path) -> str:
    import numpy as np
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    # Text was written from an array of fixed width, but is read as objects.
    plain = {name: np.array(found.tolist()) if found.dtype == object else found for name, found in columns.items()}
    return digest({name: digest(found.tobytes()) for name, found in plain.items()})


def _features(folder: Path) -> str:
    import numpy as np

    files = sorted(folder.glob("*.npy"))
    return digest({path.name: array_digest(np.load(path, mmap_mode="r")) for path in files})


# Functions by the ending of the name; longer endings come first.
READERS: dict[str, Callable[[Path], str]] = {
    ".beton": _beton,
    ".heads.safetensors": _heads,
    ".safetensors": _weights,
    ".state.pt": _state,
    ".predictions.parquet": _predictions,
}
