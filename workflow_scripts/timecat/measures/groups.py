"""Group a data set's evaluation rows, and build the segments: all rows, groups, and intersections of groups.

A grouping gives every row one group. The groupings of a data set are the group columns of its index. If none of them
has two groups, the groupings are the class, its superclass (if classes are named by paths, as in iNaturalist: the
parent folder of the class), and how many training rows the class has (in thirds of the classes).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow

OWN_COLUMNS = ("row", "label", "class_name", "source")  # all remaining columns of an index are group columns
FREQUENCIES = ("rare", "middle", "frequent")


@dataclass(frozen=True)
class Grouping:
    """Assignment of rows to groups.

    codes: group of each row, int [N], from 0 on. values: name of each group.
    """

    name: str
    codes: np.ndarray
    values: list[str]


@dataclass(frozen=True)
class Segments:
    """Segments of rows: all rows (segment 0), groups, and intersections of groups, each with enough rows.

    member: positions of rows, int [M]. segment: segment of each position, int [M], ascending. sizes, depth, names: for
    each of S segments, its number of rows, the number of groups that are intersected (0 for all rows), and its name.
    """

    member: np.ndarray
    segment: np.ndarray
    sizes: np.ndarray
    depth: np.ndarray
    names: list[str]

    @property
    def starts(self) -> np.ndarray:
        """Position in ``member`` at which each segment begins, int [S]."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def groups(self) -> int:
        """Number of segments that are groups (not intersections)."""
        return int((self.depth == 1).sum())


def groupings(evaluation_index: "pyarrow.Table", train_index: "pyarrow.Table") -> list[Grouping]:
    """Return the groupings of a data set's evaluation rows.

    train_index: index of the training rows of the data set's probe.
    """
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
    """Return the groupings with more than one group. Part of a data set often has columns with a single value."""
    return [one for one in found if len(one.values) > 1]


def grouping(name: str, values: Iterable[object]) -> Grouping:
    """Return the grouping by the values of a column; rows with a null are a group, too."""
    import pyarrow

    column = values.combine_chunks() if isinstance(values, pyarrow.ChunkedArray) else pyarrow.array(values)
    encoded = column.dictionary_encode("encode")
    return Grouping(name, encoded.indices.to_numpy(), [str(value) for value in encoded.dictionary.to_pylist()])


def by_frequency(labels: np.ndarray, train_labels: np.ndarray) -> Grouping:
    """Return the grouping of rows by how many training rows their class has: rare, middle or frequent, in thirds.

    Each group has a third of the classes. Classes with the same number of training rows are in one group, so there
    may be fewer groups.
    """
    classes, counts = np.unique(train_labels, return_counts=True)
    of_label = np.zeros(max(int(np.max(labels)), int(classes.max())) + 1, np.int64)
    of_label[classes] = counts
    edges = np.quantile(counts, [1 / 3, 2 / 3], method="inverted_cdf")
    place = np.searchsorted(edges, of_label[labels], side="left")
    present, codes = np.unique(place, return_inverse=True)
    return Grouping("training rows", codes, [FREQUENCIES[place] for place in present])


def make_segments(rows: int, of: list[Grouping], minimum_rows: int, depth: int) -> Segments:
    """Return the segments of N rows: all rows, groups, and intersections of up to ``depth`` groups (one per grouping).

    Segments with fewer than ``minimum_rows`` rows are left out, except for the segment of all rows.
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
    """Return the name of an intersection of groups from its code."""
    parts = []
    for one in reversed(chosen):
        code, own = divmod(code, len(one.values))
        parts.append(f"{one.name}={one.values[own]}")
    return " & ".join(reversed(parts))
