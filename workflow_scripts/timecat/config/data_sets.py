"""The typed config of data sets: what each kind is read from, how it is stored, and how its images become inputs."""

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
    """How the images of a folder are stored. Smaller sides than the image's reduce it; nothing is ever enlarged."""

    write_mode: Literal["jpg", "raw"] = Field("jpg", description="JPEG, or pixels as they are")
    longest_side: PositiveInt | None = Field(
        500, description="larger images are reduced to this longest side, in pixels"
    )
    shortest_side: PositiveInt | None = Field(
        None, description="larger images are reduced to this shortest side, in pixels, as torchvision's Resize does it"
    )
    quality: Percent = Field(95, description="of JPEG encoding, where an image is encoded anew")


class RawStorage(Storage):
    """The same keys; small images are stored as they are."""

    write_mode: Literal["jpg", "raw"] = Field("raw", description=Storage.model_fields["write_mode"].description)
    longest_side: PositiveInt | None = Field(None, description=Storage.model_fields["longest_side"].description)


LATER = {"title", "transform", "views", "weight_decays", "download"}  # keys that make no image
OF_THE_OTHER = {
    "train": {"evaluation_split", "evaluation"},
    "evaluation": {"fraction", "balanced", "draws", "train_split"},
}
DRAWS = 5  # of a few-shot data set that is a target only


@dataclass(frozen=True)
class KnownRows:
    """The rows of a data set that are known without its files. train: of one draw of the training rows; of_all_draws: of all
    together, where there are several. by_class: training rows of each class, where these are known. origin: where the numbers
    are from."""

    train: int
    evaluation: int
    classes: int
    origin: Literal["config", "published"]
    by_class: Sequence[int] | None = None
    of_all_draws: int | None = None


def rows_of_all_draws(whole: int, rows: int, draws: int) -> int:
    """The rows that are in any of several draws of so many rows of a whole: as many as the draws have together while these fit
    into the whole without overlap, about; what further draws add is what is expected of them (sampling.rows_of_each_class)."""
    left, fit = 1.0, whole // rows  # left: the share of the whole that no draw has
    while draws > 0:
        left *= 1 - min(draws, fit) * rows / whole
        draws -= fit
    return round(whole * (1 - left))


@dataclass(frozen=True)
class KnownImage:
    """The typical image of a data set, known without its files: its sides in pixels; and mean bytes, where it is published as
    JPEG."""

    width: int
    height: int
    jpeg: int | None = None

    @classmethod
    def square(cls, side: int) -> Self:
        """A square of pixels."""
        return cls(side, side)


class AnyKind(Block):
    """What may be asked of the block of a data set, whatever its kind."""

    @property
    def may_download(self) -> bool:
        """Whether its files may be fetched."""
        return False

    @property
    def number_of_classes(self) -> int | None:
        """The number of classes, where it is known without the files."""
        return None

    @property
    def known_rows(self) -> KnownRows | None:
        """The rows, where `make plan` can know them without the files."""
        return None

    @property
    def known_image(self) -> KnownImage | None:
        """The typical image, where `make plan` can know it without the files."""
        return None

    @property
    def number_of_draws(self) -> int:
        """How often its training rows are drawn: replicate r has those of draw r modulo this."""
        return 1

    @property
    def is_listed(self) -> bool:
        """Whether its reader lists image files without reading them, so that `make plan` may count them."""
        return False

    def of_split(self, split: str) -> dict[str, Any]:
        """What makes the images of one split and how they are stored; what is done with them later, what only the other
        split needs and what draws nothing is left out, so that a change of it does not write the split again."""
        return self.model_dump(exclude=LATER | OF_THE_OTHER[split] | self.undrawn(split))

    def undrawn(self, split: str) -> set[str]:
        """Keys that draw nothing for a split."""
        return set()

    def in_folder(self, folder: str | None) -> Self:
        """The block with a `root` that is relative to a folder, if it has a root and there is a folder."""
        return self


class WithRoot(AnyKind):
    """The block of a data set whose files lie in a folder. (`root` is a field of each, in the order that its table has.)"""

    if TYPE_CHECKING:
        root: str

    def in_folder(self, folder: str | None) -> Self:
        return self if folder is None else self.model_copy(update={"root": os.path.join(folder, self.root)})


