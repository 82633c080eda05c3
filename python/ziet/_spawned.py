"""Executors as fresh interpreters that import the project themselves, for projects that cannot be forked: with threads,
connections or locks that their modules make when they are imported.

The zygote's half starts them; the other half runs in them. What they are told, with the token that nobody else may
see, comes through a socket in the place of standard input.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any

import msgspec

from ziet import _executor, _process, _project, _wire

_BOOTSTRAP = """\
import sys
if sys.path and sys.path[0] == '': del sys.path[0]
sys.path.insert(0, sys.argv[1])
import ziet
sys.path.remove(sys.argv[1])
from ziet._spawned import main
main()
"""


class Spawned(_wire.Message):
    """What a fresh executor is told."""

    parent: int
    load: _wire.Load
    path: str
    token: str
    scratch: str | None


class Spawner:
    """Starts executors. Made before the zygote imports the project, since that may change the environment."""

    def __init__(self, load: _wire.Load) -> None:
        self._load = msgspec.structs.replace(load, describe=False)
        self._environment = dict(os.environ)
        self._sdk = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def pass_over(self, problem: _wire.ModuleProblem) -> None:
        """Of a module that does not import, the program knows that: executors do without it."""
        if problem.action is None:
            self._load.modules = [module for module in self._load.modules if module != problem.module]

    def spawn(self, order: _executor.Order) -> int:
        """The process id of a new executor, a child of this process. `OSError` if there can be none."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-c", _BOOTSTRAP, self._sdk],
                self._environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                # The zygote passes over these, and a fresh process would inherit that.
                setsigdef=[signal.SIGINT, signal.SIGPIPE],
            )
            theirs.close()
            told = Spawned(os.getpid(), self._load, order.path, order.token, order.scratch)
            try:
                ours.sendall(_wire.encode(told))
            except OSError:
                pass  # It has died already, which its exit tells.
        return pid


def main() -> None:
    """Imports the project and executes attempts until the program is done with this process. If the project does not
    import, the process ends with its traceback on standard error and status 1."""
    with socket.socket(fileno=os.dup(0)) as told_by:
        told: Any = _wire.Reader(told_by, Spawned).read()
    _process.die_with_parent(told.parent)
    _process.adopt_orphans()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.argv = [""]
    for answer in _project.load(told.load):
        if isinstance(answer, _wire.Problem) and answer.problem.action is None:
            print(answer.problem.traceback, file=sys.stderr, flush=True)  # noqa: T201 - the deployment's log
            # Not by `sys.exit`, which would wait for threads of the project.
            os._exit(1)
    _process.flush_streams()
    _executor.main(_executor.Order(told.path, told.token, told.scratch))
