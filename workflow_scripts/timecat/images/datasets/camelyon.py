"""Read Camelyon17 in WILDS' layout: patches of lymph nodes from five hospitals, with or without tumour.

``metadata.csv`` describes one patch per row. The official split is by hospital (``center``): hospital 1 is for
validation and hospital 2 for testing. For the other three hospitals, the column ``split`` tells whether a row is for
training (0) or for in-distribution validation (1). Source: Koh et al. 2021, "WILDS: A Benchmark of in-the-Wild
Distribution Shifts"; wilds.datasets.camelyon17_dataset.
"""

import csv
from pathlib import Path
from typing import Literal

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.file_splits import split_of_files
from workflow_scripts.timecat.images.datasets.settings import SubsetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import LEFT_OUT, settings

CLASS_NAMES = ["normal", "tumor"]
GROUPS = ("center", "slide", "node")
NUMBERS = ("node", "x_coord", "y_coord", "tumor", "slide", "center", "split")
EVALUATION_CENTERS = {"val": 1, "test": 2}  # split -> hospital, which has no training rows
TRAINING, VALIDATION = 0, 1  # values of the column split


@settings
class CamelyonSettings(SubsetSettings):
    """Settings of Camelyon17."""

    kind: Literal["camelyon17"]
    evaluation_split: Literal["id_val", "val", "test"] | None = LEFT_OUT


def camelyon_split(settings: CamelyonSettings, split: str) -> Split:
    """Return one split of Camelyon17, with rows in the order of ``metadata.csv``."""
    path = Path(settings.root) / "metadata.csv"
    patients, columns = read_metadata(path)
    wanted = "train" if split == "train" else needed(settings.evaluation_split, "evaluation_split")
    rows = np.flatnonzero(rows_of_split(columns, wanted))
    if not len(rows):
        raise UserError(f"{path} has no row of split {wanted}; download the data set again")
    patients = [patients[row] for row in rows]
    columns = {name: values[rows] for name, values in columns.items()}
    outside = np.flatnonzero((columns["tumor"] < 0) | (columns["tumor"] >= len(CLASS_NAMES)))
    if len(outside):
        first = outside[0]
        raise UserError(f"{path}: tumor is {columns['tumor'][first]} in row {rows[first]}; it must be 0 or 1")
    places = (columns[name].tolist() for name in ("node", "x_coord", "y_coord"))
    return split_of_files(
        [patch_name(patient, *place) for patient, *place in zip(patients, *places, strict=True)],
        columns["tumor"],
        CLASS_NAMES,
        settings,
        split,
        groups={name: columns[name] for name in GROUPS},
    )


def read_metadata(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the patients (text, because their numbers begin with zeros) and the columns in NUMBERS (int64 [rows])."""
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("patient", *NUMBERS) if name not in (reader.fieldnames or [])]
            if missing:
                raise UserError(f"{path} has no column {missing[0]}; use the metadata.csv that WILDS distributes")
            patients, values = [], []
            for row in reader:
                patients.append(row["patient"])
                values.append([int(row[name]) for name in NUMBERS])
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}; correct the data set's `root` in the config, or put the file there"
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: row {len(values)} is invalid ({error}); download the file again") from None
    table = np.array(values, np.int64).reshape(-1, len(NUMBERS))
    return patients, dict(zip(NUMBERS, table.T, strict=True))


def rows_of_split(columns: dict[str, np.ndarray], wanted: str) -> np.ndarray:
    """Return which rows belong to the split ``wanted`` (train, id_val, val or test), bool [rows]."""
    if wanted in EVALUATION_CENTERS:
        return columns["center"] == EVALUATION_CENTERS[wanted]
    elsewhere = ~np.isin(columns["center"], list(EVALUATION_CENTERS.values()))
    return elsewhere & (columns["split"] == (TRAINING if wanted == "train" else VALIDATION))


def patch_name(patient: str, node: int, x: int, y: int) -> str:
    """Return the path of a patch's image file, relative to the data set's root."""
    case = f"patient_{patient}_node_{node}"
    return f"patches/{case}/patch_{case}_x_{x}_y_{y}.png"
