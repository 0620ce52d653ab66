"""Extract one file from a .tar (compressed or not) or .zip archive, recognised by its content.

Other members of the archive are not written.
"""

import contextlib
import difflib
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import IO

from workflow_scripts.timecat.artifacts.files import PathLike
from workflow_scripts.timecat.errors import UserError

LISTED = 3  # largest number of names that a message lists


Member = tuple[str, bool, bool, Callable[[], IO[bytes]]]


def extract_member(archive: PathLike, wanted: str, target: PathLike) -> str:
    """Extract the file ``wanted`` from an archive to the path ``target``; return its full name in the archive.

    Archives often contain an extra top-level folder, so a member whose path ends with ``wanted`` is accepted if it is
    the only such member. Raise UserError if no member or several members match, if the member's path leaves the
    archive's folder (absolute, ``..``), if the member is a link or not a file, or if the archive cannot be read.
    """
    if not _stays_inside(wanted):
        raise UserError(
            f"`checkpoints.path` is {wanted!r}, which leaves the archive's folder; write a path inside the archive"
        )
    wanted = posixpath.normpath(wanted)
    taken, names = None, list[str]()
    try:
        with _members(archive) as members:
            for name, is_file, is_link, open_member in members:
                names.append(name)
                if not _ends_with(name, wanted):
                    continue
                _check(archive, name, is_file, is_link)
                exact = posixpath.normpath(name) == wanted
                if taken is not None and not exact:
                    raise UserError(
                        f"{archive} has both {taken} and {name}; write more of the right path in `checkpoints.path`"
                    )
                with open_member() as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
                taken = name
                if exact:
                    break
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{archive} cannot be read as an archive ({error}); it may be incomplete: fetch it again"
        ) from None
    if taken is None:
        raise UserError(f"{archive} has no {wanted}{_near(wanted, names)}; correct `checkpoints.path`")
    return taken


@contextlib.contextmanager
def _members(archive: PathLike) -> Iterator[Iterator[Member]]:
    """Yield an iterator over an archive's members: (name, whether a file, whether a link, function that opens it)."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            yield (
                (member.name, member.isfile(), member.issym() or member.islnk(), partial(_opened, tar, member))
                for member in tar
            )
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield (
                (info.filename, not info.is_dir(), _is_zip_link(info), partial(zipped.open, info))
                for info in zipped.infolist()
            )
    else:
        raise UserError(
            f"{archive} is neither a .tar nor a .zip; if it is the checkpoint itself, set `checkpoints.path` to it"
        )


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise tarfile.ReadError(f"{member.name} holds no data")
    return file


def _is_zip_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _ends_with(name: str, wanted: str) -> bool:
    """Return whether a member's path ends with the wanted path."""
    parts, last = PurePosixPath(posixpath.normpath(name)).parts, PurePosixPath(wanted).parts
    return parts[-len(last) :] == last


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _check(archive: PathLike, name: str, is_file: bool, is_link: bool) -> None:
    if not _stays_inside(name):
        raise UserError(
            f"{archive}: member {name!r} would be written outside the folder, so the archive is not unpacked"
        )
    if is_link or not is_file:
        kind = "a link" if is_link else "not a file"
        raise UserError(f"{archive}: member {name!r} is {kind}; name the file itself in `checkpoints.path`")


def _near(wanted: str, names: list[str]) -> str:
    """Return a note that lists members with the same or a similar name as ``wanted``, or an empty string."""
    last = posixpath.basename(wanted)
    same = [name for name in names if posixpath.basename(name) == last]
    near = (same or difflib.get_close_matches(wanted, names, n=LISTED, cutoff=0.4))[:LISTED]
    return f" (but {', '.join(near)})" if near else ""
