"""Hand a stage's process over to the forkserver (server.py), which runs the stage in a fork.

Every stage imports this module. It imports no other module of the project.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any, Self

ADDRESS = "TIMECAT_FORKSERVER"  # environment variable: path of the socket
PYTHON = (
    "TIMECAT_FORKSERVER_PYTHON"  # environment variable: the server's Python; a different Python has different packages
)
# Libraries read these variables when they are loaded. So a job is forked only if it has the server's values: 1, or
# unset.
READ_ONCE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hand_over() -> None:
    """Run this process's module in a fork of the server, and end with its status. Return if there is no server."""
    address = os.environ.pop(ADDRESS, None)  # child processes of this process do not use the server
    same_python = os.environ.pop(PYTHON, None) == sys.prefix
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if address is None or module is None or not same_python:
        return
    if any(os.environ.get(name, "1") != "1" for name in READ_ONCE):
        return
    connection = socket.socket(socket.AF_UNIX)
    with _Signals() as signals:
        try:
            connection.connect(address)
            message = json.dumps(_request(module.name)).encode()
            socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
            connection.sendall(message)
            answers = connection.makefile("r")
            fork = int(answers.readline())
        except (OSError, ValueError):  # the server has ended before it started a fork
            return
        signals.pass_on_to(fork)
        status = answers.readline()
        if not status:
            with contextlib.suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)
            print("error: the forkserver that runs the jobs (limits.forkserver) was killed: run again", file=sys.stderr)
        _end_with(int(status or 1))


def _request(module: str) -> dict[str, Any]:
    """Return the request to the server, with all that the fork needs to act as this process."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "module": module,
        "arguments": sys.argv[1:],
        "path": sys.path,
        "folder": os.getcwd(),
        "umask": umask,
        "environment": dict(os.environ),
    }


class _Signals:
    """Context manager that passes the signals PASSED_ON to a fork, and delays them until the fork exists.

    At the end of the context it restores the handlers. Signals that it has not passed on are then raised in this
    process.
    """

    def __init__(self) -> None:
        self.held: list[int] = []
        self.fork: int | None = None

    def __enter__(self) -> Self:
        heeded = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores one
        self.before = {number: signal.signal(number, self._came) for number in heeded}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        for held in self.held:
            signal.raise_signal(held)

    def pass_on_to(self, fork: int) -> None:
        """Pass all earlier and later signals to a fork."""
        self.fork = fork
        self._pass_on()

    def _came(self, number: int, _frame: FrameType | None) -> None:
        self.held.append(number)
        self._pass_on()

    def _pass_on(self) -> None:
        while self.held and self.fork is not None:
            number = self.held.pop(0)
            with contextlib.suppress(ProcessLookupError):  # the fork has ended already
                # In a terminal, Ctrl-C reaches all processes of a job, including those that the stage has started.
                (os.killpg if number == signal.SIGINT else os.kill)(self.fork, number)


def _end_with(status: int) -> None:
    """End this process with a status as in subprocess, where a negative status is the number of a signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    os._exit(status)
