"""Check artifacts: their content against the digest in their sidecar, and small files against recorded checksums."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from workflow_scripts.timecat.artifacts.digests import array_digest, digest, file_sha256
from workflow_scripts.timecat.artifacts.sidecars import read_sidecar, sidecar_path
from workflow_scripts.timecat.artifacts.tensor_files import weights_digest

INDEX = ".index.parquet"
# Rules whose sidecars record digests of something else than the artifacts that they read: class names, published files.
OTHER_INPUTS = frozenset({"write_dataset", "import_checkpoint", "download"})


def has_sidecar(path: str) -> bool:
    """Return whether an artifact has a sidecar."""
    return sidecar_path(path).is_file()


def content_error(artifact: str, rule: str) -> str | None:
    """Return what is wrong with an artifact that has a sidecar, or None if its content has the recorded digest.

    rule: name of the rule that makes it.
    """
    try:
        recorded = read_sidecar(artifact)["content"]
        found = content_of(artifact, rule)
    except Exception as error:  # each kind of file has its own errors, and each of them means that it is damaged
        return f"{artifact} or its sidecar cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
    return None if found == recorded else f"the content of {artifact} is not what its sidecar records"


def lineage_error(artifact: str, rule: str, inputs: Iterable[str]) -> str | None:
    """Return what is wrong with the inputs that a sidecar records, or None if the present inputs have these digests.

    rule: name of the rule that makes the artifact. inputs: paths that its job reads.
    """
    if rule in OTHER_INPUTS:
        return None
    try:
        known = {found for path in inputs for found in _digests_of(path)}
        recorded = read_sidecar(artifact)["inputs"]
        stale = next((name for name, found in recorded.items() if found not in known), None)
    except Exception as error:  # see content_error
        return f"the sidecar of {artifact} or of one of its inputs cannot be read ({type(error).__name__}: {error})"
    return None if stale is None else f"{artifact} was made from another {stale} than the one that is there now"


def _digests_of(path: str) -> Iterator[str]:
    """Yield the digests by which sidecars of dependents record a file: its content's, and those of a folder's files."""
    if path.endswith(INDEX):
        yield file_sha256(path)
    if has_sidecar(path):
        sidecar = read_sidecar(path)
        yield sidecar["content"]
        yield from sidecar.get("files", {}).values()


def checksum_error(path: str, recorded: str) -> str | None:
    """Return what is wrong with a small file, or None if it has the checksum that Snakemake recorded ("sha256:...")."""
    algorithm, _, hexdigest = recorded.rpartition(":")
    if algorithm not in ("", "sha256"):
        return f"the recorded checksum of {path} is of an unknown kind ({algorithm})"
    if not Path(path).is_file():
        return f"{path} is missing"
    return None if file_sha256(path) == hexdigest else f"{path} has changed since it was read"


def content_of(artifact: str, rule: str) -> str:
    """Return the digest of an artifact's content, as its sidecar should record it.

    rule: name of the rule that makes it. Raise an error of the file's format if the artifact cannot be read.
    """
    path = Path(artifact)
    if path.is_dir():
        return _features(path)
    if rule != "download":  # a download is whatever its server has, under any name
        for ending, digest_of in READERS.items():
            if artifact.endswith(ending):
                return digest_of(path)
    return file_sha256(path)


def _beton(path: Path) -> str:
    import pyarrow.parquet

    from workflow_scripts.timecat.images.ffcv.writer import content_digest

    index = pyarrow.parquet.read_table(path.with_name(path.stem + INDEX))
    return digest([content_digest(path), digest({name: index[name].to_pylist() for name in index.column_names})])


def _weights(path: Path) -> str:
    import safetensors.torch

    return weights_digest(safetensors.torch.load_file(path))


def _heads(path: Path) -> str:
    import safetensors

    with safetensors.safe_open(path, "pt") as file:
        return digest([json.loads((file.metadata() or {})["timecat"]), _weights(path)])


def _predictions(path: Path) -> str:
    import numpy as np
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    # Text was an array of fixed width when it was written, and comes back as objects.
    plain = {name: np.array(found.tolist()) if found.dtype == object else found for name, found in columns.items()}
    return digest({name: digest(found.tobytes()) for name, found in plain.items()})


def _features(folder: Path) -> str:
    import numpy as np

    files = sorted(folder.glob("*.npy"))
    return digest({path.name: array_digest(np.load(path, mmap_mode="r")) for path in files})


# By the end of the name, the longer ones first. Other files are digested by their bytes.
READERS: dict[str, Callable[[Path], str]] = {
    ".beton": _beton,
    ".heads.safetensors": _heads,
    ".safetensors": _weights,
    ".predictions.parquet": _predictions,
}
