"""The zygote: a warm Python process that has imported a project once and makes an executor whenever it is asked to: by
forking itself, or, for what cannot be forked, by starting a fresh interpreter.

It owns its executors as their parent: their exits are told to the Rust program and kept unreaped until the program
says so, so that a process id never means another process in between. It runs no action itself. When the program is
gone, it ends everything that it started.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from ziet import __version__, _executor, _leftovers, _process, _project, _wire

if TYPE_CHECKING:
    from ziet._spawned import Spawner

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What keeps libraries from starting threads when they are imported. Those that start them when they are first used,
such as MKL and OpenMP, do that after the fork and are not limited."""


def main() -> None:
    """Serves on the socket that stands where standard input was; arguments: the parent's process id, 0 if that is in
    another pid namespace, and the socket of the executors."""
    parent, path = int(sys.argv[-2]), sys.argv[-1]
    _process.die_with_parent(parent)
    _process.adopt_orphans()
    control = socket.socket(fileno=os.dup(0))
    control.settimeout(None)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.argv = [""]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Where it is, should importing the project take too long.
    faulthandler.register(_process.STACK_SIGNAL, file=2, all_threads=False)
    order = Zygote(control, path, parent).serve()
    if order is None:
        os._exit(0)
    # In the executor. The frames of the zygote are left behind, so that a stack shows only what the action does.
    _executor.main(order)


class _ProgramGone(Exception):
    """The other end of the control socket is closed."""


