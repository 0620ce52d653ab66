"""The typed config of data sets: for each kind its files, the storage of its images and their transform to inputs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from workflow_scripts.timecat.config.blocks import (
    Block,
    FilePath,
    Fraction,
    Grid,
    Name,
    PositiveInt,
    Probability,
    Seed,
    Share,
    Text,
    Views,
    WithoutRepeats,
)
from workflow_scripts.timecat.config.transforms import (
    CifarTransform,
    PhotoTransform,
    SequenceTransform,
    Transform,
)
from workflow_scripts.timecat.images.sequence_square import SHORTEST, side_of

Percent = Annotated[int, Field(ge=1, le=100)]


class Storage(Block):
    """Storage of image files in a .beton file. Images larger than the given sides are reduced; no image is enlarged."""

    write_mode: Literal["jpg", "raw"] = Field(
        "jpg", description="format of the stored images: `jpg` (JPEG) or `raw` (uncompressed pixels)"
    )
    longest_side: PositiveInt | None = Field(
        500, description="longest side in pixels to which larger images are resized (null: no limit)"
    )
    shortest_side: PositiveInt | None = Field(
        None,
        description="shortest side in pixels to which larger images are resized, as by torchvision's Resize (null: no "
        "limit)",
    )
    quality: Percent = Field(
        95,
        description="JPEG quality (1 to 100) of images that have to be encoded; JPEG files that need no change are "
        "copied",
    )


class RawStorage(Storage):
    """Defaults of `storage` for small images: uncompressed pixels at their original size."""

    write_mode: Literal["jpg", "raw"] = Field("raw", description=Storage.model_fields["write_mode"].description)
    longest_side: PositiveInt | None = Field(None, description=Storage.model_fields["longest_side"].description)


LATER = {"title", "transform", "views", "weight_decays", "download"}  # keys that do not affect stored images
OF_THE_OTHER = {
    "train": {"evaluation_split", "evaluation"},
    "evaluation": {"fraction", "balanced", "draws", "train_split"},
}
DRAWS = 5  # default number of draws of a few-shot data set on which no backbone is pretrained


@dataclass(frozen=True)
class KnownRows:
    """Numbers of rows and classes of a data set that are known without its files.

    train: training rows of one draw. origin: source of the numbers. by_class: training rows of each class, if known.
    of_all_draws: rows that are in at least one draw, if there are several draws.
    """

    train: int
    evaluation: int
    classes: int
    origin: Literal["config", "published"]
    by_class: Sequence[int] | None = None
    of_all_draws: int | None = None


def rows_of_all_draws(whole: int, rows: int, draws: int) -> int:
    """Estimate the number of rows that are in at least one of several draws.

    whole: number of rows of the data set. rows: number of rows of each draw. draws: number of draws. Draws do not
    overlap until all rows are used; for further draws the result is an expected number (sampling.rows_of_each_class).
    """
    left, fit = 1.0, whole // rows  # left: share of the rows in no draw; fit: number of draws without overlap
    while draws > 0:
        left *= 1 - min(draws, fit) * rows / whole
        draws -= fit
    return round(whole * (1 - left))


@dataclass(frozen=True)
class KnownImage:
    """Typical image of a data set, known without its files.

    width, height: sides in pixels. jpeg: mean number of bytes if the data set is published as JPEG files, else None.
    """

    width: int
    height: int
    jpeg: int | None = None

    @classmethod
    def square(cls, side: int) -> Self:
        """Return a square image whose side is ``side`` pixels."""
        return cls(side, side)


class AnyKind(Block):
    """Base class of the blocks of all kinds of data sets."""

    @property
    def may_download(self) -> bool:
        """Whether the files of the data set may be downloaded."""
        return False

    @property
    def number_of_classes(self) -> int | None:
        """Number of classes, or None if it is unknown without the files."""
        return None

    @property
    def known_rows(self) -> KnownRows | None:
        """Numbers of rows that `make plan` can use without the files, or None."""
        return None

    @property
    def known_image(self) -> KnownImage | None:
        """Typical image that `make plan` can use without the files, or None."""
        return None

    @property
    def number_of_draws(self) -> int:
        """Number of draws of the training rows; replicate r uses draw r modulo this number."""
        return 1

    @property
    def is_listed(self) -> bool:
        """Whether the reader lists image files without opening them, so that `make plan` can count them."""
        return False

    def of_split(self, split: str) -> dict[str, Any]:
        """Return the keys that determine the stored images of one split.

        Keys that do not affect these images are left out, so that a change of them does not write the split again:
        keys that later stages use, keys that only the other split needs, and keys of random draws without effect.
        """
        return self.model_dump(exclude=LATER | OF_THE_OTHER[split] | self.undrawn(split))

    def undrawn(self, split: str) -> set[str]:
        """Return the keys of random draws that have no effect on a split."""
        return set()

    def in_folder(self, folder: str | None) -> Self:
        """Return the block with `root` inside a folder; without a root or a folder, return the block unchanged."""
        return self


class WithRoot(AnyKind):
    """Base class for data sets whose files are in a folder.

    (Each subclass declares `root`, so that the key has the right position in the table of keys.)
    """

    if TYPE_CHECKING:
        root: str

    def in_folder(self, folder: str | None) -> Self:
        return self if folder is None else self.model_copy(update={"root": os.path.join(folder, self.root)})


class DataSet(AnyKind):
    """Keys of every data set that has training rows."""

    HEADING: ClassVar = "any kind but `evaluation_folder`"

    title: str | None = Field(
        None, description="name of the data set in tables and figures (default: its key in `data_sets`)"
    )
    transform: Transform = Field(
        Transform(),
        description="crops, flips and normalisation that turn stored images into inputs, for probing and for "
        "pretraining",
    )
    views: Views | None = Field(
        None, description="number of views of this data set, or [center] (default: `features.views`)"
    )
    weight_decays: Grid | None = Field(
        None, description="weight decays that are tried in probes on this data set (default: `probe.weight_decays`)"
    )


class Rows(Block):
    """Numbers of generated images or sequences in the training split (`train`) and evaluation split (`evaluation`)."""

    train: PositiveInt
    evaluation: PositiveInt


class WithRows(AnyKind):
    """Base class for generated data sets, whose numbers of images are set in the config.

    (Each subclass declares `rows`, so that the key has the right position in the table of keys.)
    """

    if TYPE_CHECKING:
        rows: Rows

    @property
    def known_rows(self) -> KnownRows:
        return KnownRows(self.rows.train, self.rows.evaluation, self.number_of_classes or 0, "config")

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(32)

    def of_split(self, split: str) -> dict[str, Any]:
        return super().of_split(split) | {"rows": {split: getattr(self.rows, split)}}


class Cues(DataSet, WithRows):
    """Generated images in which four families of glyphs compete to predict the class."""

    kind: Literal["cues"]
    seed: Seed = Field(1, description="seed of the random glyphs and images")
    rows: Rows = Field(description="number of images per split")
    agreement: Probability = Field(
        0.9, description="with `label: class`: probability that a glyph agrees with the class"
    )
    components: Annotated[int, Field(ge=1, le=4)] | None = Field(
        None,
        description="with `label: class`: number of components of a mixture. In component 0 the glyph of family 0 "
        "always agrees with the class, in component 1 the glyph of family 1, and so on; the group column `component` "
        "is the number of the component (default: no mixture)",
    )
    label: Literal["class", "cue0", "cue1", "cue2", "cue3"] = Field(
        "class",
        description="label of an image: its class, or the glyph of one family (`cue0` to `cue3`), in which case all "
        "four glyphs are independent",
    )

    @model_validator(mode="after")
    def _components_of_the_class(self) -> Self:
        if self.components is not None and self.label != "class":
            raise ValueError(
                f"components: with `label: {self.label}` there are no classes that glyphs could agree with; remove "
                "`components` or `label`"
            )
        return self

    @property
    def number_of_classes(self) -> int:
        return 16


class Shortcut(DataSet, WithRows):
    """Generated images whose background, an easy cue, nearly always agrees with the label.
    The group column is `place`."""

    kind: Literal["shortcut"]
    seed: Seed = Field(1, description="seed of the random glyphs and images")
    rows: Rows = Field(description="number of images per split")
    agreement: Probability = Field(
        0.95,
        description="share of the training rows whose background agrees with the label (the share of the evaluation "
        "rows is always one half)",
    )

    @property
    def number_of_classes(self) -> int:
        return 2


# Number of images of each digit from 0 to 9 in scikit-learn's load_digits.
DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


class Digits(DataSet):
    """The 1,797 scanned digits that are included in scikit-learn, enlarged to 32 x 32 pixels."""

    kind: Literal["digits"]
    seed: Seed = Field(1, description="seed of the random split into training and evaluation rows")
    evaluation_fraction: Fraction = Field(
        0.3333, description="share of the rows of each class that is used for evaluation"
    )

    @property
    def number_of_classes(self) -> int:
        return len(DIGITS)

    @property
    def known_rows(self) -> KnownRows:
        left = [count - round(count * self.evaluation_fraction) for count in DIGITS]
        return KnownRows(sum(left), sum(DIGITS) - sum(left), len(DIGITS), "published", left)

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(32)


class Images(DataSet, WithRoot):
    """Keys of every data set of image files."""

    HEADING: ClassVar = "any kind that reads image files"

    root: FilePath = Field(
        description="folder of the data set; relative to `data_dir`, or else to the working directory"
    )
    transform: PhotoTransform = Field(
        PhotoTransform(), description="crops, flips and normalisation that turn stored images into inputs"
    )
    storage: Storage = Field(Storage(), description="format and size in which images are stored")
    broken: Literal["error", "skip"] = Field(
        "error",
        description="what to do with an image that cannot be read: `error` stops the job, `skip` leaves the image out "
        "and lists it in a file",
    )
    subset_seed: Seed = Field(
        0, description="seed of the random rows of `fraction` and the random classes of `classes`"
    )
    fraction: Share = Field(1.0, description="share of the training rows that is used (1: all; 0.01: few-shot)")
    balanced: bool = Field(
        True,
        description="whether `fraction` is taken from each class (at least one row), or from all rows together (false)",
    )
    draws: PositiveInt | None = Field(
        None,
        description="with `fraction`: number of random draws of the training rows. Replicate r of every arm uses "
        "draw r modulo this number. Draws share no rows as long as there are enough rows. A data set for pretraining "
        "must have one draw; a part of the data set uses the first draw (default: 1 for data sets on which backbones "
        f"are pretrained, else {DRAWS})",
    )

    @model_validator(mode="after")
    def _draws_of_a_fraction(self) -> Self:
        if self.fraction == 1 and self.draws is not None:
            raise ValueError("draws: with `fraction: 1` each replicate uses all training rows; remove the key")
        return self

    @property
    def number_of_draws(self) -> int:
        return self.draws or 1

    def with_default_draws(self, pretrained_on: bool) -> Self:
        """Return the block with the default number of draws, if rows are drawn and the config sets no number."""
        if self.fraction == 1 or self.draws is not None:
            return self
        return self.model_copy(update={"draws": 1 if pretrained_on else DRAWS})

    @property
    def published(self) -> tuple[int, int, int] | None:
        """Published numbers of training rows, evaluation rows and classes, before `fraction` is applied, or None."""
        return None

    @property
    def number_of_classes(self) -> int | None:
        return None if self.published is None else self.published[2]

    @property
    def known_rows(self) -> KnownRows | None:
        if self.published is None:
            return None
        whole, evaluation, classes = self.published
        if self.fraction == 1:
            return KnownRows(whole, evaluation, classes, "published")
        train = max(round(whole * self.fraction), classes if self.balanced else 1)
        every = rows_of_all_draws(whole, train, self.number_of_draws)
        return KnownRows(train, evaluation, classes, "published", of_all_draws=every)

    @property
    def is_listed(self) -> bool:
        return True

    @property
    def draws_classes(self) -> bool:
        """Whether the classes that are used are drawn at random."""
        return False

    def undrawn(self, split: str) -> set[str]:
        once = {"draws"} if self.number_of_draws == 1 else set[str]()
        if split == "train" and self.fraction < 1:
            return once
        return once | ({"balanced"} if self.draws_classes else {"balanced", "subset_seed"})


class ImageFolder(Images):
    """A folder with images in `train/CLASS/*` and `val/CLASS/*`."""

    kind: Literal["image_folder"]
    classes: PositiveInt | Annotated[list[Text], Field(min_length=1), WithoutRepeats] | None = Field(
        None,
        description="classes that are used: a list of names, or a number of classes to draw at random (default: all "
        "classes)",
    )

    @property
    def draws_classes(self) -> bool:
        return isinstance(self.classes, int)

    @property
    def number_of_classes(self) -> int | None:
        return len(self.classes) if isinstance(self.classes, list) else self.classes


class ImageNet(Images):
    """ImageNet-1k, with images in `train/WNID/*` and `val/WNID/*` and exactly 1,000 classes."""

    kind: Literal["imagenet"]

    @property
    def published(self) -> tuple[int, int, int]:
        return 1_281_167, 50_000, 1_000  # Russakovsky et al. 2015 (ILSVRC 2012)

    @property
    def known_image(self) -> KnownImage:
        return KnownImage(469, 387, 115_400)  # image-net.org's archives of 147.9 and 6.7 GB


class INaturalist18(Images):
    """iNaturalist 2018 in its published layout: `train_val2018/`, `train2018.json`, `val2018.json`."""

    kind: Literal["inaturalist18"]

    @property
    def published(self) -> tuple[int, int, int]:
        # Van Horn et al. 2018 (https://github.com/visipedia/inat_comp/tree/master/2018)
        return 437_513, 24_426, 8_142

    @property
    def known_image(self) -> KnownImage:
        return KnownImage(800, 600, 260_000)  # longest side 800 px, an archive of 120 GB for 461,939 images


class Cifar(Images):
    """CIFAR-10 or CIFAR-100 in torchvision's layout (files are checked by md5)."""

    kind: Literal["cifar10", "cifar100"]
    transform: CifarTransform = Field(
        CifarTransform(), description="crops, flips and normalisation that turn stored images into inputs"
    )
    storage: RawStorage = Field(RawStorage(), description="format and size in which images are stored")
    download: bool = Field(False, description="whether to download the archive if it is missing")

    @property
    def may_download(self) -> bool:
        return self.download

    @property
    def published(self) -> tuple[int, int, int]:
        return 50_000, 10_000, 10 if self.kind == "cifar10" else 100  # Krizhevsky 2009

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(32)


