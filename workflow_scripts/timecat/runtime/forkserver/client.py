"""What a stage's process does to have a fork of the forkserver run in its place (server.py says what that is).

Every stage imports this module, and it imports nothing of the project.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any, Self

ADDRESS = "TIMECAT_FORKSERVER"  # in the environment: the socket's path
PYTHON = "TIMECAT_FORKSERVER_PYTHON"  # which Python the server is: another one has other packages
# Libraries read them when they are loaded, so a job is only forked if it has them as the server has: 1, or not set.
READ_ONCE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hand_over() -> None:
    """Let the server run this process's module in a fork, and end as that ends; return where there is no server."""
    address = os.environ.pop(ADDRESS, None)  # whatever this process starts is not for the server
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
        except (OSError, ValueError):  # the server has gone; nothing has been done
            return
        signals.pass_on_to(fork)
        status = answers.readline()
        if not status:
            with contextlib.suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)
            print(
                "error: the process of which jobs are forks (limits.forkserver) was ended: run again", file=sys.stderr
            )
        _end_with(int(status or 1))


def _request(module: str) -> dict[str, Any]:
    """Return what the fork needs to be this process."""
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
    """Holds back the signals PASSED_ON, and passes them on to a fork once there is one.

    When the context ends, handlers are as before, and what was held back and passed to no fork reaches this process.
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
        """Pass the signals that came so far, and those that come, on to a fork."""
        self.fork = fork
        self._pass_on()

    def _came(self, number: int, _frame: FrameType | None) -> None:
        self.held.append(number)
        self._pass_on()

    def _pass_on(self) -> None:
        while self.held and self.fork is not None:
            number = self.held.pop(0)
            with contextlib.suppress(ProcessLookupError):  # it has ended by now
                # A Ctrl-C reaches all processes of a terminal's job, so those that the stage has started, too.
                (os.killpg if number == signal.SIGINT else os.kill)(self.fork, number)


def _end_with(status: int) -> None:
    """End this process with a status as subprocess has it: a negative one is a signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    os._exit(status)
