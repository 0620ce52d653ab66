"""Test that downloads from a local HTTP server resume, contain one file only, and are checked."""

import contextlib
import errno
import hashlib
import http.server
import subprocess
import sys
import threading

import pytest

from workflow_scripts.timecat.artifacts.sidecars import read_sidecar
from workflow_scripts.timecat.checkpoints import downloads
from workflow_scripts.timecat.errors import UserError

CONTENT = hashlib.shake_256(b"content").digest(300_000)
CHANGED = hashlib.shake_256(b"changed").digest(300_000)


class Server(http.server.ThreadingHTTPServer):
    """HTTP server of the file ``content`` whose connections can break.

    drops: number of responses, from the first, that end after ``drop_after`` bytes of their announced length. stall:
    event for which a broken response waits before it ends, or None. statuses: error statuses of the first responses.
    requests: Range header of each request, or None. conditions: If-Range header of each request, or None.
    """

    daemon_threads = True
    content, etag, last_modified = CONTENT, '"one"', None
    ranges, lengths = True, True
    drops, drop_after, stall = 0, 100_000, None
    requests, conditions, statuses = (), (), ()

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.conditions, self.statuses = [], [], []
        self.url = f"http://127.0.0.1:{self.server_port}/folder/weights.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        validator = server.etag or server.last_modified
        condition = self.headers.get("If-Range")
        server.conditions.append(condition)
        first = 0
        if server.ranges and wanted and condition in (None, validator):
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if first >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[first:]
        if server.lengths:
            self.send_header("Content-Length", str(len(body)))
        for header, value in (("ETag", server.etag), ("Last-Modified", server.last_modified)):
            if value:
                self.send_header(header, value)
        self.send_header("Connection", "close")
        self.end_headers()
        stalls = server.drops and server.stall
        if server.drops:
            server.drops -= 1
            body = body[: server.drop_after]
        with contextlib.suppress(OSError):
            self.wfile.write(body)
            if stalls:
                server.stall.wait()
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "weights.pth"


def fetch(server, target, sha256=""):
    return downloads.download(server.url, target, sha256, pause=0)


def assert_whole(target, content=CONTENT):
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == [target.name], "no temporary file is left"


def interrupt(server, target):
    """Write the first 100 kB of the server's file as a partial download, like a killed download."""
    server.drops = 1
    with pytest.raises(downloads._Interrupted):
        downloads._transfer(server.url, *parts(target))
    assert parts(target)[0].stat().st_size == server.drop_after
    server.requests.clear()
    server.conditions.clear()


def parts(target):
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.part.json")


def test_a_download_is_complete_and_returns_size_and_sha256(server, target, capfd):
    assert fetch(server, target) == {"bytes": 300_000, "sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert_whole(target)
    assert server.requests == [None]
    assert "download of weights.pth: 300000 of 300000 bytes" in capfd.readouterr().err


def test_a_download_resumes_after_a_dropped_connection(server, target, capfd):
    server.drops = 2
    fetch(server, target)
    assert_whole(target)
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]
    assert "the connection ended at 100000 of 300000 bytes" in capfd.readouterr().err


def test_any_number_of_drops_is_allowed_while_bytes_arrive(server, target):
    server.drops, server.drop_after = 2 * downloads.ATTEMPTS, 20_000
    fetch(server, target)
    assert_whole(target)


def test_a_server_without_ranges_makes_the_download_start_again(server, target, capfd):
    server.ranges, server.drops = False, 1
    fetch(server, target)
    assert_whole(target)
    assert server.requests == [None, "bytes=100000-"]
    assert "starting again" in capfd.readouterr().err


def test_a_killed_download_resumes_in_the_next_call(server, target):
    interrupt(server, target)
    fetch(server, target)
    assert_whole(target)
    assert (server.requests, server.conditions) == (["bytes=100000-"], ['"one"'])


@pytest.mark.parametrize("validators", [("etag",), ("last_modified",), ()])
def test_a_changed_file_is_not_appended_to_an_old_part(server, target, validators):
    """The ETag, else Last-Modified, else the size shows that the file has changed."""
    server.etag = '"one"' if "etag" in validators else None
    server.last_modified = "Mon, 01 Jan 2024 00:00:00 GMT" if "last_modified" in validators else None
    interrupt(server, target)
    server.content = CHANGED if validators else CHANGED[:-1]
    server.etag = server.etag and '"two"'
    server.last_modified = server.last_modified and "Tue, 02 Jan 2024 00:00:00 GMT"
    fetch(server, target)
    assert_whole(target, server.content)


def test_a_server_that_ignores_if_range_is_not_trusted(server, target, monkeypatch):
    """The server answers 206 with the ETag of the changed file, so the partial download is removed."""
    interrupt(server, target)
    server.content, server.etag = CHANGED, '"two"'
    original = Handler.do_GET

    def without_condition(handler):
        del handler.headers["If-Range"]
        original(handler)

    monkeypatch.setattr(Handler, "do_GET", without_condition)
    fetch(server, target)
    assert_whole(target, CHANGED)
    assert server.requests == ["bytes=100000-", None]