# Numbers of rows of each split (Koh et al. 2021, WILDS).
CAMELYON17 = {"train": 302_436, "id_val": 33_560, "val": 34_904, "test": 85_054}


class Camelyon17(Images):
    """Camelyon17 in the layout of WILDS (`metadata.csv`, `patches/`). The group column `center` is the hospital."""

    kind: Literal["camelyon17"]
    evaluation_split: Literal["id_val", "val", "test"] = Field(
        "test",
        description="rows used for evaluation: `id_val` (the hospitals of the training rows), `val` (hospital 1) or "
        "`test` (hospital 2)",
    )

    @property
    def published(self) -> tuple[int, int, int]:
        return CAMELYON17["train"], CAMELYON17[self.evaluation_split], 2

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(96)


class SpuriousPhotos(Images):
    """Waterbirds or CelebA in their published layouts.
    Waterbirds has the file `metadata.csv` and the group column `place`. CelebA (label: blond or not) has the folder
    `img_align_celeba/`, the file `metadata.csv` or the two original lists, and the group column `male`."""

    kind: Literal["waterbirds", "celeba"]
    train_split: Literal["train", "val"] = Field(
        "train", description="published split used for training (`val` is meant for arms with `transfer: reweight`)"
    )
    evaluation_split: Literal["val", "test"] = Field("test", description="published split used for evaluation")


