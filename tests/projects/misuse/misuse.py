"""Misuses the process of an attempt, by name, and tells what the next attempt finds."""

import faulthandler
import gc
import io
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ziet import Action

# Those that programs handle.
HANDLED = [
    *["SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU"],
    *["SIGTERM", "SIGCHLD"],
]
TIMERS = [signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF]
LIMITS = [resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA]


@Action(description="Tells what it finds")
def probe() -> dict[str, Any]:
    print("probe printed")
    logging.info("probe logged")
    print("probe complained", file=sys.stderr)
    subprocess.run(["echo", "probe's child printed"], check=True)
    os.write(1, b"probe wrote\n")
    return {
        "process": os.getpid(),
        "folder": os.getcwd(),
        "variables": {name: value for name, value in os.environ.items() if name != "ZIET_RUN_ID"},
        "handlers": {name: str(signal.getsignal(getattr(signal, name))).partition(" at ")[0] for name in HANDLED},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "timers": [signal.getitimer(timer) for timer in TIMERS],
        "umask": current_umask(),
        "descriptors": [os.readlink(f"/proc/self/fd/{number}").partition(":")[0] for number in range(3)],
        "threads": len(os.listdir("/proc/self/task")),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text().split(),
        # In a sandbox; elsewhere both are the user's own.
        "files": os.listdir() if os.getcwd() == os.environ.get("HOME") else [],
        "streams": [type(stream).__name__ for stream in (sys.stdout, sys.stderr)],
        "recursion": sys.getrecursionlimit(),
        "collects": gc.isenabled(),
        "limits": [resource.getrlimit(limit) for limit in LIMITS],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "processors": sorted(os.sched_getaffinity(0)),
    }


def current_umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask


def changes_folder() -> None:
    os.chdir("/usr")


def removes_folder() -> None:
    os.chdir(tempfile.mkdtemp())
    os.rmdir(os.getcwd())


def changes_variables() -> None:
    os.environ["LEFT"] = "behind"
    del os.environ["PATH"]


def empties_variables() -> None:
    os.environ.clear()


def handles_signals() -> None:
    for name in HANDLED:
        signal.signal(getattr(signal, name), lambda *_: None)


def ignores_signals() -> None:
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            continue


def blocks_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def sets_an_alarm() -> None:
    signal.signal(signal.SIGALRM, lambda *_: os._exit(9))
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def changes_umask() -> None:
    os.umask(0o777)


def replaces_stdout() -> None:
    sys.stdout = sys.stderr = io.StringIO()
    print("nobody reads this")


def closes_stdout() -> None:
    sys.stdout.close()
    sys.stderr.close()


def redirects_stdout() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)


def closes_standard_descriptors() -> None:
    for descriptor in range(3):
        os.close(descriptor)


def closes_all_descriptors() -> None:
    os.closerange(0, 65536)


def leaves_descriptors_open() -> None:
    for _ in range(50):
        os.open(os.devnull, os.O_RDONLY)


def fills_a_pipe_nobody_reads() -> None:
    _, end = os.pipe()
    os.set_blocking(end, False)
    try:
        while True:
            os.write(end, bytes(65536))
    except BlockingIOError:
        pass


def prints_half_a_line() -> None:
    sys.stdout.write("half a line")
    os.write(1, b"half a line, written")


def prints_no_text() -> None:
    os.write(1, b"\xff\xfe half a character: \xe2\x98")


def silences_logging() -> None:
    logging.getLogger().handlers.clear()


def leaves_a_thread() -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()


def leaves_a_child() -> None:
    subprocess.Popen(["sleep", "600"], start_new_session=True)


def leaves_a_zombie() -> None:
    subprocess.Popen(["true"]).pid  # noqa: B018 - it is forgotten on purpose


def leaves_files() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "deep" / "down").mkdir(parents=True)
    (folder / "deep" / "down" / "file").write_text("left")
    (folder / "deep").chmod(0)


def leaves_python() -> None:
    sys.exit(3)


def interrupts_itself() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(600)


def fails() -> None:
    raise ValueError("on purpose")


def runs_out_of_memory() -> None:
    bytearray(1024**4)


def recurses() -> None:
    recurses()


def exhausts_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        os.open(os.devnull, os.O_RDONLY)


def ends_at_once() -> None:
    os._exit(3)


def reads_nowhere() -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def forgets_faulthandler() -> None:
    faulthandler.disable()
    faulthandler.cancel_dump_traceback_later()


def changes_defaults() -> None:
    sys.setrecursionlimit(80)
    gc.disable()


def lowers_limits() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
    os.nice(5)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def closes_standard_input() -> None:
    sys.stdin = io.StringIO("not yours")
    os.close(0)


def sets_timers_of_cpu_time() -> None:
    signal.signal(signal.SIGVTALRM, lambda *_: os._exit(9))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
    signal.setitimer(signal.ITIMER_PROF, 100)


@Action(description="Misuses its process", timeout=20)
def misuse(kind: str) -> None:
    globals()[kind]()


@Action(description="Tells what is found before and after a misuse")
def around(kind: str) -> dict[str, Any]:
    before = probe()
    try:
        misuse(kind)
        ended = "returns"
    except Exception as error:
        ended = getattr(error, "type", "")
    return {"before": before, "after": probe(), "ended": ended}
