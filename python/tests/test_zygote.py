"""The zygote: what it makes executors of, how it ends them, and what they share."""

import os
import re
import signal
import time

import msgspec
import psutil
import pytest
from worker import PATIENCE

from ziet import _process, _wire

NOOP = """
    @Action(description="Does nothing")
    def noop() -> int:
        return 1
"""


def gone(pid):
    """Waits until there is no such process."""
    until = time.monotonic() + PATIENCE
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, f"process {pid} goes on"
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_an_executor_is_killed_before_and_after_its_hello(made, start):
    zygote = made(NOOP, start=start)
    executor = zygote.executor()
    _, early = zygote.ask()
    for pid in (executor.pid, early):
        zygote.send(_wire.Kill(pid))
        assert zygote.exit_of(pid) == -signal.SIGKILL


def test_an_executor_that_cannot_connect_says_why(made):
    zygote = made(NOOP)
    os.unlink(zygote.path)
    _, pid = zygote.ask()
    assert zygote.exit_of(pid) == 1
    _, said = zygote.close()
    assert b"an executor does not reach Ziet: [Errno 2] No such file or directory" in said


def test_only_executors_are_killed(made):
    zygote = made(NOOP)
    zygote.send(_wire.Kill(zygote.process.pid))
    zygote.send(_wire.Kill(os.getpid()))
    executor = zygote.executor()
    executor.close()
    assert zygote.exit_of(executor.pid) == 0
    zygote.send(_wire.Kill(executor.pid))  # It is reaped: the number may be anybody's by now.
    assert zygote.executor().output("noop") == 1


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_nothing_stays_when_the_program_is_gone(made, start, how):
    zygote = made(NOOP, start=start)
    executor = zygote.executor()
    _, early = zygote.ask()
    if how == "killed":
        zygote.process.kill()
    zygote.close()
    assert gone(executor.pid)
    assert gone(early)


SEEDED = """
    import random
    {imports}
    random.seed(1)

    @Action(description="Draws")
    def draws() -> list[float]:
        return {draws}
"""


def test_executors_draw_different_numbers(made):
    pytest.importorskip("numpy")
    source = SEEDED.format(
        imports="import numpy.random; numpy.random.seed(1)",
        draws="[random.random(), float(numpy.random.random())]",
    )
    zygote = made(source)
    one, other = (zygote.executor().output("draws") for _ in range(2))
    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.skipif(not _process.LINUX, reason="only Linux tells")
def test_an_idle_executor_of_a_project_with_pandas_has_little_of_its_own(made):
    pytest.importorskip("pandas")
    source = """
        import gc, pandas

        @Action(description="Collects garbage")
        def collects() -> None:
            gc.collect()
    """
    executor = made(source).executor()
    assert own_megabytes(executor.pid) < 5
    executor.run("collects")
    assert own_megabytes(executor.pid) < 5


def own_megabytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) / 1024


def test_c_code_that_printed_while_importing_is_not_told_again(made):
    source = """
        import ctypes
        ctypes.CDLL(None).printf(b"from C")

        @Action(description="Does nothing")
        def noop() -> int:
            return 1
    """
    zygote = made(source)
    executor = zygote.executor()
    assert executor.output("noop") == 1
    assert executor.raw() == b""
    assert zygote.close() == (b"from C", b"")


SPAWNED = """
    import os, sys, threading, signal
    main = os.getpid()
    os.environ["FROM_IMPORT"] = os.environ.get("FROM_IMPORT", "") + "x"
    lock = threading.Lock()
    threading.Thread(target=threading.Event().wait, name="metrics", daemon=True).start()

    @Action(description="Tells of its process")
    def tells() -> dict:
        return {
            "imported here": main == os.getpid(),
            "threads": [thread.name for thread in threading.enumerate()],
            "variable": os.environ["FROM_IMPORT"],
            "arguments": sys.argv,
            "input": sys.stdin.read(),
            "handlers": [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGCHLD)],
            "folder": os.getcwd(),
            "command": open("/proc/self/cmdline").read() if sys.platform == "linux" else "",
            "environment": str(dict(os.environ)),
            "paths": [path for path in sys.path if path.endswith("/python")],
        }

    @Action(description="Fails")
    def fails() -> None:
        raise ValueError("on purpose")
"""


def test_a_spawned_executor_has_imported_the_project_itself(made):
    zygote = made(SPAWNED, start="spawn")
    executors = [zygote.executor() for _ in range(2)]
    for number, executor in enumerate(executors, start=1):
        assert executor.pid == psutil.Process(executor.pid).pid
        for _ in range(2):
            told = executor.output("tells")
            secrets = told.pop("command") + told.pop("environment")
            assert f"token-{number}" not in secrets
            assert told == {
                "imported here": True,
                "threads": ["MainThread", "metrics"],
                "variable": "x",
                "arguments": [""],
                "input": "",
                "handlers": [repr(signal.default_int_handler), repr(signal.SIG_DFL)],
                "folder": str(zygote.folder),
                "paths": told["paths"],
            }
        failure = executor.run("fails").failure
        assert (failure.message, [frame.function for frame in failure.frames]) == ("on purpose", ["fails"])
        assert failure.frames[0].user
    assert zygote.close() == (b"", b"")


