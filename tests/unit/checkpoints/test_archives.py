"""Test that one member of an archive is extracted and that no path may leave the archive's folder."""

import io
import stat
import tarfile
import zipfile

import pytest

from workflow_scripts.timecat.checkpoints.archives import extract_member
from workflow_scripts.timecat.errors import UserError

MEMBERS = {"release/checkpoints_80/run0.pth": b"a" * 5000, "release/checkpoints_80/run1.pth": b"b" * 5000}


def write_tar(path, members: dict, mode="w"):
    """Write a .tar file. members: name -> bytes of a file, or (type, target) of a link."""
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def write_zip(path, members: dict):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if isinstance(content, tuple):
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                content = content[1]
            zipped.writestr(info, content)
    return path


WRITERS = {
    "tar": lambda path, members: write_tar(path, members),
    "tar.gz": lambda path, members: write_tar(path, members, "w:gz"),
    "tar.xz": lambda path, members: write_tar(path, members, "w:xz"),
    "zip": write_zip,
}


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Function that writes an archive under a name without an extension."""
    return lambda members: WRITERS[request.param](tmp_path / "archive", members)


def extract(archive, wanted, tmp_path):
    target = tmp_path / "target" / "file"
    target.parent.mkdir(exist_ok=True)
    name = extract_member(archive, wanted, target)
    assert [path.name for path in target.parent.iterdir()] == ["file"], "nothing else is written"
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "target"}
    return name, target.read_bytes()


def refusal(archive, wanted, tmp_path) -> str:
    with pytest.raises(UserError) as error:
        extract_member(archive, wanted, tmp_path / "target")
    assert "\n" not in str(error.value) and str(archive) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("wanted", ["release/checkpoints_80/run1.pth", "checkpoints_80/run1.pth", "./run1.pth"])
def test_only_the_wanted_member_is_extracted(write, tmp_path, wanted):
    """The path in the config may omit the archive's top-level folder."""
    assert extract(write(MEMBERS), wanted, tmp_path) == ("release/checkpoints_80/run1.pth", b"b" * 5000)


def test_member_names_may_begin_with_a_dot(write, tmp_path):
    archive = write({f"./{name}": content for name, content in MEMBERS.items()})
    assert extract(archive, "release/checkpoints_80/run0.pth", tmp_path)[1] == b"a" * 5000


def test_a_file_name_with_the_same_ending_does_not_match(write, tmp_path):
    assert "has no run1.pth (but overrun1.pth)" in refusal(write({"overrun1.pth": b"x"}), "run1.pth", tmp_path)


def test_an_exact_path_is_preferred_to_one_in_a_folder(write, tmp_path):
    archive = write({"old/run0.pth": b"old", "run0.pth": b"new", "older/run0.pth": b"older"})
    assert extract(archive, "run0.pth", tmp_path) == ("run0.pth", b"new")


def test_an_ambiguous_path_is_refused(write, tmp_path):
    archive = write({"a/run0.pth": b"1", "b/run0.pth": b"2"})
    assert "has both a/run0.pth and b/run0.pth" in refusal(archive, "run0.pth", tmp_path)


def test_a_missing_member_is_refused_with_similar_names(write, tmp_path):
    message = refusal(write(MEMBERS), "checkpoints_200/run0.pth", tmp_path)
    assert "has no checkpoints_200/run0.pth (but release/checkpoints_80/run0.pth)" in message
    assert "`checkpoints.path`" in message


@pytest.mark.parametrize("name", ["/etc/run0.pth", "../run0.pth", "release/../../run0.pth"])
def test_a_member_that_leaves_the_folder_is_refused(write, tmp_path, name):
    message = refusal(write({name: b"evil"}), "run0.pth", tmp_path)
    assert f"member {name!r} would be written outside the folder" in message and not (tmp_path / "target").exists()


@pytest.mark.parametrize("wanted", ["/etc/passwd", "../run0.pth", "a/../../b"])
def test_a_path_in_the_config_that_leaves_the_folder_is_refused(write, tmp_path, wanted):
    archive = write(MEMBERS)
    with pytest.raises(UserError, match=r"`checkpoints.path` .* leaves the archive's folder"):
        extract_member(archive, wanted, tmp_path / "target")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_is_not_followed(write, tmp_path, kind):
    archive = write({"secret": b"x", "run0.pth": (kind, "/etc/passwd")})
    assert "member 'run0.pth' is a link" in refusal(archive, "run0.pth", tmp_path)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_device_or_a_folder_is_refused(tmp_path, kind):
    archive = write_tar(tmp_path / "archive", {"run0.pth": (kind, "")})
    assert "member 'run0.pth' is not a file" in refusal(archive, "run0.pth", tmp_path)


def test_a_truncated_archive_is_refused(write, tmp_path):
    archive = write({"first": bytes(range(256)) * 400, **MEMBERS})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 3])
    message = refusal(archive, "run0.pth", tmp_path)
    assert "fetch it again" in message or "neither a .tar nor a .zip" in message


def test_a_file_that_is_not_an_archive_is_refused(tmp_path):
    (tmp_path / "archive").write_bytes(b"weights" * 300)
    assert "neither a .tar nor a .zip; if it is the checkpoint itself" in refusal(tmp_path / "archive", "x", tmp_path)
