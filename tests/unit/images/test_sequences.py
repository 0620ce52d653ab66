"""Test sequences stored as images: the reader returns every base, file formats agree, and mistakes are refused."""

import gzip

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
import yaml

from tests.support.images import read_split
from tests.support.settings import backbone
from workflow_scripts.timecat.backbones.build import build_backbone
from workflow_scripts.timecat.backbones.sequence_residual import one_hot, within
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images import views
from workflow_scripts.timecat.images.datasets.sequence_images import SequenceImages
from workflow_scripts.timecat.images.ffcv.reader import batches
from workflow_scripts.timecat.images.ffcv.writer import write_beton
from workflow_scripts.timecat.images.sequence_square import side_of

STUDY = """
backbone: small
source: bases
targets: [bases, first]
data_sets:
  bases: {kind: motifs, length: 52, rows: {train: 60, evaluation: 30}}
  first: {kind: part, of: bases, where: {task: [single]}}
  cues: {kind: cues, rows: {train: 60, evaluation: 30}}
backbones:
  small: {architecture: sequence_residual, width: 4}
  images: {architecture: small_residual}
pretrain: {seeds: [1, 2]}
arms:
  - {name: cat1, members: 1, steps: 8}
"""


def config(old: str = "", new: str = ""):
    assert not old or STUDY.count(old) == 1
    return read_config(yaml.safe_load(STUDY.replace(old, new) if old else STUDY), [])


def message(old: str, new: str) -> str:
    """Return the error message for STUDY with one text replaced."""
    with pytest.raises(UserError) as caught:
        config(old, new)
    return str(caught.value).removeprefix("config: ")


# --- encoding as images and decoding ---


def expected(sequences: list[str], bases: int) -> np.ndarray:
    """Return the one-hot encoding float32 [rows, 4, bases], computed letter by letter."""
    found = np.zeros((len(sequences), 4, bases), np.float32)
    for row, sequence in enumerate(sequences):
        for place, base in enumerate(sequence.upper()):
            if base in "ACGT":
                found[row, "ACGT".index(base), place] = 1
    return found


def random_sequences(rows: int, longest: int) -> list[str]:
    random = np.random.default_rng(3)
    return ["".join(random.choice(list("ACGTNacgtn"), random.integers(1, longest + 1))) for _ in range(rows)]


@pytest.mark.parametrize("length", [52, 64, 65])
@pytest.mark.parametrize("view", [views.CENTER, 0])
def test_the_reader_returns_every_base_of_a_sequence(tmp_path, length, view):
    """Pretraining and extraction read sequences through a .beton and FFCV, in the centre view or a random view."""
    sequences = random_sequences(40, length) + ["ACGT" * 13, "A" * length]
    images = SequenceImages(sequences, length)
    samples = [(images[row], row) for row in range(len(images))]
    write_beton(tmp_path / "x.beton", samples, {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 100})
    transform = config("length: 52", f"length: {length}").data_sets["first"].transform
    assert transform.size == side_of(length) == int(np.ceil(np.sqrt(length)))
    transform = transform.settings()
    rows = np.arange(len(samples))[::-1]
    key = views.view_key(0, "bases", view)
    for batch, pixels, _ in batches(tmp_path / "x.beton", rows, 16, transform, key, workers=2):
        found = one_hot(views.normalise(pixels, transform))
        wanted = expected([sequences[row] for row in batch], side_of(length) ** 2)
        assert found.dtype == torch.float32 and np.array_equal(found.numpy(), wanted)


def test_one_hot_is_exact_in_bf16():
    images = torch.from_numpy(SequenceImages(["ACGTN"], 9)[0]).permute(2, 0, 1)[None] / 255
    assert torch.equal(one_hot(images.bfloat16()).float(), torch.from_numpy(expected(["ACGTN"], 9)))


def as_input(sequences: list[str], length: int) -> torch.Tensor:
    images = SequenceImages(sequences, length)
    pixels = np.stack([images[row] for row in range(len(images))])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def test_within_masks_positions_after_the_last_base():
    found = within(one_hot(as_input(["ACGNNT", "NNA", "ANN", "NNN"], 9)))
    assert found.int().sum(dim=(1, 2)).tolist() == [6, 3, 1, 0]
    assert found[0, 0].tolist() == [1] * 6 + [0] * 3


# --- the backbone ---


