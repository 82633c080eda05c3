"""What the zygote and its executors ask of the operating system. On Linux a process ends with its parent and adopts
what its descendants leave behind; elsewhere these do nothing."""

from __future__ import annotations

import os
import signal
import sys

LINUX = sys.platform == "linux"

STACK_SIGNAL: int = 16 if LINUX else getattr(signal, "SIGINFO", signal.SIGUSR2)
"""Asks an executor for its stack. Number 16 (SIGSTKFLT) is a signal that nothing on Linux sends or uses."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Ends this process when `parent` dies. The kernel means the thread that made it, so that thread must live on."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:  # It died before this was asked for.
        os._exit(1)


def outlive_parent() -> None:
    """Takes `die_with_parent` back."""
    _prctl(_PR_SET_PDEATHSIG, 0)


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


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
