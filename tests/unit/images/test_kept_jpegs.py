"""Test that JPEG files are stored unchanged where possible, and that broken images are refused or skipped."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.support.images import drawn, save
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.images.datasets.image_files import BrokenImage, ImageFiles, Jpeg, read_image_file
from workflow_scripts.timecat.images.datasets.settings import StorageSettings
from workflow_scripts.timecat.images.datasets.split import Split
from workflow_scripts.timecat.images.ffcv import writer
from workflow_scripts.timecat.images.ffcv.format import JPEG, describe, read_image
from workflow_scripts.timecat.images.ffcv.writer import content_digest, write_beton

from ffcv.reader import Reader  # isort: skip

STORAGE = StorageSettings(write_mode="jpg", longest_side=500, shortest_side=None, quality=95)
ENCODING = {"write_mode": "jpg", "max_resolution": None, "jpeg_quality": 95}


@pytest.fixture(autouse=True)
def any_number_of_workers(monkeypatch):
    """Allow several workers on machines with one CPU."""
    monkeypatch.setattr(writer, "usable_workers", lambda workers: workers)


def split_of(root, storage=STORAGE) -> Split:
    """Return all files of a folder as a split; the label of a file is its rank by name."""
    names = sorted(path.name for path in root.iterdir())
    return Split(ImageFiles(root, names, storage), np.arange(len(names)), [f"class {name}" for name in names], names)


def stored(path, row: int) -> bytes:
    """Return the data of a row as the .beton file stores it."""
    beton = describe(path)
    return beton.file[beton.pointers[row] : beton.pointers[row] + beton.sizes[row]].tobytes()


def smooth(height=60, width=90) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


KEPT = {
    "baseline": {},
    "without subsampling": {"subsampling": 0},
    "half subsampling": {"subsampling": 1},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 2},
    "quality 20": {"quality": 20},
    "an ICC profile": {"icc_profile": b"profile" * 100},
    "EXIF with a rotation": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"},
    "RGB inside": {"keep_rgb": True},
    "grey": {"mode": "L"},
    "grey and progressive": {"mode": "L", "progressive": True},
}


@pytest.mark.parametrize("kind", KEPT)
def test_the_data_of_a_jpeg_is_stored_unchanged(tmp_path, kind):
    """The decoded pixels differ from Pillow's only by the rounding of FFCV's faster transform."""
    path = save(tmp_path / "in/a.jpg", smooth(), **{"quality": 95} | KEPT[kind])
    written = write_beton(tmp_path / "a.beton", split_of(path.parent), ENCODING)
    assert stored(tmp_path / "a.beton", 0) == path.read_bytes()
    found, wanted = read_image(describe(tmp_path / "a.beton"), 0), read_image_file(path, STORAGE)
    assert found.shape == wanted.shape == (60, 90, 3)
    difference = np.abs(found.astype(int) - wanted.astype(int))
    # The two decoders enlarge subsampled chroma with different filters; at quality 20 errors add up.
    assert difference.mean() < (4 if kind == "quality 20" else 1.5) and difference.max() <= 32
    assert written.content == content_digest(tmp_path / "a.beton")


def test_ffcvs_loader_reads_kept_jpegs(tmp_path):
    """FFCV's Loader with its standard decoder returns the same pixels."""
    from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder
    from ffcv.loader import Loader, OrderOption

    for number, options in enumerate(({}, {"mode": "L"}, {"progressive": True})):
        save(tmp_path / f"in/{number}.jpg", smooth(64, 64), **options)
    save(tmp_path / "in/3.png", smooth(64, 64))
    write_beton(tmp_path / "a.beton", split_of(tmp_path / "in"), ENCODING)
    pipelines = {"image": [CenterCropRGBImageDecoder((64, 64), 1)], "label": [IntDecoder()]}
    loader = Loader(
        str(tmp_path / "a.beton"), 4, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
    )
    ((images, labels),) = list(loader)
    beton = describe(tmp_path / "a.beton")
    assert np.asarray(labels).ravel().tolist() == [0, 1, 2, 3] and (beton.modes == JPEG).all()
    for row in range(4):
        assert np.array_equal(np.asarray(images[row]), read_image(beton, row))


@pytest.mark.parametrize(
    ("name", "options", "storage"),
    [
        ("a.jpg", {"mode": "CMYK"}, {}),
        ("a.jpg", {}, {"longest_side": 89}),
        ("a.jpg", {}, {"shortest_side": 59}),
        ("a.png", {}, {}),
        ("a.png", {"mode": "P"}, {}),
        ("a.png", {"mode": "RGBA"}, {}),
        ("a.webp", {"lossless": True}, {}),
    ],
)
def test_files_that_need_a_change_are_encoded_again(tmp_path, name, options, storage):
    """The files have the wrong mode, size or format to be stored unchanged."""
    path, storage = save(tmp_path / "in" / name, smooth(), **options), replace(STORAGE, **storage)
    write_beton(tmp_path / "a.beton", split_of(path.parent, storage), ENCODING)
    wanted = read_image_file(path, storage)
    found = read_image(describe(tmp_path / "a.beton"), 0)
    assert stored(tmp_path / "a.beton", 0) != path.read_bytes() and describe(tmp_path / "a.beton").modes[0] == JPEG
    difference = np.abs(found.astype(int) - wanted.astype(int)).mean()
    assert found.shape == wanted.shape and difference < (20 if options.get("mode") == "P" else 3)  # mode P is dithered


def test_write_mode_raw_stores_pixels_instead_of_jpegs(tmp_path):
    path = save(tmp_path / "in/a.jpg", smooth())
    write_beton(
        tmp_path / "a.beton",
        split_of(path.parent, replace(STORAGE, write_mode="raw")),
        ENCODING | {"write_mode": "raw"},
    )
    assert np.array_equal(read_image(describe(tmp_path / "a.beton"), 0), read_image_file(path, STORAGE))


