"""What the zygote and its executors ask of the operating system. On Linux a process ends with its parent and adopts
what its descendants leave behind; elsewhere these do nothing."""

from __future__ import annotations

import functools
import mmap
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

LINUX = sys.platform == "linux"

STACK_SIGNAL: int = 16 if LINUX else getattr(signal, "SIGINFO", signal.SIGUSR2)
"""Asks an executor for its stack. Number 16 (SIGSTKFLT) is a signal that nothing on Linux sends or uses."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_MADV_WIPEONFORK = 18
"""Linux: a process that is forked finds these pages filled with zeros. The module `mmap` does not name it."""

_LINE_BUFFERED = 1


def _prctl(option: int, value: int) -> None:
    if LINUX:
        _c().prctl(option, value, 0, 0, 0)


@functools.cache
def _c() -> Any:
    import ctypes

    return ctypes.CDLL(None)


@functools.cache
def _c_stdout() -> Any:
    import ctypes

    return ctypes.c_void_p.in_dll(_c(), "stdout")


@functools.cache
def _flush() -> Any:
    import ctypes

    # A prototype of its own: that spares each call to find out what its argument is.
    fflush = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(("fflush", _c()))
    return functools.partial(fflush, _c_stdout())


def buffer_c_by_lines() -> None:
    """Has what C code prints written line by line also where that goes into a pipe."""
    if LINUX:
        _c().setvbuf(_c_stdout(), None, _LINE_BUFFERED, 0)


def flush_c() -> None:
    """Writes what C code has printed and not written."""
    if LINUX:
        _flush()()


def flush_streams() -> None:
    """Writes what Python has printed and not written, as far as there still are streams for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - whatever the project has put there
            continue


def have_streams() -> None:
    """Gives the process standard descriptors and streams again that importing a project has closed or taken away: what
    would be opened next must not get their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null == descriptor:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, descriptor)
                os.close(null)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name, None)
        if stream is None or getattr(stream, "closed", False):
            stream = open(  # noqa: SIM115 - it stays for as long as the process
                descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            setattr(sys, name, stream)


def die_with_parent(parent: int) -> None:
    """Ends this process when `parent` dies. The kernel means the thread that made it, so that thread must live on.

    A parent of 0 is outside the process's pid namespace, and has to see to it itself that it was not dead before.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # It died before this was asked for.
        os._exit(1)


def outlive_parent() -> None:
    """Takes `die_with_parent` back."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def identity() -> Callable[[], int | bool]:
    """What tells, whenever it is called, whether this still is the process that it was made in, and not one that was
    forked from that, in whatever way. It asks memory where it can, which takes a fraction of a system call's time.
    """
    pid = os.getpid()
    if LINUX:
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(_MADV_WIPEONFORK)
            page[0] = 1
            return functools.partial(page.__getitem__, 0)
        except (OSError, ValueError):  # Not every sandbox has it.
            pass
    return lambda: os.getpid() == pid


def single_threaded() -> Callable[[], bytes | bool]:
    """What tells, whenever it is called, whether this process is sure to have had one thread only. glibc (2.32) keeps
    that where a library can look; it stays false when the others have ended."""
    if LINUX:
        import ctypes

        try:
            flag = ctypes.c_bool.in_dll(_c(), "__libc_single_threaded")
        except ValueError:
            return bool
        return functools.partial(getattr, flag, "value")
    return bool


def kept(path: str, flags: int) -> int | None:
    """A descriptor of what only some systems have, and only some sandboxes show; None elsewhere."""
    try:
        return os.open(path, flags)
    except OSError:
        return None


def data_bytes() -> int | None:
    """How much writable memory of its own this process has, as the limit on data counts it; None where that is not
    known."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return None


def children() -> set[int]:
    """The processes whose parent this one is, where the system can tell."""
    if not LINUX:
        return set()
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as listing:
                found.update(map(int, listing.read().split()))
        except OSError:
            continue  # The thread ended meanwhile.
    return found


def kill(pid: int) -> None:
    """Kills a process and, where it leads one, its group."""
    for target in (pid, -pid):
        try:
            os.kill(target, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