class Zygote:
    """The loop of the zygote, and the executors that it has made and not reaped."""

    def __init__(self, control: socket.socket, path: str, parent: int) -> None:
        self._control = control
        self._path = path
        self._parent = parent
        self._spawner: Spawner | None = None
        self._reader = _wire.Reader(control, _wire.ToZygote)
        self._executors: set[int] = set()
        self._told: set[int] = set()
        self._own_children: set[int] = set()
        self._wake, self._woken = os.pipe()
        for end in (self._wake, self._woken):
            os.set_blocking(end, False)

    def serve(self) -> _executor.Order | None:
        """Returns in an executor with what it is made with, and in the zygote with None when the program is gone."""
        folder = os.path.dirname(__file__)
        version = sys.version.split()[0]
        self._send(_wire.ZygoteHello(_wire.PROTOCOL, __version__, version, folder, _wire.OLDEST_PROTOCOL))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._watch_children()
        while True:
            try:
                order = self._turn()
            except _ProgramGone:
                self._end()
                return None
            if order is not None:
                return order

    def _turn(self) -> _executor.Order | None:
        ready, _, _ = select.select([self._control, self._wake], [], [])
        if self._wake in ready:
            self._tell_exits()
        if self._control not in ready:
            return None
        while True:
            message = self._read()
            if isinstance(message, _wire.Fork):
                order = _executor.Order(self._path, message.token, message.scratch)
                if self._make(order):
                    return order
            else:
                self._handle(message)
            if not self._reader.buffered():
                return None

    def _handle(self, message: Any) -> None:
        if isinstance(message, _wire.Load):
            self._load(message)
        elif isinstance(message, _wire.MakeInput):
            self._make_input(message)
        elif isinstance(message, _wire.Reap):
            self._executors.discard(message.pid)
            self._told.discard(message.pid)
            os.waitpid(message.pid, 0)
        elif isinstance(message, _wire.Kill) and message.pid in self._executors:
            # It is not reaped, so the number is still its own.
            _process.kill(message.pid)

    def _load(self, project: _wire.Load) -> None:
        if project.start == "spawn":
            from ziet._spawned import Spawner

            self._spawner = Spawner(project)
        unset = [name for name in _ONE_THREAD if name not in os.environ]
        os.environ.update(dict.fromkeys(unset, "1"))
        for answer in _project.load(project):
            self._send(answer)
            if self._spawner and isinstance(answer, _wire.Problem):
                self._spawner.pass_over(answer.problem)
        for name in unset:
            os.environ.pop(name, None)
        # What importing the project did to signals is not the zygote's.
        self._watch_children()
        self._own_children = _process.children()
        if self._spawner is None:
            _make_ready_to_fork()
        if self._parent:
            # From here on the end of the program is seen as the end of the socket, in time to clear up first. In a pid
            # namespace of its own there is nothing to clear up: the kernel ends all that is in it.
            _process.outlive_parent()
        self._send(_wire.Loaded())

    def _make_input(self, wanted: _wire.MakeInput) -> None:
        # It runs code of the project, which may not come to an end: nobody would see the end of the socket.
        if self._parent:
            _process.die_with_parent(self._parent)
        made = _project.make_input(wanted.action_id, wanted.given)
        if self._parent:
            _process.outlive_parent()
        self._send(made)

    def _make(self, order: _executor.Order) -> bool:
        """True in an executor that was forked."""
        _process.flush_streams()
        _process.flush_c()
        zygote = os.getpid()
        try:
            pid = os.fork() if self._spawner is None else self._spawner.spawn(order)
        except OSError as error:
            self._send(_wire.ForkFailed(order.token, error.strerror or str(error)))
            return False
        if pid == 0:
            _process.die_with_parent(zygote)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._control.close()
            os.close(self._wake)
            os.close(self._woken)
            _make_random_again()
            return True
        self._executors.add(pid)
        self._send(_wire.Forked(order.token, pid))
        return False

    def _watch_children(self) -> None:
        # A handler that does nothing, since only then does the wake-up pipe hear of the signal.
        signal.signal(signal.SIGCHLD, _pass_over)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)

    def _tell_exits(self) -> None:
        while True:
            try:
                if len(os.read(self._wake, 4096)) < 4096:
                    break
            except BlockingIOError:
                break
        for pid in self._executors - self._told:
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                self._told.add(pid)
                self._send(_wire.Exited(pid, status))
        self._end_orphans()

    def _end_orphans(self) -> bool:
        """Ends what dead executors left behind; each death wakes the loop again until there is none. Returns whether
        there was any."""
        orphans = _process.children() - self._executors - self._own_children
        for pid in orphans:
            _process.kill(pid)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
        return bool(orphans)

    def _end(self) -> None:
        """The program is gone: nothing that it started stays."""
        for pid in self._executors:
            _process.kill(pid)
        for pid in self._executors:
            os.waitpid(pid, 0)
        self._executors = set()
        self._own_children = set()
        # The program would have removed the folder of its socket; a second time does no harm.
        with contextlib.suppress(OSError):
            os.unlink(self._path)
            os.rmdir(os.path.dirname(self._path))
        while self._end_orphans():
            select.select([self._wake], [], [], 0.01)

    def _read(self) -> Any:
        try:
            return self._reader.read()
        except (EOFError, OSError):
            raise _ProgramGone from None

    def _send(self, message: _wire.Message) -> None:
        try:
            self._control.sendall(_wire.encode(message))
        except OSError:
            raise _ProgramGone from None


def _make_ready_to_fork() -> None:
    """The project is imported. What every executor needs is made here once; then all objects are kept from the garbage
    collector, which would write to them and so make each executor have a copy of its own."""
    _wire.decoder(_wire.ToExecutor)
    if "logging" in sys.modules:
        importlib.import_module("ziet._logging")
    gc.collect()
    gc.freeze()
    threads = _leftovers.in_the_way_of_forking()
    if threads:
        print(  # noqa: T201 - the deployment's log
            f"importing the project started threads that executors will not have: {', '.join(threads)}. What waits for "
            'them there waits for ever: start them in the action, or set start = "spawn"',
            file=sys.stderr,
        )


def _make_random_again() -> None:
    """Python does so with `random`, but numpy would give each executor the same numbers."""
    seed = getattr(sys.modules.get("numpy.random"), "seed", None)
    if seed is not None:
        # From a number, which touches less memory than to have numpy look for one.
        seed(int.from_bytes(os.urandom(4), "little"))


def _pass_over(_signal: int, _frame: object) -> None:
    pass