def test_a_spawned_executor_has_its_scratch_folder(made, tmp_path):
    zygote = made(SPAWNED, start="spawn")
    executor = zygote.executor(str(tmp_path / "scratch"))
    assert executor.output("tells")["folder"] == str(tmp_path / "scratch")


def test_a_spawned_executor_that_cannot_import_ends_with_the_traceback(made):
    source = """
        import os
        if os.path.exists("broken"):
            raise ValueError("on purpose")

        @Action(description="Does nothing")
        def noop() -> int:
            return 1
    """
    zygote = made(source, start="spawn")
    assert zygote.executor().output("noop") == 1
    (zygote.folder / "broken").touch()
    _, pid = zygote.ask()
    assert zygote.exit_of(pid) == 1
    _, err = zygote.close()
    assert re.search(r'Traceback .*File ".*actions\.py", line \d+.*ValueError: on purpose', err.decode(), re.DOTALL)


def test_a_module_that_does_not_import_does_not_keep_others_from_being_spawned(made):
    zygote = made(NOOP, start="spawn", modules={"broken": "raise ValueError('on purpose')"})
    assert [problem.module for problem in zygote.problems] == ["broken"]
    assert zygote.executor().output("noop") == 1
    assert zygote.close() == (b"", b"")


MEMORY = """
    import os, sys

    @Action(description="Takes memory", memory="64MB")
    def takes(megabytes: int, chained: bool = False) -> int:
        try:
            kept = [bytearray(1024 * 1024) for _ in range(megabytes)]
        except MemoryError as error:
            if not chained:
                raise
            error.itself = error
            raise RuntimeError("out of memory") from error
        return len(kept)

    @Action(description="Takes memory, and refers to itself")
    def holds(megabytes: int, chained: bool) -> None:
        kept = [bytearray(1024 * 1024) for _ in range(megabytes)]
        kept.append(kept)

    @Action(description="Tells its limit")
    def limit() -> int:
        import resource
        return resource.getrlimit(resource.RLIMIT_DATA)[0]

    @Action(description="Uses the processor, and has a child use it")
    def works() -> None:
        import subprocess, time
        subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.5: pass"], check=True)
        until = time.process_time() + 0.5
        while time.process_time() < until:
            pass
"""
MB = 1024 * 1024


@pytest.mark.skipif(not _process.LINUX, reason="only Linux limits it so")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_memory_over_the_limit_is_an_error_that_is_told(made, start):
    executor = made(MEMORY, start=start).executor()
    for _ in range(3):
        finished = executor.run("takes", memory_limit=64 * MB, megabytes=40)
        assert (finished.output, finished.failure) == (b"40", None)

        # None: as many as before.
        finished = executor.run("takes", megabytes=80)
        assert (finished.failure.type, finished.spent) == ("MemoryError", False)
        assert [frame.function for frame in finished.failure.frames] == ["takes", "<listcomp>"][
            : len(finished.failure.frames)
        ]
        assert finished.peak_memory_bytes > 40 * MB

        finished = executor.run("takes", memory_limit=200 * MB, megabytes=100)
        assert finished.output == b"100"


@pytest.mark.skipif(not _process.LINUX, reason="only Linux limits it so")
@pytest.mark.parametrize("action", ["takes", "holds"])
def test_what_filled_the_memory_is_let_go_although_it_refers_to_itself(made, action):
    executor = made(MEMORY).executor()
    for megabytes in (80, 60):
        executor.run(action, memory_limit=64 * MB, megabytes=megabytes, chained=True)
        assert executor.output("takes", megabytes=50) == 50


@pytest.mark.skipif(not _process.LINUX, reason="only Linux counts it anew")
def test_the_peak_is_that_of_the_attempt(made):
    executor = made(MEMORY).executor()
    small, large, again = (executor.run("takes", megabytes=n).peak_memory_bytes for n in (1, 100, 1))
    assert large > small + 80 * MB
    assert again < small + 20 * MB


def test_the_processor_time_counts_children_that_were_waited_for(made):
    executor = made(MEMORY).executor()
    assert 900 <= executor.run("works").cpu_ms < 5000
    assert executor.run("limit").cpu_ms < 100


def test_the_limits_do_not_reach_the_zygote(made):
    zygote = made(MEMORY)
    assert zygote.executor().output("limit", memory_limit=64 * MB) < 200 * MB
    assert zygote.executor().output("limit") == msgspec.json.decode(b"-1")