def test_features_do_not_depend_on_the_padding_after_a_sequence():
    """Batch norms get random statistics and weights, as after training, so that padding is not zero by itself."""
    torch.manual_seed(0)
    model = build_backbone(backbone("sequence_residual", width=4, blocks=2, motif=7, kernel=3)).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.normal_(layer.bias)
    # Some sequences fill the smaller square, so that they have zero padding only in the larger one.
    sequences = [text for text in random_sequences(30, 49) if text.upper().strip("N")] + ["ACGTTCA" * 7, "GGATTCA" * 7]
    with torch.no_grad():
        found, roomier = (model(as_input(sequences, length)) for length in (49, 120))
    assert found.shape == (len(sequences), 16) and model.dimension == 16
    assert (found.std(dim=0) > 0).sum() >= 8, "most features tell sequences apart"
    torch.testing.assert_close(found, roomier, rtol=1e-5, atol=1e-6)


def test_a_reversed_sequence_has_different_features():
    """The test also checks that the last batch norm of each of the two blocks is found."""
    from workflow_scripts.timecat.backbones.initialisation import last_batch_norms

    torch.manual_seed(0)
    model = build_backbone(backbone("sequence_residual", width=8, blocks=2, motif=9, kernel=5)).eval()
    assert len(last_batch_norms(model)) == 2
    forwards, backwards = model(as_input(["ACCGTTGCATTGCA" * 2], 36)), model(as_input(["ACGTTACGTTGCCA" * 2], 36))
    assert not torch.allclose(forwards, backwards)


# --- the config ---


def test_a_part_has_the_size_and_views_of_its_parent_data_set():
    found = config().data_sets
    assert found["bases"].transform.size == found["first"].transform.size == 8
    assert found["bases"].views == found["first"].views == ["center"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("length: 52", "length: 40", "`data_sets.bases.length` is 40; it must be at least 50."),
        (
            "length: 52",
            "length: 52, transform: {size: 8}",
            "`data_sets.bases.transform`: sequences have no transform and a single view; remove the key.",
        ),
        (
            "length: 52",
            "length: 52, views: 2",
            "`data_sets.bases.views`: all views of a sequence are the same; write [center] or remove the key.",
        ),
        (
            "of: bases",
            "of: bases, transform: {size: 8}",
            "`data_sets.first.transform`: sequences have no transform and a single view; remove the key.",
        ),
        (
            "targets: [bases, first]",
            "targets: [bases, cues]",
            "`backbones.small.architecture`: sequence_residual reads sequences, and 'cues' has images; choose another "
            "architecture or data set.",
        ),
        (
            "width: 4",
            "width: 4, motif: 8",
            "`backbones.small.motif`: 8 is even and must be odd; use 9, for example.",
        ),
        (
            "width: 4",
            "widht: 4",
            "`backbones.small.widht` is not a key; did you mean `width`? Allowed: pretrain, checkpoints, architecture, width, blocks, "
            "motif, kernel.",
        ),
    ],
)
def test_mistakes_in_the_config_are_refused(old, new, sentence):
    assert message(old, new) == sentence


def test_a_network_for_images_can_read_sequences():
    assert config("backbone: small", "backbone: images").backbone == "images"


# --- files ---


def settings(root, length: int = 12, **files) -> dict:
    return {"kind": "sequences", "root": str(root), "length": length} | files


def write_parquet(path, sequences, labels, tasks=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"sequence": sequences, "name": ["x"] * len(sequences), "label": labels}
    pyarrow.parquet.write_table(pyarrow.table(columns | ({"task": tasks} if tasks else {})), path)
    return path


def letters(split) -> list[str]:
    """Return the sequences of a split, decoded from its images."""
    return [
        "".join("ACGT"[base] for base in found.argmax(axis=0)[: int(found.sum())])
        for found in one_hot(
            torch.stack([torch.from_numpy(split[row][0]) for row in range(len(split))]).permute(0, 3, 1, 2) / 255
        )
    ]


