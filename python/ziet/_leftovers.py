"""What goes on beside the code that a process executes: threads, also those that Python does not know, and children.

The zygote asks which threads importing a project has started, since forking leaves them behind; an executor asks what
an attempt has left when it has returned.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from ziet import _process
from ziet._stack import clean

_TASKS = "/proc/self/task"

_SAFE_TO_FORK = ("jemalloc_bg_thd",)
"""Threads of libraries that are made for being forked; OpenBLAS has such ones, too, without a name of their own."""

_IDLE_IN_LIBRARIES = (*_SAFE_TO_FORK, "grpc_", "event_engine", "lifeguard", "timer_manager")
"""How the names of threads begin that libraries keep for the next call. They hold nothing of the attempt's."""

_MOMENT = 0.0002

_LONGEST_TEXT = 100
_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python itself keeps for its user."""


class Leftovers:
    """Compares with what there was when it was made."""

    def __init__(self) -> None:
        self._is_alone = _process.single_threaded()
        self._folder = _process.kept(_TASKS, os.O_RDONLY | os.O_DIRECTORY)
        self._tasks: set[str] = _tasks()
        self._count = self._counted()
        self._python = set(sys._current_frames())  # pyright: ignore[reportPrivateUsage]
        self._children = _process.children()

    def find(self, until: float) -> tuple[list[str], bool]:
        """Threads and processes that still go on, in people's words, and whether there is anything at all that the
        process cannot be used with. What is about to begin or to end may take up to that monotonic time for it."""
        threads = [] if self._is_alone() else self._threads(until)
        processes, helpers = self._processes(until)
        return threads + processes, bool(threads or processes or helpers)

    def _counted(self) -> int:
        if self._folder is not None:
            try:
                return os.fstat(self._folder).st_nlink
            except OSError:
                self._folder = None
        return threading.active_count()

    def _threads(self, until: float) -> list[str]:
        while (count := self._counted()) > self._count:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            running = [ident for ident in sys._current_frames() if ident not in self._python]  # pyright: ignore[reportPrivateUsage]
            if running:
                return [f"thread {_shown(names.get(ident, 'without a name'))}" for ident in running]
            # Python does not know it yet, does not know it any more, since it was joined and only has to end, or never
            # will. The first two need a moment.
            new = {task: _name_and_state(task) for task in _tasks() - self._tasks}
            if time.monotonic() >= until:
                return self._native_threads(new)
            time.sleep(_MOMENT)
        self._count = count
        return []

    def _native_threads(self, new: dict[str, tuple[str, str]]) -> list[str]:
        """Those that Python does not know. Idle ones of libraries are let be from now on: they are in nobody's way."""
        own = _own_name()
        told = [
            f"thread {_shown(name)}"
            for name, state in new.values()
            if state and (state == "R" or not (name == own or name.startswith(_IDLE_IN_LIBRARIES)))
        ]
        if not told:
            self._tasks |= set(new)
            self._count = self._counted()
        return told

    def _processes(self, until: float) -> tuple[list[str], bool]:
        """Those that still run, without Python's own helpers, and whether there are any of these."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass  # It had ended before, and nobody had waited for it.
        except ChildProcessError:
            return [], False
        found = [(pid, _command(pid, until)) for pid in sorted(_process.children() - self._children)]
        commands = {pid: command for pid, command in found if command is not None}
        told = {pid: command for pid, command in commands.items() if not any(each in command for each in _HELPERS)}
        return [f"process {pid} ({_shown(command)})" for pid, command in told.items()], len(told) < len(commands)


def in_the_way_of_forking() -> list[str]:
    """The names of the threads of this process that a fork leaves behind, but for those that are made for it."""
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    known = {str(thread.native_id) for thread in threads} | {str(os.getpid())}
    own = _own_name()
    natives = [name for name, _ in map(_name_and_state, _tasks() - known) if name]
    strange = [name for name in natives if name != own and not name.startswith(_SAFE_TO_FORK)]
    return sorted(_shown(name) for name in [thread.name for thread in threads] + strange)


def _tasks() -> set[str]:
    try:
        return set(os.listdir(_TASKS))
    except OSError:  # Another system, or a sandbox that hides it: then Python's own threads are all that is known.
        return set[str]()


def _name_and_state(task: str) -> tuple[str, str]:
    """As the kernel tells them, the state as one letter; both empty for a thread that has ended."""
    try:
        with open(f"{_TASKS}/{task}/stat", encoding="utf-8", errors="backslashreplace") as stat:
            text = stat.read()
    except OSError:
        return "", ""
    # A name may hold parentheses itself.
    name, _, rest = text.partition("(")[2].rpartition(") ")
    return name, "" if rest[0] in "XZ" else rest[0]


def _own_name() -> str:
    """What threads are called that were not given a name."""
    return _name_and_state(str(os.getpid()))[0]


def _command(pid: int, until: float) -> str | None:
    """What a child process executes; None if it has ended, which ends it for good."""
    while not os.waitpid(pid, os.WNOHANG)[0]:
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="backslashreplace") as file:
                command = file.read().rstrip("\0").replace("\0", " ")
        except OSError:
            return "not known"
        # It is empty for the moment in which a program takes the place of another one.
        if command or time.monotonic() >= until:
            return command or "without a name"
        time.sleep(_MOMENT)
    return None


def _shown(text: str) -> str:
    """In one line that is not too long."""
    text = " ".join(clean(text).split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
