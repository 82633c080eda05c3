"""Acts out every way in which an attempt can end, by name. What each must become stands in tests/test_endings.py."""

import ctypes
import mmap
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

from ziet import Action as AnyAction
from ziet import memory

Action: Any = partial(cast("Any", AnyAction), isolation=os.environ.get("ISOLATION", "shared"))
LONG = 600
MB = 1024 * 1024
libc = ctypes.CDLL(None)
libc_with_gil = ctypes.PyDLL(None)


@Action(description="Returns a value")
def ok() -> str:
    return "fine"


@Action(description="Raises")
def raises() -> None:
    raise ValueError("on purpose")


@Action(description="Raises while it handles another error")
def raises_from() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("on purpose") from error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


@Action(description="Raises an error that cannot be shown")
def raises_unprintable() -> None:
    raise Unprintable


class LeavingError(Exception):
    def __str__(self) -> str:
        sys.exit("while it is shown")


@Action(description="Raises an error that leaves Python when it is shown")
def raises_leaving() -> None:
    raise LeavingError


class LockedError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock", threading.Lock())

    def __str__(self) -> str:
        return "holds a lock"

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle a lock")


@Action(description="Raises an error that cannot be pickled")
def raises_unpicklable() -> None:
    raise LockedError


class HopelessError(Exception):
    retryable = False


@Action(description="Raises what no retry helps against", retries=3)
def raises_hopeless() -> None:
    raise HopelessError("not again")


@Action(description="Recurses for ever")
def recurses() -> None:
    recurses.local()


@Action(description="Recurses through C until its stack is full")
def overflows_stack() -> None:
    sys.setrecursionlimit(10**9)
    deeper()


def deeper(_: int = 0) -> int:
    return max([0], key=deeper)


@Action(description="Leaves Python")
def sys_exit() -> None:
    sys.exit(3)


@Action(description="Leaves Python without an error")
def sys_exit_zero() -> None:
    sys.exit()


@Action(description="Is interrupted from within")
def keyboard_interrupt() -> None:
    raise KeyboardInterrupt


@Action(description="Ends the process at once")
def os_exit() -> None:
    os._exit(3)


@Action(description="Ends the process at once, as if nothing had happened")
def os_exit_zero() -> None:
    os._exit(0)


@Action(description="Reads where no memory is")
def segfault() -> None:
    ctypes.string_at(0)


@Action(description="Aborts")
def abort() -> None:
    os.abort()


@Action(description="Aborts as C libraries do, with a last word")
def aborts_with_words() -> None:
    print("not the last word")
    os.write(2, b"first of all\nfree(): invalid pointer\n")
    os.abort()


@Action(description="Becomes another program")
def becomes_another() -> None:
    os.execlp("sleep", "sleep", str(LONG))


@Action(description="Kills itself")
def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@Action(description="Asks itself to end")
def terminate_itself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LONG)


@Action(description="Kills the process that forked it")
def kill_zygote() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(LONG)


@Action(description="Closes every file descriptor", timeout=5)
def close_descriptors() -> None:
    os.closerange(0, 4096)
    time.sleep(LONG)


def own_connection() -> socket.socket:
    """The socket through which the process speaks with the program."""
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                connection = socket.socket(fileno=descriptor)
                if connection.family == socket.AF_UNIX and connection.getpeername():
                    return connection
        except OSError:
            continue
    raise LookupError("no connection")


@Action(description="Sends what is no message", timeout=5)
def sends_garbage() -> None:
    own_connection().sendall(b"\0\0\0\x08garbage!")
    time.sleep(LONG)


@Action(description="Announces a message that is too large", timeout=5)
def sends_too_much() -> None:
    own_connection().sendall(b"\xff\xff\xff\xff")
    time.sleep(LONG)


@Action(description="Sends half a message, and no more", timeout=5)
def sends_half() -> None:
    connection = own_connection()
    connection.sendall(b"\0\0\0\x08half")
    connection.shutdown(socket.SHUT_WR)
    time.sleep(LONG)


@Action(description="Takes all memory that it can get", memory="64MB")
def hogs() -> None:
    held = []
    while True:
        held.append(bytearray(MB))


@Action(description="Takes too much at once", memory="64MB")
def hogs_at_once() -> None:
    bytearray(100 * MB)


@Action(description="Takes memory that other processes could share", memory="64MB", timeout=30)
def hogs_shared() -> None:
    held = []
    while True:
        held.append(mmap.mmap(-1, MB))
        held[-1].write(b"x" * MB)
        time.sleep(0.001)


HOG = f"import time\nheld = b'x' * (48 * {MB})\ntime.sleep({LONG})"


@Action(description="Has children that take it together", memory="64MB", timeout=30)
def hogs_in_children() -> None:
    children = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(3)]
    for child in children:
        child.wait()