class DataSet(AnyKind):
    """What every data set says."""

    HEADING: ClassVar = "any kind but `evaluation_folder`"

    title: str | None = Field(None, description="its name in tables and figures (default: its key)")
    transform: Transform = Field(Transform(), description="how images become inputs, in probing and as source")
    views: Views | None = Field(None, description="overrides features.views for this data set")
    weight_decays: Grid | None = Field(None, description="overrides probe.weight_decays for this data set")


class Rows(Block):
    """Number of images of a made data set."""

    train: PositiveInt
    evaluation: PositiveInt


class WithRows(AnyKind):
    """The block of a made data set, with its numbers of images. (`rows` is a field of each, in the order of its table.)"""

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
    """Made images in which four families of glyphs compete to predict the class."""

    kind: Literal["cues"]
    seed: Seed = Field(1, description="draws glyphs and images")
    rows: Rows = Field(description="number of images per split")
    agreement: Probability = Field(0.9, description="probability that a glyph agrees with the class (label: class)")
    components: Annotated[int, Field(ge=1, le=4)] | None = Field(
        None,
        description="with `label: class`, the data set is a mixture of so many components, group column `component`: in the "
        "first the glyph of family 0 always agrees with the class, in the second that of family 1, and so on",
    )
    label: Literal["class", "cue0", "cue1", "cue2", "cue3"] = Field(
        "class", description="the label: the class, or the glyph of one family, all glyphs then being independent"
    )

    @model_validator(mode="after")
    def _components_of_the_class(self) -> Self:
        if self.components is not None and self.label != "class":
            raise ValueError(f"components: with `label: {self.label}` no glyph agrees with a class; remove one of them")
        return self

    @property
    def number_of_classes(self) -> int:
        return 16


class Shortcut(DataSet, WithRows):
    """Made images in which an easy cue, the background, agrees with the label nearly always; group column `place`."""

    kind: Literal["shortcut"]
    seed: Seed = Field(1, description="draws glyphs and images")
    rows: Rows = Field(description="number of images per split")
    agreement: Probability = Field(
        0.95,
        description="share of the training rows whose background agrees with the label; of those for evaluation half",
    )

    @property
    def number_of_classes(self) -> int:
        return 2


# scikit-learn's load_digits: images of 0, of 1, and so on.
DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)


class Digits(DataSet):
    """The 1,797 scanned digits that ship with scikit-learn, enlarged to 32 x 32."""

    kind: Literal["digits"]
    seed: Seed = Field(1, description="draws the evaluation rows")
    evaluation_fraction: Fraction = Field(0.3333, description="share of each class that is for evaluation")

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
    """What every data set of image files says."""

    HEADING: ClassVar = "any kind that reads image files"

    root: FilePath = Field(description="its folder")
    transform: PhotoTransform = Field(PhotoTransform(), description="how images become inputs")
    storage: Storage = Field(Storage(), description="how images are stored")
    broken: Literal["error", "skip"] = Field(
        "error", description="what an image that cannot be read does: stop, or be left out and listed in a file"
    )
    subset_seed: Seed = Field(0, description="draws the rows of `fraction` and the classes of `classes`")
    fraction: Share = Field(1.0, description="share of the training rows that is used (0.01: few-shot)")
    balanced: bool = Field(
        True, description="`fraction` is taken of every class (at least one row); false: of all rows together"
    )
    draws: PositiveInt | None = Field(
        None,
        description="with `fraction`: how many draws of its rows there are. Replicate r has draw r modulo this, in every arm, and "
        "draws share no row as far as there are rows. What backbones are pretrained on has one draw; a part is of the first "
        f"(default: 1 for what is pretrained on, else {DRAWS})",
    )

    @model_validator(mode="after")
    def _draws_of_a_fraction(self) -> Self:
        if self.fraction == 1 and self.draws is not None:
            raise ValueError("draws: with `fraction: 1` each replicate has all training rows; remove the key")
        return self

    @property
    def number_of_draws(self) -> int:
        return self.draws or 1

    def with_default_draws(self, pretrained_on: bool) -> Self:
        """The block with its number of draws, where its rows are drawn and it does not say so itself."""
        if self.fraction == 1 or self.draws is not None:
            return self
        return self.model_copy(update={"draws": 1 if pretrained_on else DRAWS})

    @property
    def published(self) -> tuple[int, int, int] | None:
        """Rows for training and evaluation, and classes, of the whole as it is published."""
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
        """Whether its classes are drawn at random."""
        return False

    def undrawn(self, split: str) -> set[str]:
        once = {"draws"} if self.number_of_draws == 1 else set[str]()
        if split == "train" and self.fraction < 1:
            return once
        return once | ({"balanced"} if self.draws_classes else {"balanced", "subset_seed"})


