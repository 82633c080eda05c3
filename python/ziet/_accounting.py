"""What an attempt may use and has used: the limit of its memory, its peak, and its CPU time.

The kernel counts for the whole life of a process, which may serve many attempts; here an attempt's share is taken out.
What a system does not offer, or a sandbox hides, is done without: the program watches memory from outside as well.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import time

from ziet import _process

_UNIT = 1024 if _process.LINUX else 1
"""Linux counts memory in kilobytes, macOS in bytes."""

_RESET_PEAK = b"5"
"""What /proc/self/clear_refs takes as the wish that the highest use of memory is counted anew."""

_BRIEF_SECONDS = 200e-6
"""An attempt that takes less time has touched no more than a few megabytes of memory, and its CPU time rounds to
nothing."""

_INTERRUPTED_SECONDS = 20e-3
"""On a busy machine others may have their turn in the middle of one that is as brief as that; not for longer."""

_BRIEF_ONES = 8
"""So many brief attempts in a row are taken for what the one before them was. Together they use less than two
milliseconds of CPU time, which count to the next one that is looked at."""


class Accounting:
    """Counts for one process; made before its first attempt, when it has nothing but what it was forked with."""

    def __init__(self) -> None:
        self._data = _process.data_bytes()
        self._peak = _process.kept("/proc/self/clear_refs", os.O_WRONLY)
        self._limits = resource.getrlimit(resource.RLIMIT_DATA)
        self._lifted = False
        self._served = False
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._cpu = _cpu_seconds(usage)
        self._much = math.inf
        """A peak from which on it is worth while to look for garbage that the next attempt would be charged for."""
        self._unseen = 0
        """How many more brief attempts need not be looked at."""
        self._told = 0
        self._began = 0.0
        self._began_cpu = 0.0

    def begin(self, memory_limit: int | None) -> None:
        """An attempt begins. It may use `memory_limit` bytes more than the process has, with all that earlier attempts
        have left in it. None: the limit is that of the last, and so is what it counts from."""
        self._began, self._began_cpu = time.monotonic(), time.process_time()
        if not self._unseen and self._peak is not None:
            try:
                os.write(self._peak, _RESET_PEAK)
            except OSError:  # An action has closed it: from here on the peak is that of all attempts.
                self._peak = None
        if memory_limit is not None and self._data is not None:
            data = _process.data_bytes() if self._served else self._data
            _, hard = self._limits
            soft = (data or self._data) + memory_limit
            self._limits = (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
            self._much = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT + memory_limit // 2
            self._set(*self._limits)
        self._served = True

    def lift_limit(self) -> None:
        """Makes room to tell of an attempt that may have used up its memory. `restore` sets the limit again."""
        self._lifted = True
        self._set(self._limits[1], self._limits[1])

    def is_brief(self) -> bool:
        """Whether the attempt took so little time that what takes as long to look at as it did can be left to a later
        one. To be asked once, when the attempt has ended; `end` then does not look either."""
        took, unseen = time.monotonic() - self._began, self._unseen
        if _BRIEF_SECONDS <= took < _INTERRUPTED_SECONDS:
            took = time.process_time() - self._began_cpu
        brief = took < _BRIEF_SECONDS and not self._lifted
        if brief and unseen:
            self._unseen = unseen - 1
            return True
        # After a longer one the use of memory may be any other: the next attempt is looked at again.
        self._unseen = _BRIEF_ONES if brief else 0
        return False

    def restore(self, brief: bool) -> bool:
        """Sets the limit of memory again, whatever the attempt made of it. False: that is not possible."""
        if brief:
            return True
        self._lifted = False
        return self._set(*self._limits)

    def end(self, brief: bool) -> tuple[int, int]:
        """The CPU time of the attempt and of the children that it has waited for, in milliseconds, and the highest use
        of memory in bytes."""
        if brief:
            return 0, self._told
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # What is less than a millisecond is told with a later attempt, as are the microseconds between two of them:
        # else many short ones would seem to use nothing, and one that is killed would be charged for them.
        cpu_ms = int((_cpu_seconds(usage) - self._cpu) * 1000)
        self._cpu += cpu_ms / 1000
        self._told = peak = usage.ru_maxrss * _UNIT
        if peak > self._much:
            gc.collect()  # Objects that refer to each other may still hold it.
        return cpu_ms, peak

    def _set(self, soft: int, hard: int) -> bool:
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        except (OSError, ValueError):  # The action has lowered the hard limit below it, which holds.
            return False
        return True


def _cpu_seconds(own: resource.struct_rusage) -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