@Action(description="Does without what it cannot get", memory="64MB")
def does_without() -> str:
    try:
        bytearray(100 * MB)
    except MemoryError:
        return "did without"
    return "got it"


@Action(description="Loops", timeout=1)
def spin() -> None:
    while True:
        pass


@Action(description="Sleeps", timeout=1)
def sleep() -> None:
    time.sleep(LONG)


@Action(description="Sleeps in C without letting other threads run", timeout=1)
def sleep_in_c() -> None:
    while True:
        libc_with_gil.sleep(LONG)


@Action(description="Searches for a match that takes for ever", timeout=1)
def backtrack() -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


@Action(description="Swallows every exception", timeout=1)
def swallow() -> None:
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass


@Action(description="Ignores what asks it to end", timeout=1)
def ignore_requests_to_end() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(LONG)


@Action(description="Ignores every signal that it can, also the one that asks for its stack", timeout=1)
def ignore_signals() -> None:
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue
    while True:
        time.sleep(LONG)


@Action(description="Stops itself", timeout=1)
def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@Action(description="Waits for a child process that never ends", timeout=1)
def child_process() -> None:
    subprocess.run(["sleep", str(LONG)], check=False)


@Action(description="Forks for ever, each process ending when the next is there", timeout=1)
def forks_away() -> None:
    if os.fork() == 0:
        os.setsid()
        while os.fork() == 0:
            pass
        os._exit(0)
    time.sleep(LONG)


@Action(description="Forks a tree of processes that all loop", timeout=1)
def forks_tree() -> None:
    for _ in range(5):
        os.fork()
    while True:
        pass


@Action(description="Leaves a daemon and hangs", timeout=1)
def daemon_and_hang() -> None:
    start_daemon()
    time.sleep(LONG)


@Action(description="Leaves a daemon and returns")
def daemon_and_return() -> str:
    start_daemon()
    return "left it"


def start_daemon() -> None:
    """Forks twice, so that the daemon's parent is gone, in a session of its own; returns when it is there."""
    ready, said = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.write(said, b"!")
            while True:
                time.sleep(LONG)
        os._exit(0)
    os.wait()
    os.read(ready, 1)


@Action(description="Leaves a thread that is no daemon")
def leave_thread() -> str:
    threading.Thread(target=time.sleep, args=(LONG,), name="sender").start()
    return "left it"


@Action(description="Leaves a thread that is a daemon")
def leave_daemon_thread() -> str:
    threading.Thread(target=time.sleep, args=(LONG,), name="sender", daemon=True).start()
    return "left it"


@Action(description="Leaves a child process")
def leave_child() -> str:
    subprocess.Popen(["sleep", str(LONG)])
    return "left it"


@Action(description="Leaves a child process in a session of its own")
def leave_session() -> str:
    subprocess.Popen(["sleep", str(LONG)], start_new_session=True)
    return "left it"


@Action(description="Leaves a child process that holds the output open, and fails")
def leave_child_and_fail() -> None:
    subprocess.Popen(["sleep", str(LONG)])
    raise ValueError("on purpose")


@Action(description="Returns in a forked child process too")
def returns_twice() -> str:
    if os.fork() == 0:
        return "the child's"
    os.wait()
    return "the parent's"


@Action(description="Prints for ever", timeout=1)
def flood() -> None:
    while True:
        print("x" * 100)


@Action(description="Prints 20 MB and returns")
def prints_much() -> str:
    for _ in range(20 * 1024):
        print("x" * 1023)
    return "printed it"


@Action(description="Returns no number")
def returns_nan() -> float:
    return float("nan")


@Action(description="Returns an object", retries=2)
def returns_object() -> Any:
    return {"where": [object()]}


@Action(description="Returns JSON of 7 MB", retries=2)
def returns_7_mb() -> str:
    return "x" * (7 * 1024 * 1024 - 2)


@Action(description="Returns what contains itself")
def returns_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@Action(description="Stores, then loops", timeout=1)
def store_and_spin() -> None:
    memory.add("before", {"the": "kill"})
    while True:
        pass


@Action(description="Stores, then dies")
def store_and_die() -> None:
    memory.add("before", {"the": "crash"})
    os._exit(7)


@Action(description="Waits for input that nobody gives")
def reads_input() -> str:
    return input()


@Action(description="Fails once and completes then", retries=1)
def second_time_lucky() -> str:
    tried = Path(os.environ["SCRATCH"]) / "tried"
    if tried.exists():
        return "lucky"
    tried.touch()
    os._exit(9)


@Action(description="Uses much at first, fails, and uses little then", retries=1)
def uses() -> None:
    if memory.get("used"):
        return
    memory.add("used", True)
    held = b"x" * (100 * MB)
    while time.process_time() < 0.3 or not held:
        pass
    raise ValueError("used it")
