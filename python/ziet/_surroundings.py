"""What every attempt finds as the first one did: environment, current folder, signals, timers, streams.

Only what the platform gives an attempt is put back. What goes with modules, such as `sys.path`, import hooks or the
handlers of loggers, stays as the action left it: a module that is imported once has set it up once.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

from ziet import _output, _process
from ziet._context import RUN_VARIABLE
from ziet._scratch import Scratch

_RUN_VARIABLE = os.fsencode(RUN_VARIABLE)

_NAMES = "HUP INT QUIT USR1 USR2 PIPE ALRM VTALRM PROF XCPU TERM CHLD"
_SIGNALS = [*[int(getattr(signal, f"SIG{name}")) for name in _NAMES.split()], int(_process.STACK_SIGNAL)]
"""Those that programs handle, and that of the stack. Looking at all that there are would take as long as everything
else between two attempts."""

_MARKS = (int(signal.SIGWINCH), int(signal.SIGIO), int(signal.SIGURG))
"""Which signals standard input, output and error would send if they were ever told to send any."""

_LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
_LIMITS.remove(resource.RLIMIT_DATA)  # That is `_accounting`'s.

_LEAKED = 100
"""How many descriptors attempts may leave open: the next ones need some too."""

_HANDLERS_AT_MOST = 10
"""How often handlers that raise may keep the others from being put back."""

# What is behind the functions of `signal`, which make members of enums of all that they return: that takes far longer.
_handler_of: Callable[[int], Any] = sys.modules["_signal"].getsignal
_set_blocked: Callable[[int, Any], Any] = sys.modules["_signal"].pthread_sigmask
_SET = int(signal.SIG_SETMASK)
_GET_MARK: int = getattr(fcntl, "F_GETSIG", -1)


class Surroundings:
    """Those of one executor, as they were when it was made."""

    def __init__(self, scratch: str | None, show_stack: Callable[[], None], show_crash: Callable[[], None]) -> None:
        """`show_stack` puts the handler of the stack's signal into its place, `show_crash` those of crashes."""
        self._scratch = Scratch(scratch) if scratch is not None else None
        self._entered = scratch is None
        self._show_stack = show_stack
        self._show_crash = show_crash
        self._handlers = [_handler_of(number) for number in _SIGNALS]
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._recursion = sys.getrecursionlimit()
        self._collects = gc.isenabled()
        self._streams = _streams()
        self._marked = _mark_streams()
        self._stdin = sys.stdin
        self._share = _share()
        self._descriptors = _lowest_free()
        self._environ = os.environ
        # What is behind it: to work with that takes a fraction of the time.
        self._variables: dict[bytes, bytes] = vars(os.environ)["_data"]
        self._note_place()

    def _note_place(self) -> None:
        self._folder = _folder()
        self._wanted_variables = dict(self._variables)
        self._own_variables = False

    def begin(self, run_id: str, environment: Sequence[tuple[str, str]]) -> None:
        """An attempt of that run begins, with these variables in addition."""
        if not self._entered:
            # Now, and not before: many executors never get any work.
            assert self._scratch is not None
            self._scratch.enter()
            self._entered = True
            self._note_place()
        if self._scratch is not None:
            # Another attempt of the project may have written there meanwhile.
            self._scratch.is_empty()
        for name, value in environment:
            os.environ[name] = value
        self._own_variables = bool(environment)
        value = run_id.encode()
        os.putenv(_RUN_VARIABLE, value)
        self._variables[_RUN_VARIABLE] = self._wanted_variables[_RUN_VARIABLE] = value

    def silence(self) -> None:
        """The action has returned: no timer and no handler of its own interrupts from here on."""
        for _ in range(_HANDLERS_AT_MOST):
            try:
                self._restore_signals()
                break
            except BaseException:  # noqa: BLE001 - what a handler raises that was called a last time
                continue

    def restore(self, brief: bool) -> bool:
        """Puts back what the attempt has changed. False: that is not possible. After a brief attempt it looks neither
        for descriptors that were left open, nor for timers of CPU time without a handler, nor at the share of the
        machine that the process has."""
        try:
            self._restore_process()
            self._restore_environment()
            _output.restore()
            if "asyncio" in sys.modules:
                _forget_event_loop()
            sys.stdin = self._stdin
            if not self._has_streams() or (self._stdin is not None and self._stdin.closed):
                return False
            if not brief:
                _stop_cpu_timers()
            if not brief and (_lowest_free() > self._descriptors + _LEAKED or _share() != self._share):
                return False
            return self._scratch is None or self._scratch.is_empty()
        except Exception:  # noqa: BLE001 - the action has broken what Python itself relies on
            return False

    def _restore_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # Before the handlers: a signal that waits goes to the one that the action has set for it.
        _set_blocked(_SET, self._blocked)
        signal.set_wakeup_fd(-1)
        if not all(map(is_, map(_handler_of, _SIGNALS), self._handlers)):
            self._restore_handlers()
        self._show_crash()

    def _restore_handlers(self) -> None:
        _stop_cpu_timers()  # Without a handler they would end the process.
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if _handler_of(number) is handler:
                continue
            if number == _process.STACK_SIGNAL:
                self._show_stack()
            elif handler is not None:  # None: not set by Python, which therefore cannot set it again.
                signal.signal(number, handler)

    def _restore_process(self) -> None:
        os.umask(self._umask)
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if gc.isenabled() != self._collects:
            (gc.enable if self._collects else gc.disable)()
        if self._folder is not None and _folder() != self._folder:
            os.chdir(self._folder)

    def _has_streams(self) -> bool:
        """Whether standard input, output and error are what they were."""
        if self._marked:
            # What has the mark is the same. To ask for it takes a quarter of the time of asking what it is.
            try:
                if tuple(map(_mark, (0, 1, 2))) == _MARKS:
                    return True
            except OSError:
                return False
        return _streams() == self._streams

    def _restore_environment(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object that it was: an action may have put another in its place
        if not self._own_variables and self._variables == self._wanted_variables:
            return
        wanted = {os.fsdecode(name): os.fsdecode(value) for name, value in self._wanted_variables.items()}
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        os.environ.update(wanted)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # It was removed, or this user may not see where it is.
        return None


def _stop_cpu_timers() -> None:
    for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)


def _share() -> list[Any]:
    """How much of the machine this process may use: its limits, its priority and its processors."""
    limits = [resource.getrlimit(limit) for limit in _LIMITS]
    processors = os.sched_getaffinity(0) if _process.LINUX else None
    return [*limits, os.getpriority(os.PRIO_PROCESS, 0), processors]


def _mark_streams() -> bool:
    """Whether standard input, output and error could be marked as those."""
    try:
        for descriptor, mark in enumerate(_MARKS):
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, mark)
    except (AttributeError, OSError):  # Only Linux has that.
        return False
    return True


def _mark(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, _GET_MARK)


def _streams() -> list[tuple[int, int] | None]:
    return [_identity(descriptor) for descriptor in range(3)]


def _lowest_free() -> int:
    """The number that the next descriptor would have. `OSError`: there can be none."""
    descriptor = os.dup(1)
    os.close(descriptor)
    return descriptor


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _forget_event_loop() -> None:
    """After `asyncio.run` Python makes no event loop by itself any more, which would break the next action that relies
    on it. Since Python 3.14 it never does."""
    import asyncio

    policy: Any = vars(asyncio.events).get("_event_loop_policy")
    if policy is not None and sys.version_info < (3, 14) and type(policy) is asyncio.DefaultEventLoopPolicy:
        asyncio.set_event_loop_policy(None)  # pyright: ignore[reportDeprecated]