def test_parquet_and_fasta_files_give_equal_splits(tmp_path):
    """The task is the folder's name, a column or in the header. Files may be compressed; lines may have any length."""
    rows = [("ACGT", 10, "b"), ("CCCG", 2, "b"), ("TTTTA", 0, "a"), ("GA", 2, "b")]
    write_parquet(tmp_path / "all.parquet", *map(list, zip(*rows, strict=True)))
    (tmp_path / "all.fna").write_text(
        "".join(f">s|{label}|{task}\n{text[:3]}\n{text[3:]}\n\n" for text, label, task in rows)
    )
    (tmp_path / "all.fa.gz").write_bytes(gzip.compress((tmp_path / "all.fna").read_bytes()))
    for task in "ab":
        own = [(text, label) for text, label, of in rows if of == task]
        write_parquet(tmp_path / task / "train.parquet", *map(list, zip(*own, strict=True)))
        (tmp_path / task / "train.fasta").write_text("".join(f">s|{label}\n{text}\n" for text, label in own))
    for files in (["all.parquet"], ["all.fna"], ["all.fa.gz"], ["*/train.parquet"], ["b/train.fasta", "a/train.fasta"]):
        split = read_split(settings(tmp_path, train=files), "train")
        assert split.class_names == ["a:0", "b:2", "b:10"], "labels that are numbers are sorted as numbers"
        named = [split.class_names[label] for label in split.labels]
        assert sorted(zip(letters(split), named, split.groups["task"].tolist(), strict=True)) == sorted(
            (text, f"{task}:{label}", task) for text, label, task in rows
        )
        assert split.groups["length"].tolist() == [len(text) for text in letters(split)]


def test_classes_come_from_the_training_rows(tmp_path):
    write_parquet(tmp_path / "train.parquet", ["A", "C", "G"], [0, 1, 2], ["t"] * 3)
    write_parquet(tmp_path / "test.parquet", ["T", "G"], [2, 0], ["t"] * 2)
    found = read_split(settings(tmp_path, train=["train.parquet"], evaluation=["test.parquet"]), "evaluation")
    assert found.class_names == ["t:0", "t:1", "t:2"] and found.labels.tolist() == [2, 0]
    assert found.sources == ["test.parquet, row 0", "test.parquet, row 1"]
    write_parquet(tmp_path / "test.parquet", ["T", "G"], [2, 7], ["t"] * 2)
    with pytest.raises(
        UserError, match=r"test.parquet, row 1: label '7' of task 't' has no training row; add training"
    ):
        read_split(settings(tmp_path, train=["train.parquet"], evaluation=["test.parquet"]), "evaluation")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "x.fna",
            ">s|0|t\nACGT\n>s|1|t\nACGTACGTACGTA\n",
            "x.fna, line 3: the sequence has 13 bases, but `length` is 12; ",
        ),
        ("x.fna", ">s|0|t\nACXT\n", "x.fna, line 1: 'X' at base 3 is none of A, C, G, T, N; write N for an unknown"),
        ("x.fna", ">s|0|t\n>s|1|t\nA\n", "x.fna, line 1: the sequence is empty; remove the row"),
        ("x.fna", "ACGT\n", "x.fna, line 1: there is no header before this line; begin the file with >name|label|task"),
        ("x.fna", ">s 0 t\nA\n", "x.fna, line 1: the header is '>s 0 t'; write >name|label|task"),
        ("x.fna", "", "x.fna has no sequences; add some, or remove the file from `train`"),
        (
            "x.txt",
            "A",
            "x.txt is neither .parquet nor FASTA (.fa, .fna, .fasta, each also .gz); rename or convert the file",
        ),
        ("x.parquet", "A", "x.parquet cannot be read as Parquet ("),
        ("x.fa.gz", "A", "x.fa.gz cannot be read ("),
        ("y.fna", "A", "x.fna: no such file; correct `root` or `train`"),
    ],
)
def test_mistakes_in_files_are_refused_with_file_and_line(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        read_split(settings(tmp_path, train=["x.fna" if name == "y.fna" else name]), "train")
    assert str(caught.value).startswith(f"{tmp_path}/{sentence}") and str(caught.value).count("\n") == 0


def test_mistakes_in_parquet_files_are_refused_with_row_or_column(tmp_path):
    def refused() -> str:
        with pytest.raises(UserError) as caught:
            read_split(settings(tmp_path, train=["x.parquet"]), "train")
        return str(caught.value).removeprefix(f"{tmp_path}/")

    write_parquet(tmp_path / "x.parquet", ["A", "C", None], [0, 1, 1], ["t"] * 3)
    assert refused() == "x.parquet, row 2: sequence is empty; fill it in or remove the row"
    write_parquet(tmp_path / "x.parquet", ["A", "AC-"], [0, 1], ["t"] * 2)
    assert refused().startswith("x.parquet, row 1: '-' at base 3 is none of A, C, G, T, N;")
    pyarrow.parquet.write_table(pyarrow.table({"sequence": ["A"], "target": [0]}), tmp_path / "x.parquet")
    assert refused() == "x.parquet has no column 'label', only sequence, target; rename or add the column"
