"""A process that has torch loaded, of which a run's jobs are forks: loading it is half the time of a small study's jobs.

Snakemake starts one for a run (start); a stage's process hands itself over to it (client.hand_over): the server forks, and the fork
does what the process would have done, with its command line, environment, folder, standard streams and umask. The process
waits, passes signals on, and ends as the fork ended. The fork imports this project's own modules afresh. Where there is no
server, or where it cannot be reached, a stage runs in its own process as always: the bits are the same.

The name and the idea are those of Python's multiprocessing, whose forkserver serves one parent process only.
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

# Of our own, the module that imports FFCV as the stages do.
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
# The server that this process has started: its standard input is open for as long as this process lives.
_running: subprocess.Popen[bytes] | None = None


def start() -> None:
    """Start a server for the jobs of this process, which ends when this process has ended and the last fork has.

    It takes seconds to be ready; jobs that come sooner wait for it. Nothing happens where no socket can be made, or where
    the kernel cannot say when a process ends (Linux 5.3 can).
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
        # Its own session: a Ctrl-C reaches the waiting processes, and they pass it on.
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
    """Forks for each request that comes to ``listening``, until standard input ends and no fork is left."""

    def __init__(self, listening: socket.socket):
        self.selector = selectors.DefaultSelector()
        self.listening = listening
        self.selector.register(listening, selectors.EVENT_READ, self._accept)
        self.selector.register(0, selectors.EVENT_READ, self._parent_ended)
        self.forks = 0
        self.closing = False

    def serve(self) -> None:
        """Serve requests; return when the process that started the server, and every fork, has ended."""
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
        if self.closing:  # it was told both at once
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
                os.setpgid(pid, pid)  # whoever is first: the fork does it too
            ended = os.pidfd_open(pid)
        except (OSError, ValueError):  # whoever asked has been ended, or there are too many processes or open files
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            connection.close()  # whoever asked runs on its own
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
        """What a fork must not hold open: the listening socket, other forks' connections and what says that they end."""
        own = [key.fd for key in self.selector.get_map().values() if key.fd != 0]
        return [*own, self.selector.fileno()]


class _Fork:
    """A fork that runs, and the connection of the process that waits for it."""

    def __init__(self, server: Server, pid: int, pidfd: int, connection: socket.socket):
        self.server, self.pid, self.pidfd, self.connection = server, pid, pidfd, connection
        self.has_ended = False

    def tell(self, number: int) -> None:
        with contextlib.suppress(OSError):  # whoever waited has been ended; that is noticed elsewhere
            self.connection.sendall(f"{number}\n".encode())

    def forsaken(self) -> None:
        """The process that waited has been killed: so is its fork, which is that process's work."""
        if not self.has_ended:  # it was told both at once
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
    """``length`` bytes. ValueError if there are fewer."""
    parts = []
    while length > 0 and (part := connection.recv(min(length, LARGEST_REQUEST))):
        parts.append(part)
        length -= len(part)
    if length:
        raise ValueError("the request is not whole")
    return b"".join(parts)


def _become(request: dict[str, Any], streams: list[int], held: list[int]) -> None:
    """In a fork: be the process that asked, and run its module; does not return. held: descriptors of the server's."""
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
        tempfile.tempdir = None  # read from the environment again
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
    """Preload, then serve the socket whose descriptor is the first argument; the second is its folder, removed at the end."""
    try:
        with socket.socket(fileno=int(sys.argv[1])) as listening:
            for name in PRELOADED:
                __import__(name)
            Server(listening).serve()
    finally:
        shutil.rmtree(sys.argv[2], ignore_errors=True)


if __name__ == "__main__":
    main()
