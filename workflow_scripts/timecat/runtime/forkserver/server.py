"""Run jobs as forks of one process that has torch loaded, since imports take half of a small study's job time.

Snakemake starts one server per run (start). A stage's process hands itself over to the server (client.hand_over): the
server forks, and the fork does what the process would have done, with its command line, environment, folder, standard
streams and umask. The process waits, passes signals on, and ends with the fork's status. The fork imports the project's
modules again. If there is no server, or it cannot be reached, a stage runs in its own process. The results are the
same, bit for bit.

Name and idea are from Python's multiprocessing, whose forkserver serves only one parent process.
"""

import contextlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from workflow_scripts.timecat.runtime.forkserver.client import ADDRESS, PYTHON, READ_ONCE

# The module of this project is listed because it imports FFCV as the stages do.
PRELOADED = (
    "torch",
    "workflow_scripts.timecat.images.ffcv.reader",
    "torchvision",
    "pandas",
    "pyarrow.parquet",
    "safetensors.torch",
    "pydantic.type_adapter",
)
LARGEST_REQUEST = 2**24  # bytes
# The server that this process has started. Its standard input stays open as long as this process lives.
_running: subprocess.Popen[bytes] | None = None


def start() -> None:
    """Start a server for the jobs of this process. The server ends after this process and the last fork have ended.

    The server needs some seconds to get ready; jobs that come earlier wait for it. Nothing happens if no socket can be
    created, or if the kernel cannot report the end of a process (pidfd_open, Linux 5.3 or newer).
    """
    global _running
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return
    folder = tempfile.mkdtemp(prefix="timecat-")  # readable by this user alone
    address = str(Path(folder) / "forkserver")
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            listening.bind(address)
            listening.listen(512)
        except OSError:  # the path is too long for a socket
            shutil.rmtree(folder)
            return
        command = [
            sys.executable,
            "-m",
            "workflow_scripts.timecat.runtime.forkserver.server",
            str(listening.fileno()),
            folder,
        ]
        environment = os.environ | dict.fromkeys(READ_ONCE, "1")
        # In a new session, Ctrl-C does not reach the server. It reaches the waiting processes, which pass it to the
        # forks.
        _running = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    os.environ[ADDRESS], os.environ[PYTHON] = address, sys.prefix


class Server:
    """Server that forks for each request on ``listening`` until standard input ends and no fork is left."""

    def __init__(self, listening: socket.socket):
        self.selector = selectors.DefaultSelector()
        self.listening = listening
        self.selector.register(listening, selectors.EVENT_READ, self._accept)
        self.selector.register(0, selectors.EVENT_READ, self._parent_ended)
        self.forks = 0
        self.closing = False

    def serve(self) -> None:
        """Serve requests until the process that started the server and every fork have ended."""
        while not self.closing or self.forks:
            for key, _ in self.selector.select():
                key.data()

    def _parent_ended(self) -> None:
        if not os.read(0, 1):
            self.selector.unregister(0)
            self.selector.unregister(self.listening)
            self.listening.close()
            self.closing = True

    def _accept(self) -> None:
        if self.closing:  # the same select() returned a request and the end of the parent
            return
        connection, _ = self.listening.accept()
        streams: list[int] = []
        pid = None
        try:
            length, streams, *_ = socket.recv_fds(connection, 4, 3)
            request = json.loads(_read(connection, int.from_bytes(length, "big")))
            held = self._held()
            pid = os.fork()
            if pid == 0:
                _become(request, streams, [*held, connection.fileno()])
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)  # the fork does it too; whichever is first
            ended = os.pidfd_open(pid)
        except (OSError, ValueError):  # the client was killed, or there are too many processes or open files
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            connection.close()  # the client then runs its stage itself
            return
        finally:
            for stream in streams:
                os.close(stream)
        self.forks += 1
        fork = _Fork(self, pid, ended, connection)
        self.selector.register(ended, selectors.EVENT_READ, fork.ended)
        self.selector.register(connection, selectors.EVENT_READ, fork.forsaken)
        fork.tell(pid)

    def _held(self) -> list[int]:
        """Return the descriptors that a fork must close: the listening socket, other forks' connections and pidfds."""
        own = [key.fd for key in self.selector.get_map().values() if key.fd != 0]
        return [*own, self.selector.fileno()]


class _Fork:
    """Running fork, with the connection to the process that waits for it."""

    def __init__(self, server: Server, pid: int, pidfd: int, connection: socket.socket):
        self.server, self.pid, self.pidfd, self.connection = server, pid, pidfd, connection
        self.has_ended = False

    def tell(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the waiting process was killed; forsaken() notices it
            self.connection.sendall(f"{number}\n".encode())

    def forsaken(self) -> None:
        """Kill the fork, because the process that waited for it was killed."""
        if not self.has_ended:  # the same select() may return both events
            self.server.selector.unregister(self.connection)
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> None:
        self.has_ended = True
        _, status = os.waitpid(self.pid, 0)
        self.server.selector.unregister(self.pidfd)
        os.close(self.pidfd)
        with contextlib.suppress(KeyError):
            self.server.selector.unregister(self.connection)
        self.tell(os.waitstatus_to_exitcode(status))
        self.connection.close()
        self.server.forks -= 1


def _read(connection: socket.socket, length: int) -> bytes:
    """Read ``length`` bytes from a connection. Raise ValueError if the connection ends earlier."""
    parts = []
    while length > 0 and (part := connection.recv(min(length, LARGEST_REQUEST))):
        parts.append(part)
        length -= len(part)
    if length:
        raise ValueError("the request is incomplete")
    return b"".join(parts)


def _become(request: dict[str, Any], streams: list[int], held: list[int]) -> None:
    """Act as the client in a fork, run the client's module, and never return.

    held: descriptors of the server, which the fork closes.
    """
    status = 1
    try:
        os.setpgid(0, 0)
        for descriptor in held:
            os.close(descriptor)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.umask(request["umask"])
        os.chdir(request["folder"])
        tempfile.tempdir = None  # so that it is read from the environment again
        sys.path[:] = request["path"]
        for name in [name for name in sys.modules if name.partition(".")[0] == "workflow_scripts"]:
            del sys.modules[name]
        from workflow_scripts.timecat.runtime import command

        command.forked = True
        sys.argv[1:] = request["arguments"]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        status = 0
    except BaseException as error:
        from workflow_scripts.timecat.runtime.command import status_of

        status = status_of(error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Import PRELOADED, then serve requests until the server ends, and remove the socket's folder.

    Arguments on the command line: descriptor of the socket, path of its folder.
    """
    try:
        with socket.socket(fileno=int(sys.argv[1])) as listening:
            for name in PRELOADED:
                __import__(name)
            Server(listening).serve()
    finally:
        shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()
