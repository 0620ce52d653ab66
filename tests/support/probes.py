"""Write small feature folders and index files for tests of probes, diagnostics and evaluations."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.timecat.holdout import heldout_rows
from workflow_scripts.timecat.probing.probe import EVALUATION, HELDOUT, DataSet, training_file


def data_set(classes: int = 6, train: int = 97, evaluation: int = 81) -> DataSet:
    """Return a data set with random labels, whose evaluation rows are numbered from 1000 on."""
    random = np.random.default_rng(0)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, train - classes)])
    return DataSet(
        train_labels=labels,
        evaluation_labels=random.integers(0, classes, evaluation),
        evaluation_rows=np.arange(evaluation) + 1000,
        heldout=heldout_rows(labels, seed=1, fraction=0.2),
    )


def feature_folders(path: Path, data: DataSet, widths: dict[str, int], views=("view0",), noise=1.5) -> list[Path]:
    """Write a folder of float16 features for each member, and return the folders.

    A feature is the random mean of its class, drawn separately for each member, plus noise. widths: member's name ->
    its number of features.
    """
    random = np.random.default_rng(1)
    labels = {
        EVALUATION: data.evaluation_labels,
        HELDOUT: data.train_labels[data.heldout],
        **{training_file(view): data.train_labels for view in views},
    }
    folders = []
    for name, width in widths.items():
        folders.append(path / name)
        folders[-1].mkdir(parents=True)
        means = random.normal(size=(data.classes, width))
        for file, own in labels.items():
            features = 3 + means[own] + random.normal(size=(len(own), width)) * noise
            np.save(folders[-1] / file, features.astype(np.float16))
    return folders


def write_index(path: Path, labels) -> Path:
    """Write an index file with the columns that stages read (row, label, class_name), and return its path."""
    pq.write_table(pa.table({"row": np.arange(len(labels)), "label": labels, "class_name": ["x"] * len(labels)}), path)
    return path