def test_a_weak_etag_shows_that_a_file_has_changed(server, target):
    """HTTP forbids a weak ETag in If-Range, so the server sends the rest of its current file."""
    server.etag = 'W/"one"'
    interrupt(server, target)
    server.content, server.etag = CHANGED, 'W/"two"'
    fetch(server, target)
    assert_whole(target, CHANGED)
    assert (server.requests, server.conditions) == (["bytes=100000-", None], [None, None])


def test_a_partial_response_that_was_not_requested_is_refused(server, target, monkeypatch):
    original = Handler.send_response
    monkeypatch.setattr(Handler, "send_response", lambda handler, code: original(handler, 206))
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(server, target)
    assert server.requests == [None] * downloads.ATTEMPTS


def test_a_part_of_another_url_is_not_resumed(server, target):
    interrupt(server, target)
    server.url += "?other"
    fetch(server, target)
    assert_whole(target)
    assert server.requests == [None]


def test_a_part_that_is_already_complete_is_used(server, target):
    interrupt(server, target)
    parts(target)[0].write_bytes(CONTENT)
    fetch(server, target)
    assert_whole(target)
    assert server.requests == ["bytes=300000-"]


def test_a_part_that_is_too_long_is_dropped(server, target):
    interrupt(server, target)
    parts(target)[0].write_bytes(CONTENT + b"more")
    fetch(server, target)
    assert_whole(target)


def test_a_server_may_leave_out_the_content_length(server, target):
    server.lengths = False
    assert fetch(server, target)["bytes"] == 300_000
    assert_whole(target)


def test_a_file_with_the_expected_sha256_is_accepted(server, target):
    fetch(server, target, hashlib.sha256(CONTENT).hexdigest())
    assert_whole(target)


def test_a_file_with_a_wrong_sha256_is_removed(server, target):
    with pytest.raises(UserError) as error:
        fetch(server, target, "0" * 64)
    message = str(error.value)
    assert hashlib.sha256(CONTENT).hexdigest() in message and "0" * 64 in message and server.url in message
    assert list(target.parent.iterdir()) == [], "the next attempt would resume a part that is kept"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_permanent_http_error_is_not_tried_again(server, target, status):
    server.statuses = [status] * 9
    with pytest.raises(UserError, match=rf"{server.url} cannot be downloaded: the server answers {status}"):
        fetch(server, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_http_error_is_tried_again(server, target, status):
    server.statuses = [status] * (downloads.ATTEMPTS - 1)
    fetch(server, target)
    assert_whole(target)


def test_attempts_are_limited(server, target):
    """Received bytes are kept for the next call."""
    interrupt(server, target)
    server.statuses = [503] * 99
    with pytest.raises(UserError, match=r"status 503 .* 6 times in a row\): check .*; the download resumes"):
        fetch(server, target)
    assert len(server.requests) == downloads.ATTEMPTS == 6
    server.statuses = []
    fetch(server, target)
    assert_whole(target)
    assert server.requests[-1] == "bytes=100000-"


def test_a_full_disk_is_not_tried_again(server, target, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_copy", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        fetch(server, target)
    assert len(server.requests) == 1


def test_a_refused_connection_is_reported(server, target):
    server.url = "http://127.0.0.1:9/weights.pth"
    with pytest.raises(UserError, match="refused"):
        fetch(server, target)


def test_the_stage_writes_a_sidecar(server, target, root):
    command = [sys.executable, "-m", "workflow_scripts.download", "--url", server.url, "--sha256", "", "--file", target]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == CONTENT
    sidecar = read_sidecar(target)
    assert sidecar["content"] == hashlib.sha256(CONTENT).hexdigest() and sidecar["bytes"] == 300_000
    assert sidecar["params"] == {"url": server.url}
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name, f"{target.name}.json"]


def test_a_killed_stage_resumes_when_it_runs_again(server, target, root):
    command = [sys.executable, "-m", "workflow_scripts.download", "--url", server.url, "--sha256", "--file", target]
    server.stall = threading.Event()
    server.drops = 1
    first = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
    part = parts(target)[0]
    while not part.exists() or part.stat().st_size < 50_000:
        assert first.poll() is None
    first.kill()
    first.wait()
    server.stall.set()
    kept = part.stat().st_size
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0 and f"resuming after {kept} bytes" in done.stderr
    assert server.requests == [None, f"bytes={kept}-"]
    assert target.read_bytes() == CONTENT
    assert sorted(path.name for path in target.parent.iterdir()) == [target.name, f"{target.name}.json"]


def test_the_stage_reports_a_404_in_one_line(server, target, root):
    server.statuses = [404]
    command = [sys.executable, "-m", "workflow_scripts.download", "--url", server.url, "--sha256", "", "--file", target]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: http://127.0.0.1") and "404" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not target.exists()