class ImageFolder(Images):
    """A folder with `train/CLASS/*` and `val/CLASS/*`."""

    kind: Literal["image_folder"]
    classes: PositiveInt | Annotated[list[Text], Field(min_length=1), WithoutRepeats] | None = Field(
        None, description="the classes that are used: their names, or how many, drawn at random (default: all)"
    )

    @property
    def draws_classes(self) -> bool:
        return isinstance(self.classes, int)

    @property
    def number_of_classes(self) -> int | None:
        return len(self.classes) if isinstance(self.classes, list) else self.classes


class ImageNet(Images):
    """ImageNet-1k: `train/WNID/*` and `val/WNID/*`, exactly 1,000 classes."""

    kind: Literal["imagenet"]

    @property
    def published(self) -> tuple[int, int, int]:
        return 1_281_167, 50_000, 1_000  # Russakovsky et al. 2015 (ILSVRC 2012)

    @property
    def known_image(self) -> KnownImage:
        return KnownImage(469, 387, 115_400)  # image-net.org's archives of 147.9 and 6.7 GB


class INaturalist18(Images):
    """iNaturalist 2018 as it is published: `train_val2018/`, `train2018.json`, `val2018.json`."""

    kind: Literal["inaturalist18"]

    @property
    def published(self) -> tuple[int, int, int]:
        # Van Horn et al. 2018 (https://github.com/visipedia/inat_comp/tree/master/2018)
        return 437_513, 24_426, 8_142

    @property
    def known_image(self) -> KnownImage:
        return KnownImage(800, 600, 260_000)  # longest side 800 px, an archive of 120 GB for 461,939 images


class Cifar(Images):
    """CIFAR-10 or CIFAR-100 as torchvision reads them (md5-checked)."""

    kind: Literal["cifar10", "cifar100"]
    transform: CifarTransform = Field(CifarTransform(), description="how images become inputs")
    storage: RawStorage = Field(RawStorage(), description="how images are stored")
    download: bool = Field(False, description="fetch the archive when it is not there")

    @property
    def may_download(self) -> bool:
        return self.download

    @property
    def published(self) -> tuple[int, int, int]:
        return 50_000, 10_000, 10 if self.kind == "cifar10" else 100  # Krizhevsky 2009

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(32)


# Koh et al. 2021 (WILDS): training rows, and those of each split for evaluation.
CAMELYON17 = {"train": 302_436, "id_val": 33_560, "val": 34_904, "test": 85_054}


class Camelyon17(Images):
    """Camelyon17 in WILDS' layout (`metadata.csv`, `patches/`); the hospital is the group column `center`."""

    kind: Literal["camelyon17"]
    evaluation_split: Literal["id_val", "val", "test"] = Field(
        "test", description="rows for evaluation: hospitals of training (id_val), hospital 1 (val) or hospital 2 (test)"
    )

    @property
    def published(self) -> tuple[int, int, int]:
        return CAMELYON17["train"], CAMELYON17[self.evaluation_split], 2

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(96)


class SpuriousPhotos(Images):
    """Waterbirds (`metadata.csv`; group column `place`) or CelebA (blond or not; `metadata.csv`, or its two lists, and
    `img_align_celeba/`; group column `male`), as they are published."""

    kind: Literal["waterbirds", "celeba"]
    train_split: Literal["train", "val"] = Field("train", description="rows for training: val is for reweighting alone")
    evaluation_split: Literal["val", "test"] = Field("test", description="rows for evaluation")


class EvaluationFolder(WithRoot):
    """A folder `CLASS/*` that is evaluated with another data set's probe (ImageNet-V2, -R, -A, -Sketch).

    Its folders name classes of that data set, all or some (or number their labels, as ImageNet-V2's do); predictions are
    masked to them.
    """

    kind: Literal["evaluation_folder"]
    title: str | None = Field(None, description="its name in tables and figures (default: its key)")
    root: FilePath = Field(description="its folder")
    probe_of: Text = Field(description="the data set whose probe is evaluated; transforms are also that data set's")
    storage: Storage = Field(Storage(), description="how images are stored")
    broken: Literal["error", "skip"] = Field(
        "error", description="what an image that cannot be read does: stop, or be left out and listed in a file"
    )

    @property
    def is_listed(self) -> bool:
        return True