class EvaluationFolder(WithRoot):
    """A folder with images in `CLASS/*` on which another data set's probe is evaluated (ImageNet-V2, -R, -A, -Sketch).

    Subfolders have the names of some or all classes of that data set (or the numbers of its labels, as in ImageNet-V2).
    Predictions are restricted to these classes.
    """

    kind: Literal["evaluation_folder"]
    title: str | None = Field(
        None, description="name of the data set in tables and figures (default: its key in `data_sets`)"
    )
    root: FilePath = Field(
        description="folder of the data set; relative to `data_dir`, or else to the working directory"
    )
    probe_of: Text = Field(
        description="name of the data set whose probe is evaluated on this folder and whose transform is used"
    )
    storage: Storage = Field(Storage(), description="format and size in which images are stored")
    broken: Literal["error", "skip"] = Field(
        "error",
        description="what to do with an image that cannot be read: `error` stops the job, `skip` leaves the image out "
        "and lists it in a file",
    )

    @property
    def is_listed(self) -> bool:
        return True


class Part(DataSet):
    """A part of another data set: rows selected by columns of its index.
    The other data set is called the parent data set. The classes of a part are the classes of its training rows."""

    kind: Literal["part"]
    of: Name = Field(description="name of the parent data set, a key of `data_sets`")
    where: dict[Text, Annotated[list[Text | int], Field(min_length=1)]] = Field(
        {},
        description="rows to select: for each column of the parent data set's index (`class_name`, `superclass` or a "
        "group column), the list of allowed values (default: all rows)",
    )
    balanced_by: Annotated[list[Text], WithoutRepeats] = Field(
        [],
        description="columns of the index by which training rows are balanced: as many rows are drawn from each "
        "combination of their values as the rarest combination has (default: no balancing)",
    )
    subset_seed: Seed = Field(0, description="seed of the random rows of `balanced_by`")
    transform: Transform | None = Field(  # type: ignore[assignment]  # None only until completed()
        None,
        description="crops, flips and normalisation that turn stored images into inputs (default: the transform of "
        "the parent data set)",
    )
    views: Views | None = Field(
        None, description="number of views of this data set, or [center] (default: `views` of the parent data set)"
    )

    def of_whole(self, whole: dict[str, Any], split: str) -> dict[str, Any]:
        """Return the keys that determine the stored images of one split of the part.

        whole: keys that determine the parent data set's images of this split; the part shares `storage` and `broken`.
        """
        drawn = {"balanced_by", "subset_seed"} if self.balanced_by else {"balanced_by"}
        own = self.model_dump(include={"kind", "where"} | (drawn if split == "train" else set()))
        own |= {"of": {key: value for key, value in whole.items() if key != "draws"}}  # rows of the first draw
        return {key: whole[key] for key in ("storage", "broken") if key in whole} | own

    @property
    def own_reading(self) -> str | None:
        """First of the keys `transform` and `views` that the part sets, or None."""
        return next((key for key in ("transform", "views") if getattr(self, key) is not None), None)

    def completed(self, whole: DataSet) -> Self:
        """Return the part with a transform and views, from the parent data set if the part sets none."""
        return self.model_copy(
            update={key: getattr(whole, key) for key in ("transform", "views") if getattr(self, key) is None}
        )