def test_a_jpeg_that_only_pillow_can_read_is_encoded_again(tmp_path):
    """FFCV's decoder refuses the file because of extra bytes between the data and a marker."""
    path = save(tmp_path / "in/a.jpg", smooth())
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"\x11" * 40 + data[-2:])
    wanted = read_image_file(path, STORAGE)
    assert isinstance(split_of(path.parent)[0][0], Jpeg)
    write_beton(tmp_path / "a.beton", split_of(path.parent), ENCODING)
    assert stored(tmp_path / "a.beton", 0) != path.read_bytes()
    assert np.abs(read_image(describe(tmp_path / "a.beton"), 0).astype(int) - wanted.astype(int)).mean() < 2


def cut(path) -> None:
    """Remove the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BREAKS = {
    "a truncated JPEG": ("b.jpg", cut, "runcated"),
    "a truncated PNG": ("b.png", cut, ""),
    "no image": ("b.jpg", lambda path: path.write_text("<html>not found</html>"), "unknown image format"),
    "no bytes": ("b.jpg", lambda path: path.write_bytes(b""), "unknown image format"),
    "no JPEG data": ("b.jpg", lambda path: path.write_bytes(path.read_bytes()[:400]), ""),
}


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("write_mode", ["jpg", "raw"])
def test_the_error_about_a_broken_image_names_file_and_remedy(tmp_path, kind, write_mode):
    name, break_it, reason = BREAKS[kind]
    for good in ("a.jpg", "c.png"):
        save(tmp_path / "in" / good, smooth())
    break_it(save(tmp_path / "in" / name, smooth()))
    split = split_of(tmp_path / "in", replace(STORAGE, write_mode=write_mode))
    with pytest.raises(UserError) as caught:
        write_beton(tmp_path / "a.beton", split, ENCODING | {"write_mode": write_mode}, 2)
    message = str(caught.value)
    assert f"{tmp_path / 'in' / name} cannot be read as an image (" in message and reason in message
    assert "repair or remove it, or set `broken: skip`" in message and "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_missing_file_is_a_broken_image(tmp_path):
    save(tmp_path / "in/a.jpg", smooth())
    split = split_of(tmp_path / "in")
    (tmp_path / "in/a.jpg").unlink()
    with pytest.raises(BrokenImage, match="there is no such file"):
        split[0]


class Damaged:
    """Samples of one colour each, some of which raise BrokenImage."""

    def __init__(self, rows: int, broken):
        self.rows, self.broken = rows, set(broken)

    def __len__(self):
        return self.rows

    def __getitem__(self, row):
        if row in self.broken:
            raise BrokenImage(f"{row}.jpg", f"reason {row}")
        return np.full((3 + row % 5, 4, 3), row % 251, np.uint8), row


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("broken", [[0], [449], [7, 8, 199, 200, 301], range(100, 300)], ids=str)
def test_rows_after_a_skipped_row_are_renumbered(tmp_path, workers, broken):
    raw = {"write_mode": "raw", "max_resolution": None, "jpeg_quality": 90}
    written = write_beton(tmp_path / "a.beton", Damaged(450, broken), raw, workers, skip_broken=True)
    assert written.broken == {row: f"reason {row}" for row in broken} and list(written.broken) == list(broken)
    kept, beton = [row for row in range(450) if row not in set(broken)], describe(tmp_path / "a.beton")
    assert beton.labels.tolist() == kept
    for row, source in enumerate(kept):
        assert np.array_equal(read_image(beton, row), Damaged(450, [])[source][0])
    assert written.content == content_digest(tmp_path / "a.beton")
    # FFCV's reader uses these numbers.
    assert sorted(Reader(str(tmp_path / "a.beton")).alloc_table["sample_id"]) == list(range(len(kept)))


def test_skipped_rows_do_not_affect_the_content(tmp_path):
    """A data set that never had these rows gives the same content digest."""

    class Whole(Damaged):
        def __getitem__(self, row):
            return super().__getitem__(row + (row >= 30))

    skipped = write_beton(tmp_path / "a.beton", Damaged(130, [30]), ENCODING, 2, skip_broken=True)
    assert write_beton(tmp_path / "b.beton", Whole(129, []), ENCODING).content == skipped.content


def test_a_data_set_with_only_broken_images_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none of its images can be read .the first: reason 0.; correct them"):
        write_beton(tmp_path / "a.beton", Damaged(250, range(250)), ENCODING, 2, skip_broken=True)
    assert list(tmp_path.iterdir()) == []


def test_only_broken_images_are_skipped(tmp_path):
    """A sample with a wrong type is refused even with ``skip_broken``."""

    class Wrong(Damaged):
        def __getitem__(self, row):
            return (np.zeros((4, 4)), 0) if row == 5 else super().__getitem__(row)

    with pytest.raises(UserError, match="row 5: the image is of type float64"):
        write_beton(tmp_path / "a.beton", Wrong(10, [3]), ENCODING, skip_broken=True)


def test_comments_and_trailing_bytes_of_a_jpeg_are_kept(tmp_path):
    """Files from cameras have comments and trailing bytes, which do not affect decoding."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(40, 50)).save(buffer, "JPEG", comment=b"x" * 3000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(buffer.getvalue() + b"\0" * 5000)
    write_beton(tmp_path / "a.beton", split_of(tmp_path / "in"), ENCODING)
    assert stored(tmp_path / "a.beton", 0) == buffer.getvalue() + b"\0" * 5000
    assert read_image(describe(tmp_path / "a.beton"), 0).shape == (40, 50, 3)
