"""Download files, and resume interrupted downloads unless the file at the server has changed.

A file has its final name only when it is complete. The bytes received so far are in ``.NAME.part``, and
``.NAME.part.json`` beside it records the URL, the file's size and its validators (ETag, Last-Modified).
"""

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import IO, Any, TypedDict

from workflow_scripts.timecat.artifacts.files import PathLike, read_json, write_json
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.runtime.command import log
from workflow_scripts.timecat.runtime.progress import Progress

CHUNK = 2**20  # bytes
TIMEOUT = 60  # seconds without a byte
ATTEMPTS = 6  # consecutive attempts without a new byte after which the download fails
LONGEST_PAUSE = 30.0  # seconds between two attempts
VALIDATORS = ("ETag", "Last-Modified")
OWN_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EROFS,
)  # errors of the disk, not of the network
PASSING = (408, 425, 429, 500, 502, 503, 504)  # temporary HTTP statuses: try again


class _Interrupted(Exception):
    """Error that ends a transfer early if another attempt may resume the transfer."""


class Downloaded(TypedDict):
    """Size and SHA-256 (hex) of a downloaded file."""

    bytes: int
    sha256: str


def download(url: str, path: PathLike, sha256: str = "", pause: float = 1.0) -> Downloaded:
    """Download ``url`` (http, https) to ``path``; return its size in bytes and its SHA-256.

    Call this function inside ``sole_writer``. sha256: expected SHA-256, or "" to accept any file. pause: seconds before
    the second attempt, doubled for each further attempt. Raise UserError if the server refuses, if ATTEMPTS consecutive
    attempts receive nothing, or if the SHA-256 differs.
    """
    path = Path(path)
    part, about = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    in_vain = 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, about)
            break
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in OWN_ERRORS:
                raise UserError(f"{part} cannot be written: {error.strerror}; fix this and run again") from None
            in_vain = 0 if _size(part) > before else in_vain + 1
            if in_vain == ATTEMPTS:
                raise UserError(
                    f"{url} cannot be downloaded ({_reason(error)}, {ATTEMPTS} times in a row): check the URL and the "
                    "network and run again; the download resumes with the bytes received so far"
                ) from None
            log(f"{url}: {_reason(error)} after {_size(part)} bytes; trying again")
            time.sleep(min(pause * 2**in_vain, LONGEST_PAUSE))
    with open(part, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    size = _size(part)
    if sha256 and found != sha256:
        part.unlink()
        about.unlink()
        raise UserError(
            f"{url} has the SHA-256 {found}, but `checkpoints.sha256` sets {sha256}; the download was removed: correct "
            "the config if the publisher changed the file, or else run again"
        )
    os.replace(part, path)
    about.unlink()
    return {"bytes": size, "sha256": found}


def _transfer(url: str, part: Path, about: Path) -> None:
    """Make one attempt to download: append to ``part`` if the server still has the same file, else start again."""
    have, known = _size(part), _read_about(about, url)
    try:
        response = urllib.request.urlopen(_request(url, have, known), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        _check_refusal(error, url, part, known)
        return
    with response:
        if response.status == 206:
            if known is None or not _continues(response.headers, have, known):
                part.unlink(missing_ok=True)
                raise _Interrupted("the file at the server has changed")
            log(f"{url}: resuming after {have} bytes")
            mode, total = "ab", known["total"] or _total_of(response.headers["Content-Range"])
        else:
            if have:
                log(f"{url}: starting again, because the file changed or the server cannot resume a download")
            mode, have, total = "wb", 0, _number(response.headers.get("Content-Length"))
            part.unlink(missing_ok=True)
            write_json(about, {"url": url, "total": total, **{name: response.headers.get(name) for name in VALIDATORS}})
        with open(part, mode) as file:
            have = _copy(response, file, have, total, part.name.removeprefix(".").removesuffix(".part"))
    if total is not None and have != total:
        raise _Interrupted(f"the connection ended at {have} of {total} bytes")


def _request(url: str, have: int, known: dict[str, Any] | None) -> urllib.request.Request:
    """Return a request for the bytes of a file after the first ``have`` bytes, or for all bytes if it cannot resume."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "timecat"}
    # Without a size or a validator, the remaining bytes could belong to another file unnoticed.
    if have and known and any(known[name] for name in ("total", *VALIDATORS)):
        headers["Range"] = f"bytes={have}-"
        if condition := _if_range(known):
            headers["If-Range"] = condition
    return urllib.request.Request(url, headers=headers)


def _check_refusal(error: urllib.error.HTTPError, url: str, part: Path, known: dict[str, Any] | None) -> None:
    """Return if the server refused because ``part`` is complete already; else raise _Interrupted or UserError."""
    if error.code == 416:  # the server has no further bytes: the part is complete or belongs to another file
        have = _size(part)
        if known and have == known["total"] and _total_of(error.headers.get("Content-Range")) in (None, have):
            return
        part.unlink(missing_ok=True)
        raise _Interrupted("the partial download belonged to another file") from None
    if error.code in PASSING:
        raise _Interrupted(f"status {error.code} {error.reason}") from None
    raise UserError(
        f"{url} cannot be downloaded: the server answers {error.code} {error.reason}; correct the URL in `checkpoints`"
    ) from None


def _copy(response: http.client.HTTPResponse, file: IO[bytes], have: int, total: int | None, title: str) -> int:
    """Append a response to a file, and return the file's size. If the connection breaks, the file keeps its bytes."""
    progress = Progress(total, f"download of {title}", "bytes", done=have) if total else None
    while data := response.read1(CHUNK):
        file.write(data)
        have += len(data)
        if progress:
            progress.advance(len(data))
    if progress:
        progress.close()
    return have


def _continues(headers: Message, have: int, known: dict[str, Any]) -> bool:
    """Return whether a partial response starts at byte ``have`` and belongs to the same file as the part."""
    answer = headers.get("Content-Range") or ""
    pairs = [(known[name], headers.get(name)) for name in VALIDATORS] + [(known["total"], _total_of(answer))]
    return answer.startswith(f"bytes {have}-") and all(old == new for old, new in pairs if old and new)


def _if_range(known: dict[str, Any]) -> str | None:
    """Return the value of the header If-Range: a strong ETag, else Last-Modified (HTTP forbids weak ETags here)."""
    etag = known["ETag"]
    return etag if etag and not etag.startswith("W/") else known["Last-Modified"]


def _total_of(content_range: str | None) -> int | None:
    """Return the size of the complete file in a Content-Range, e.g. 10 in "bytes 5-9/10" and "bytes */10"."""
    return _number((content_range or "").rpartition("/")[2])


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def _read_about(about: Path, url: str) -> dict[str, Any] | None:
    """Return the record of a partial download, or None if it is for a different URL or cannot be read."""
    try:
        known = read_json(about)
    except (OSError, ValueError):
        return None
    return known if known.get("url") == url else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return str(reason)