class Part(DataSet):
    """Rows of another data set, chosen by the group columns of its index; its classes are those of its training rows."""

    kind: Literal["part"]
    of: Name = Field(description="the whole, another data set of this study")
    where: dict[Text, Annotated[list[Text | int], Field(min_length=1)]] = Field(
        {},
        description="columns of the whole's index, `class_name`, `superclass` or a group, and the values that its rows have there",
    )
    balanced_by: Annotated[list[Text], WithoutRepeats] = Field(
        [], description="columns: as many training rows are drawn of each combination of their values as the rarest has"
    )
    subset_seed: Seed = Field(0, description="draws the rows of `balanced_by`")
    transform: Transform | None = Field(  # type: ignore[assignment]  # None only until the config is whole (completed)
        None, description="how images become inputs (default: the whole's)"
    )
    views: Views | None = Field(None, description="overrides features.views for this data set (default: the whole's)")

    def of_whole(self, whole: dict[str, Any], split: str) -> dict[str, Any]:
        """What makes the images of one split, from what makes the whole's, whose storage and broken files it shares."""
        drawn = {"balanced_by", "subset_seed"} if self.balanced_by else {"balanced_by"}
        own = self.model_dump(include={"kind", "where"} | (drawn if split == "train" else set()))
        own |= {"of": {key: value for key, value in whole.items() if key != "draws"}}  # rows of the first draw
        return {key: whole[key] for key in ("storage", "broken") if key in whole} | own

    @property
    def own_reading(self) -> str | None:
        """The first of its keys that says how images are read otherwise than the whole's, if there is one."""
        return next((key for key in ("transform", "views") if getattr(self, key) is not None), None)

    def completed(self, whole: DataSet) -> Self:
        """The part with the whole's transform and views where it has none of its own."""
        return self.model_copy(
            update={key: getattr(whole, key) for key in ("transform", "views") if getattr(self, key) is None}
        )


ONLY_CENTER: list[Literal["center"]] = ["center"]


class OfSequences(DataSet):
    """What every data set of sequences of bases says. Each is stored as an image, one pixel a base, row after row."""

    HEADING: ClassVar = "any kind that has sequences"

    length: PositiveInt = Field(
        description="the most bases of a sequence; the image is the smallest square that has room"
    )
    transform: SequenceTransform = Field(SequenceTransform(), description="nothing to set: sequences are not augmented")
    views: Views = Field(
        ONLY_CENTER, description="how the training rows are read: [center], since all views are the same"
    )

    @property
    def known_image(self) -> KnownImage:
        return KnownImage.square(side_of(self.length))

    @model_validator(mode="after")
    def _as_it_is(self) -> Self:
        if self.transform.model_fields_set:
            raise ValueError("transform: sequences are read as they are stored; remove the key")
        if self.views != ONLY_CENTER:
            raise ValueError("views: all views of a sequence are the same; write [center] or remove the key")
        size = SequenceTransform.model_construct(size=side_of(self.length))
        object.__setattr__(self, "transform", size)  # derived, in a block that is frozen
        return self


class Motifs(OfSequences, WithRows):
    """Made sequences of three tasks, each of which asks whether its own motif is there."""

    kind: Literal["motifs"]
    seed: Seed = Field(1, description="draws motifs and sequences")
    rows: Rows = Field(description="number of sequences per split, of all tasks together")
    length: Annotated[int, Field(ge=SHORTEST)] = Field(100, description=OfSequences.model_fields["length"].description)

    @property
    def number_of_classes(self) -> int:
        return 6


class Sequences(OfSequences, WithRoot):
    """Sequences with label and task, in Parquet or FASTA files; a class of the whole is task and label together."""

    kind: Literal["sequences"]
    root: FilePath = Field(description="its folder")
    train: list[Text] = Field(
        description="files of the training rows, below `root`, or patterns such as `*/train.fna`: `.parquet` with the columns "
        "sequence, label and task, or FASTA (`.fa`, `.fna`, `.fasta`, each also `.gz`) whose heads are name, label and task "
        "with bars between; the task of a row without one is its file's folder",
        min_length=1,
    )
    evaluation: list[Text] = Field(description="files of the rows for evaluation", min_length=1)


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
