"""Make arms, data sets and cells of tables for tests, from the same JSON that a rule passes to a stage."""

import json
from pathlib import Path

import numpy as np
import pyarrow

from workflow_scripts.timecat.probing.files import write_table
from workflow_scripts.timecat.probing.selection import SELECTIONS
from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.tables.model import Arm, DataSet, Style
from workflow_scripts.timecat.tables.parameters import ArmOfNetworks
from workflow_scripts.timecat.tables.reading import selected_values


def arm_of(**described) -> Arm:
    """Return an arm as a stage parses it from JSON.

    described: keys of the arm; `transfer` is `probe` by default. With `settings`, the arm is an ArmOfNetworks.
    """
    kind = ArmOfNetworks if "settings" in described else Arm
    return json_of(kind)(json.dumps({"transfer": "probe"} | described))


def arms_of(described: list[dict]) -> list[Arm]:
    """Return several arms, each made by arm_of."""
    return [arm_of(**arm) for arm in described]


def data_sets_of(described: list[dict]) -> list[DataSet]:
    """Return data sets as a stage parses them."""
    return json_of(list[DataSet])(json.dumps(described))


def style_of(described: dict) -> Style:
    """Return the style of a figure as a stage parses it."""
    return json_of(Style)(json.dumps(described))


def write_predictions_of(path: Path, probe: pyarrow.Table, rows: int = 400) -> None:
    """Write predictions with the same accuracies as a cell's metrics.

    Predictions are correct on the first rows and wrong on the remaining rows. probe: metrics of the cell. rows: number
    of evaluation rows.
    """
    lines = []
    for selection in SELECTIONS:
        for replicate, top1 in enumerate(selected_values(probe, selection, str(path))):
            right = round(rows * top1 / 100)
            lines += [
                {"selection": selection, "replicate": replicate, "row": row, "label": 1, "predicted": int(row < right)}
                for row in range(rows)
            ]
    write_table(path, pyarrow.Table.from_pylist(lines))


class Cells:
    """Files of the cells of a table, as stages write them, and the command-line options that name them.

    Classes 0 and 1 alternate over the rows, and predictions are correct on the first rows.
    """

    def __init__(self, folder: Path, rows: int = 200, shift: int = 0):
        """Make a table without cells.

        rows: number of evaluation rows. shift: number of additional correct rows under the selection `paper`, compared
        with `holdout`.
        """
        self.folder, self.labels, self.shift = folder, np.arange(rows) % 2, shift
        self.cells: list[dict] = []
        self.references: list[dict] = []

    def add(
        self, arm: str, data_set: str, replicates: dict[tuple[int, ...], float | list[int]], kind: str = ""
    ) -> None:
        """Write the files of one cell.

        kind: kind of reference (such as a floor), or empty for an arm. replicates: seeds of a replicate -> percentage
        of correct rows, or a flag (1 if correct) for each row.
        """
        stem = self.folder / ".".join(filter(None, (kind, arm, data_set)))
        metrics, predictions = [], []
        for number, (seeds, right) in enumerate(replicates.items()):
            line = {"replicate": number, "members": list(seeds), "weight_decay": 0.1, "epoch": 1}
            for fit, split in (("full", "evaluation"), ("nine_tenths", "heldout")):
                metrics.append(line | {"fit": fit, "split": split, "top1": 50.0, "top5": 100.0, "loss": 1.0})
            for selection in SELECTIONS:
                predictions += self._lines(number, selection, right)
        predictions.sort(key=lambda line: list(SELECTIONS).index(line["selection"]))
        write_table(Path(f"{stem}.metrics"), pyarrow.Table.from_pylist(metrics))
        write_table(Path(f"{stem}.predictions"), pyarrow.Table.from_pylist(predictions))
        cell = {"arm": arm, "data_set": data_set, "files": str(stem)}
        if kind:
            self.references.append(cell | {"kind": kind, "members": len(next(iter(replicates)))})
        else:
            self.cells.append(cell)

    def _lines(self, number: int, selection: str, right: float | list[int]) -> list[dict]:
        n_rows = len(self.labels)
        if isinstance(right, list):
            hits = np.array(right, bool)
        else:
            more = self.shift if selection == "paper" else 0
            hits = np.arange(n_rows) < round(n_rows * right / 100) + more
        said = np.where(hits, self.labels, 1 - self.labels)
        return [
            {"selection": selection, "replicate": number, "row": row, "label": int(label), "predicted": int(predicted)}
            for row, (label, predicted) in enumerate(zip(self.labels, said))
        ]

    @property
    def options(self) -> list[str]:
        """Command-line options that name all cells and their files."""
        told = []
        for cells, name, files, predictions in (
            (self.cells, "cells", "probes", "predictions"),
            (self.references, "reference-cells", "references", "reference-predictions"),
        ):
            described = [{key: value for key, value in cell.items() if key != "files"} for cell in cells]
            told += [f"--{name}", json.dumps(described), f"--{files}", *(f"{cell['files']}.metrics" for cell in cells)]
            told += [f"--{predictions}", *(f"{cell['files']}.predictions" for cell in cells)]
        return told
