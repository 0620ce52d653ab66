"""Read labelled sequences from Parquet or FASTA files, the formats of the Nucleotide Transformer's benchmark tasks.

A Parquet file has the columns sequence, label and task. The header of an entry in a FASTA file is ``>name|label|task``.
If the header has no task, or the Parquet file no column task, the task is the name of the file's folder. A class
combines task and label, ``TASK:LABEL``; a part with ``where: {task: [TASK]}`` is one task alone.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.sequence_images import NO_BASE, SequenceImages, codes_of
from workflow_scripts.timecat.images.datasets.settings import DataSetSettings, needed
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.settings import LEFT_OUT, settings

Row = tuple[str, str, str, str]  # location, sequence, label, task
FASTA = (".fa", ".fna", ".fasta")


@settings
class SequencesSettings(DataSetSettings):
    """Settings of sequences in files.

    train, evaluation: file names below the root, or patterns such as ``*/train.fna``. length: maximum number of bases.
    """

    kind: Literal["sequences"]
    root: str
    train: tuple[str, ...]
    evaluation: tuple[str, ...] | None = LEFT_OUT
    length: int


def sequences_split(settings: SequencesSettings, split: str) -> Split:
    """Return one split of a data set of sequences, with rows ordered by file name and then as in the file.

    The classes are the pairs of task and label in the training rows, sorted by task and label; integer labels are
    sorted as numbers. Raise UserError with file and row for missing values, a sequence that is too long, or a letter
    that is not a base.
    """
    trained = _read(settings, "train", settings.train)
    found = trained if split == "train" else _read(settings, "evaluation", needed(settings.evaluation, "evaluation"))
    names = sorted(
        {(task, label) for *_, label, task in trained}, key=lambda name: (name[0], _number(name[1]), name[1])
    )
    numbers = {name: number for number, name in enumerate(names)}
    for where, _, label, task in found:
        if (task, label) not in numbers:
            raise UserError(
                f"{where}: label {label!r} of task {task!r} has no training row; add training rows with this "
                "label to the files of `train`, or remove the row"
            )
    return Split(
        images=SequenceImages([sequence for _, sequence, *_ in found], settings.length),
        labels=np.array([numbers[task, label] for *_, label, task in found], np.int64),
        class_names=[f"{task}:{label}" for task, label in names],
        sources=[where for where, *_ in found],
        groups={
            "task": np.array([task for *_, task in found]),
            "length": np.array([len(sequence) for _, sequence, *_ in found], np.int64),
        },
    )


def _number(label: str) -> float:
    return int(label) if label.isdecimal() else np.inf


def _read(settings: SequencesSettings, split: str, names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Return (location, sequence, label, task) of every row of a split, and check each sequence."""
    root, length, found = Path(settings.root), settings.length, []
    for path in _files(root, names, split):
        rows = list(_parquet_rows(path) if path.suffix == ".parquet" else _fasta_rows(path))
        if not rows:
            raise UserError(f"{path} has no sequences; add some, or remove the file from `{split}`")
        for place, sequence, label, task in rows:
            _check(f"{path}, {place}", sequence, length)
            found.append((f"{path.relative_to(root)}, {place}", sequence, label, task))
    return found


def _files(root: Path, names: Sequence[str], split: str) -> list[Path]:
    """Return the files that match the names and patterns, sorted and without duplicates."""
    found = set()
    for name in names:
        files = {path for path in root.glob(name) if path.is_file()}
        if not files:
            raise UserError(f"{root / name}: no such file; correct `root` or `{split}`")
        found |= files
    return sorted(found)


def _check(where: str, sequence: str, length: int) -> None:
    codes = codes_of(sequence)
    if not len(codes):
        raise UserError(f"{where}: the sequence is empty; remove the row")
    if len(codes) > length:
        raise UserError(
            f"{where}: the sequence has {len(codes)} bases, but `length` is {length}; raise `length`, or shorten "
            "the sequence"
        )
    if len(places := np.flatnonzero(codes == NO_BASE)):
        place = int(places[0])
        raise UserError(
            f"{where}: {sequence[place]!r} at base {place + 1} is none of A, C, G, T, N; write N for an unknown base"
        )


def _parquet_rows(path: Path) -> Iterator[Row]:
    """Yield (location, sequence, label, task) of each row of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet ({error}); repair or replace the file") from None
    if missing := [name for name in ("sequence", "label") if name not in table.column_names]:
        raise UserError(
            f"{path} has no column {missing[0]!r}, only {', '.join(table.column_names) or 'none'}; rename or add "
            "the column"
        )
    rows = len(table)
    tasks = table["task"].to_pylist() if "task" in table.column_names else [path.parent.name] * rows
    columns = zip(table["sequence"].to_pylist(), table["label"].to_pylist(), tasks, strict=True)
    for row, values in enumerate(columns):
        if None in values:
            name = ("sequence", "label", "task")[values.index(None)]
            raise UserError(f"{path}, row {row}: {name} is empty; fill it in or remove the row")
        sequence, label, task = map(str, values)
        yield f"row {row}", sequence, label, task


def _fasta_rows(path: Path) -> Iterator[Row]:
    """Yield (location, sequence, label, task) of each entry of a FASTA file.

    The location names the line of the entry's header, counted from 1.
    """
    head: tuple[str, str, str] | None = None
    parts: list[str] = []
    for number, line in _lines(path):
        if line.startswith(">"):
            if head is not None:
                yield (*head[:1], "".join(parts), *head[1:])
            head, parts = _head(path, number, line), []
        elif line and head is None:
            raise UserError(
                f"{path}, line {number}: there is no header before this line; begin the file with >name|label|task"
            )
        else:
            parts.append(line)
    if head is not None:
        yield (*head[:1], "".join(parts), *head[1:])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text without surrounding white space) for each line of a FASTA file."""
    name = path.name.removesuffix(".gz")
    if not name.endswith(FASTA):
        raise UserError(
            f"{path} is neither .parquet nor FASTA ({', '.join(FASTA)}, each also .gz); rename or convert the file"
        )
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="latin-1") as stream:
            for number, line in enumerate(stream, 1):
                yield number, line.strip()
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({error}); repair or replace the file") from None


def _head(path: Path, number: int, line: str) -> tuple[str, str, str]:
    """Return (location, label, task) from the header of a FASTA entry."""
    fields = [field.strip() for field in line[1:].split("|")]
    if len(fields) == 2:
        fields.append(path.parent.name)
    if len(fields) != 3 or not all(fields[1:]):
        raise UserError(f"{path}, line {number}: the header is {line!r}; write >name|label|task")
    return f"line {number}", fields[1], fields[2]