ONLY_CENTER: list[Literal["center"]] = ["center"]


class OfSequences(DataSet):
    """Keys of every data set of sequences of bases.
    A sequence is stored as a square image with one pixel per base, row by row."""

    HEADING: ClassVar = "any kind that has sequences"

    length: PositiveInt = Field(
        description="maximum number of bases of a sequence; all sequences are stored as square images of the smallest "
        "side that fits this number of bases"
    )
    transform: SequenceTransform = Field(
        SequenceTransform(), description="fixed, because sequences are not augmented; no key can be set"
    )
    views: Views = Field(
        ONLY_CENTER, description="always [center]: sequences are not augmented, so all views would be equal"
    )

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(side_of(self.length))

    @model_validator(mode="after")
    def _as_it_is(self) -> Self:
        if self.transform.model_fields_set:
            raise ValueError("transform: sequences have no transform and a single view; remove the key")
        if self.views != ONLY_CENTER:
            raise ValueError("views: all views of a sequence are the same; write [center] or remove the key")
        size = SequenceTransform.model_construct(size=side_of(self.length))
        object.__setattr__(self, "transform", size)  # the block is frozen; this value is computed
        return self


class Motifs(OfSequences, WithRows):
    """Generated sequences of three tasks.
    Each task asks whether a sequence contains the task's motif or pair of motifs."""

    kind: Literal["motifs"]
    seed: Seed = Field(1, description="seed of the random motifs and sequences")
    rows: Rows = Field(description="number of sequences per split, for all tasks together")
    length: Annotated[int, Field(ge=SHORTEST)] = Field(100, description=OfSequences.model_fields["length"].description)

    @property
    def number_of_classes(self) -> int:
        return 6


class Sequences(OfSequences, WithRoot):
    """Sequences from Parquet or FASTA files, each with a label and a task. A class is a pair of task and label."""

    kind: Literal["sequences"]
    root: FilePath = Field(
        description="folder of the data set; relative to `data_dir`, or else to the working directory"
    )
    train: list[Text] = Field(
        description="files with the training rows: paths below `root`, or patterns such as `*/train.fna`. Files are "
        "`.parquet` with the columns sequence, label and task, or FASTA (`.fa`, `.fna`, `.fasta`, also with `.gz`) "
        "whose headers have name, label and task separated by vertical bars. If a row has no task, its task is the "
        "name of the file's folder",
        min_length=1,
    )
    evaluation: list[Text] = Field(description="files with the evaluation rows, as in `train`", min_length=1)


AnyDataSet = Annotated[
    Cues
    | Digits
    | Shortcut
    | Motifs
    | ImageFolder
    | ImageNet
    | INaturalist18
    | Cifar
    | Camelyon17
    | SpuriousPhotos
    | Sequences
    | EvaluationFolder
    | Part,
    Field(discriminator="kind"),
]
