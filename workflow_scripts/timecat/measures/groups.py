"""Groups of a data set's evaluation rows, and the segments that they and their intersections make.

A grouping gives every row one group. The groupings of a data set are the group columns of its index; where none has two
groups, the class, its superclass (where classes are named by paths: the folder that the class's lies in, as in
iNaturalist) and how many training rows the class has (in thirds of the classes).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow

OWN_COLUMNS = ("row", "label", "class_name", "source")  # of an index; all others are group columns
FREQUENCIES = ("rare", "middle", "frequent")


@dataclass(frozen=True)
class Grouping:
    """``codes``: the group of each row, int [N], from 0 on; ``values``: what each group is called."""

    name: str
    codes: np.ndarray
    values: list[str]


@dataclass(frozen=True)
class Segments:
    """All rows (segment 0), groups, and intersections of groups, each of rows enough.

    member: positions of rows, int [M], and segment: which each is in, int [M], ascending. Of each of S segments: sizes
    (rows), depth (how many groups are intersected; 0 for all rows) and names.
    """

    member: np.ndarray
    segment: np.ndarray
    sizes: np.ndarray
    depth: np.ndarray
    names: list[str]

    @property
    def starts(self) -> np.ndarray:
        """Where each segment begins in ``member``."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def groups(self) -> int:
        """How many groups count."""
        return int((self.depth == 1).sum())


def groupings(evaluation_index: "pyarrow.Table", train_index: "pyarrow.Table") -> list[Grouping]:
    """The groupings of a data set's evaluation rows. Both: pyarrow tables; train_index: of its probe's training rows."""
    columns = [name for name in evaluation_index.column_names if name not in OWN_COLUMNS]
    if found := _several([grouping(name, evaluation_index[name]) for name in columns]):
        return found
    names, labels = evaluation_index["class_name"].to_pylist(), evaluation_index["label"].to_numpy()
    found = [grouping("class", evaluation_index["class_name"])]
    if all("/" in str(name) for name in names):
        found.append(grouping("superclass", [name.rpartition("/")[0] for name in names]))
    found.append(by_frequency(labels, train_index["label"].to_numpy()))
    return _several(found)


def _several(found: list[Grouping]) -> list[Grouping]:
    """Those with more than one group; a part of a data set often has columns with one value."""
    return [one for one in found if len(one.values) > 1]


def grouping(name: str, values: Iterable[object]) -> Grouping:
    """A grouping by a column; a null is a group like others."""
    import pyarrow

    column = values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else pyarrow.array(values)
    encoded = column.dictionary_encode("encode")
    return Grouping(name, encoded.indices.to_numpy(), [str(value) for value in encoded.dictionary.to_pylist()])


def by_frequency(labels: np.ndarray, train_labels: np.ndarray) -> Grouping:
    """Rows by how many training rows their class has: up to the first third of classes, up to the second, more.

    Classes with equally many are in one group, so that there are fewer groups where many have.
    """
    classes, counts = np.unique(train_labels, return_counts=True)
    of_label = np.zeros(max(int(np.max(labels)), int(classes.max())) + 1, np.int64)
    of_label[classes] = counts
    edges = np.quantile(counts, [1 / 3, 2 / 3], method="inverted_cdf")
    place = np.searchsorted(edges, of_label[labels], side="left")
    present, codes = np.unique(place, return_inverse=True)
    return Grouping("training rows", codes, [FREQUENCIES[place] for place in present])


def make_segments(rows: int, of: list[Grouping], minimum_rows: int, depth: int) -> Segments:
    """Segments of N rows: all of them, groups, and intersections of up to ``depth`` groups of different groupings.

    Those with fewer than ``minimum_rows`` rows are left out, all rows never.
    """
    members, sizes, depths, names = [np.arange(rows)], [np.array([rows])], [np.zeros(1, np.int64)], ["all rows"]
    for number in range(1, depth + 1):
        for chosen in itertools.combinations(of, number):
            codes = np.zeros(rows, np.int64)
            for one in chosen:
                codes = codes * len(one.values) + one.codes
            present, cells, counts = np.unique(codes, return_inverse=True, return_counts=True)
            enough = counts >= minimum_rows
            order = np.argsort(cells, kind="stable")
            members.append(order[enough[cells[order]]])
            sizes.append(counts[enough])
            depths.append(np.full(enough.sum(), number))
            names += [_name(chosen, code) for code in present[enough].tolist()]
    all_sizes = np.concatenate(sizes)
    segment = np.repeat(np.arange(len(all_sizes)), all_sizes)
    return Segments(np.concatenate(members), segment, all_sizes, np.concatenate(depths), names)


def _name(chosen: Sequence[Grouping], code: int) -> str:
    """What an intersection is called, from its code."""
    parts = []
    for one in reversed(chosen):
        code, own = divmod(code, len(one.values))
        parts.append(f"{one.name}={one.values[own]}")
    return " & ".join(reversed(parts))
