"""An executor that serves one attempt after the other: what each of them finds, whatever the one before it has done."""

import os
import re
import signal
import sys

import pytest

from ziet import _process, _wire

LINUX = pytest.mark.skipif(not _process.LINUX, reason="only Linux tells")


SURROUNDINGS = """
    import gc, os, signal, sys

    @Action(description="Tells what it finds")
    def finds() -> dict:
        signals = [signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPROF]
        signals += [signal.SIGVTALRM, signal.SIGXCPU, signal.SIGQUIT]
        timers = [signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF]
        umask = os.umask(0)
        os.umask(umask)
        return {
            "variables": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
            "real variables": os.popen("env -0 | tr '\\\\0' '\\\\n' | grep ^FROM_ || true").read(),
            "folder": os.getcwd(),
            "handlers": [str(signal.getsignal(number)) for number in signals],
            "timers": [signal.getitimer(timer) for timer in timers],
            "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
            "umask": umask,
            "recursion": sys.getrecursionlimit(),
            "gc": gc.isenabled(),
            "stdin": sys.stdin.read(),
            "stdout": type(sys.stdout).__module__,
            "stderr": type(sys.stderr).__module__,
        }

    @Action(description="Changes all of it")
    def changes() -> None:
        os.environ["FROM_ACTION"] = "1"
        os.environ.pop("PATH_OF_TEST")
        os.environ["HOME"] = "/nowhere"
        os.chdir("/")
        os.umask(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGCHLD):
            signal.signal(number, lambda *_: print("handled"))
        for number in (signal.SIGVTALRM, signal.SIGXCPU, signal.SIGQUIT):
            signal.signal(number, lambda *_: print("handled"))
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 100)
        signal.setitimer(signal.ITIMER_PROF, 100)
        signal.setitimer(signal.ITIMER_VIRTUAL, 100)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        sys.setrecursionlimit(5000)
        gc.disable()
        sys.stdout = sys.stderr = open(os.devnull, "w")
        sys.stdin = open(__file__)

    @Action(description="Puts others in the place of what is found")
    def replaces() -> None:
        os.environ = {"PATH": "/nowhere"}
        sys.stdout = None

    @Action(description="Removes the folder that it is in")
    def removes_folder() -> None:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir("../gone")
"""


@pytest.mark.parametrize("change", ["changes", "replaces", "removes_folder"])
def test_an_attempt_finds_what_the_first_one_found(made, change):
    executor = made(SURROUNDINGS, environment={"PATH_OF_TEST": "x"}).executor()
    first = executor.output("finds")
    assert first["variables"]["ZIET_RUN_ID"] == "run-1"
    assert first["stdout"] == "ziet._output"

    finished = executor.run(change)

    assert (finished.failure, finished.left, finished.spent) == (None, [], False)
    assert executor.output("finds") == first


def test_variables_of_one_attempt_are_gone_in_the_next(made):
    executor = made(SURROUNDINGS).executor()

    found = executor.output("finds", environment=[("FROM_START", "secret")])
    after = executor.output("finds")

    assert found["variables"]["FROM_START"] == "secret"
    assert found["real variables"] == "FROM_START=secret\n"
    assert "FROM_START" not in after["variables"]
    assert after["real variables"] == ""


def test_the_stack_still_comes_when_an_action_took_its_signal(made):
    source = f"""
        import faulthandler, signal, sys, time

        @Action(description="Takes the signal, and has crashes told elsewhere")
        def takes() -> None:
            signal.signal({int(_process.STACK_SIGNAL)}, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [{int(_process.STACK_SIGNAL)}])
            faulthandler.enable(file=sys.__stderr__)

        @Action(description="Sleeps")
        def sleeps() -> None:
            print("sleeps", flush=True)
            time.sleep(100)

        @Action(description="Dies")
        def dies() -> None:
            faulthandler._sigsegv()
    """
    zygote = made(source)
    one, other = zygote.executor(), zygote.executor()
    assert one.run("takes").spent is False
    assert other.run("takes").spent is False

    one.begin("sleeps")
    one.line()
    os.kill(one.pid, _process.STACK_SIGNAL)
    one.stack(" in sleeps")
    other.begin("dies")
    other.stack(" in dies")
    assert zygote.exit_of(other.pid) == -signal.SIGSEGV


def test_a_timer_that_was_left_running_ends_nobody(made):
    source = """
        import signal, time

        @Action(description="Sets an alarm")
        def sets() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.1)

        @Action(description="Lasts longer than that")
        def lasts() -> int:
            time.sleep(0.3)
            return 1
    """
    executor = made(source).executor()
    executor.output("sets")
    assert executor.output("lasts") == 1


def test_a_handler_that_raises_when_the_action_has_returned_does_no_harm(made):
    source = """
        import signal

        def raises(*_) -> None:
            raise TimeoutError("too late")

        @Action(description="Has itself interrupted as soon as it has returned")
        def returns() -> int:
            signal.signal(signal.SIGALRM, raises)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            signal.setitimer(signal.ITIMER_REAL, 0.00001, 0.00001)
            while not signal.sigpending():
                pass
            return 1
    """
    executor = made(source).executor()
    for _ in range(20):
        finished = executor.run("returns")
        assert (finished.output, finished.spent) == (b"1", False)


def test_a_context_variable_is_not_there_for_the_next_attempt(made):
    source = """
        import contextvars, decimal
        user = contextvars.ContextVar("user", default=None)

        @Action(description="Sets it")
        def remembers(name: str) -> str | None:
            before = user.get()
            user.set(name)
            decimal.getcontext().prec = 3
            return before

        @Action(description="Divides")
        def divides() -> str:
            return str(decimal.Decimal(1) / 3)
    """
    executor = made(source).executor()
    assert executor.output("remembers", name="a") is None
    assert executor.output("remembers", name="b") is None
    assert executor.output("divides") == "0." + "3" * 28


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python makes no loop by itself any more")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_event_loop_is_made_for_each_attempt(made):
    source = """
        import asyncio

        async def one() -> int:
            return 1

        @Action(description="Relies on the loop that Python makes")
        def relies() -> int:
            loop = asyncio.get_event_loop()
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(one())

        @Action(description="Runs in a loop of its own")
        async def waits() -> int:
            return await one()
    """
    executor = made(source, environment={"PYTHONWARNINGS": "ignore"}).executor()
    assert [executor.output(action) for action in ("relies", "waits", "relies")] == [1, 1, 1]


OUTPUT = """
    import ctypes, logging, os, sys
    libc = ctypes.CDLL(None)

    @Action(description="Prints where it should not")
    def prints(how: str, text: str = "printed") -> None:
        if how == "replaced":
            sys.stdout = open(os.dup(1), "w")
            print(text)
        elif how == "wrapped":
            import io
            sys.stdout = io.TextIOWrapper(sys.stdout.buffer)
            print(text)
        elif how == "original":
            print(text, end="", file=sys.__stdout__)
        elif how == "c":
            libc.printf(b"%s", text.encode())
        elif how == "partial":
            print(text, end="")
            sys.stdout.flush()
        elif how == "bytes":
            sys.stdout.buffer.write(text.encode()[:-1])
        elif how == "logging":
            logging.basicConfig(stream=sys.stdout, force=True)
            logging.getLogger().handlers[0].setStream(sys.stdout)
        elif how == "closed":
            sys.stdout.close()
            sys.stderr.close()

    @Action(description="Prints and logs")
    def after() -> None:
        print("after")
        logging.warning("logged")
"""


@LINUX
@pytest.mark.parametrize(
    ("how", "text", "line"),
    [
        ("replaced", "printed", None),
        ("wrapped", "printed", "printed"),
        ("original", "printed", None),
        ("c", "printed", None),
        ("partial", "printed", "printed"),
        ("bytes", "é", r"\xc3"),
        ("logging", "", None),
        ("closed", "", None),
    ],
)
def test_what_is_printed_belongs_to_the_attempt_that_printed_it(made, how, text, line):
    executor = made(OUTPUT).executor()

    finished = executor.run("prints", how=how, text=text)

    assert (finished.failure, finished.left, finished.spent) == (None, [], False)
    assert executor.lines == ([("info", line)] if line else [])
    assert executor.raw().decode().strip() == ("" if line else text)
    for _ in range(2):
        executor.run("after")
        assert executor.lines == [("info", "after"), ("warn", "logged")]
        assert executor.raw() == b""


@pytest.mark.parametrize(
    "how",
    [
        "os.dup2(1, 2)",
        "os.dup2(2, 1)",
        "os.dup2(os.pipe()[1], 2)",
        "os.close(0)",
        "sys.stdin.close()",
        "os.close(1)",
        "os.close(2)",
        "os.dup2(os.open(os.devnull, os.O_RDWR), 1)",
        "os.closerange(0, 3)",
    ],
)
def test_one_whose_streams_are_gone_is_not_used_again(made, how):
    source = f"""
        import os, sys

        @Action(description="Breaks it")
        def breaks() -> int:
            print("before")
            {how}
            print("after")
            return 1
    """
    executor = made(source).executor()
    finished = executor.run("breaks")
    assert (finished.output, finished.left, finished.spent) == (b"1", [], True)
    assert executor.lines == [("info", "before"), ("info", "after")]


def test_one_whose_streams_are_back_is_used_again(made):
    source = """
        import os

        @Action(description="Has its output go elsewhere for a while")
        def borrows() -> int:
            kept = os.dup(1)
            os.dup2(2, 1)
            os.dup2(kept, 1)
            os.close(kept)
            return 1
    """
    executor = made(source).executor()
    for _ in range(3):
        finished = executor.run("borrows")
        assert (finished.output, finished.spent) == (b"1", False)


BRIEF = """
    import ctypes, os
    libc = ctypes.PyDLL(None)

    @Action(description="Leaves a few descriptors open")
    def opens(number: int) -> None:
        for _ in range(number):
            os.dup(0)

    @Action(description="Comes back twice, without Python knowing of it")
    def forks() -> int:
        pid = libc.fork()
        if pid:
            os.waitpid(pid, 0)
        return pid and 1

    @Action(description="Does nothing")
    def nothing() -> None:
        pass
"""


def test_what_many_brief_attempts_leave_is_found(made):
    executor = made(BRIEF).executor()
    attempts = 1
    while not executor.run("opens", number=5).spent:
        attempts += 1
    assert 15 < attempts < 40


def test_many_brief_attempts_are_told_of_like_others(made):
    executor = made(BRIEF).executor()
    ended = [executor.run("nothing") for _ in range(100)]
    assert {(each.output, each.cpu_ms > 50, tuple(each.left), each.spent) for each in ended} == {
        (b"null", False, (), False)
    }
    assert (
        min(each.peak_memory_bytes for each in ended) > max(each.peak_memory_bytes for each in ended) - 4 * 1024**2 > 0
    )


@LINUX
def test_a_process_that_was_forked_behind_the_back_of_python_says_nothing(made):
    executor = made(BRIEF).executor()
    for _ in range(3):
        executor.run("nothing")
        finished = executor.run("forks")
        assert (finished.output, finished.left, finished.spent) == (b"1", [], False)


@LINUX
@pytest.mark.parametrize(
    ("change", "spent"),
    [
        ("resource.setrlimit(resource.RLIMIT_CPU, (100, 100))", True),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))", True),
        ("os.nice(1)", True),
        ("os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})", True),
        # This one belongs to Ziet, which sets it again.
        ("resource.setrlimit(resource.RLIMIT_DATA, (2**33, resource.getrlimit(resource.RLIMIT_DATA)[1]))", False),
    ],
)
def test_the_next_attempt_has_the_same_share_of_the_machine(made, change, spent):
    source = f"""
        import os, resource, time

        @Action(description="Takes less, and longer than what is brief")
        def takes() -> None:
            {change}
            time.sleep(0.001)

        @Action(description="Tells how much data it may have")
        def data() -> int:
            return resource.getrlimit(resource.RLIMIT_DATA)[0]
    """
    if "affinity" in change and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is one processor only")
    executor = made(source).executor()
    before = executor.output("data", memory_limit=2**30)
    assert executor.run("takes").spent is spent
    assert executor.output("data") == before


def test_a_timer_of_cpu_time_without_a_handler_ends_nobody(made):
    source = """
        import signal, time

        @Action(description="Sets them, and lasts longer than what is brief")
        def sets() -> None:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
            signal.setitimer(signal.ITIMER_PROF, 0.05)
            time.sleep(0.001)

        @Action(description="Uses more CPU time than that")
        def computes() -> int:
            while time.process_time() < 0.5:
                pass
            return 1
    """
    executor = made(source).executor()
    executor.output("sets")
    assert executor.output("computes") == 1


def test_cpu_time_of_short_attempts_is_not_lost(made):
    source = """
        import time

        @Action(description="Uses 0.3 ms")
        def uses() -> None:
            until = time.process_time() + 0.0003
            while time.process_time() < until:
                pass

        @Action(description="Tells what the process has used in all, in milliseconds")
        def used() -> float:
            return time.process_time() * 1000
    """
    executor = made(source).executor()
    before = executor.output("used")
    told = sum(executor.run("uses").cpu_ms for _ in range(100))
    after = executor.output("used")
    assert told >= 29
    assert told <= after - before + 2


OUT_OF_MEMORY = """
    import builtins

    class ArrayMemoryError(MemoryError):
        pass

    @Action(description="Never executed: the test answers")
    def child() -> None: ...

    @Action(description="Raises")
    def raises(name: str) -> None:
        if name == "child":
            child()
        raise globals().get(name) or getattr(builtins, name)
"""


@pytest.mark.parametrize(
    ("name", "code"),
    [("MemoryError", "out_of_memory"), ("ArrayMemoryError", "out_of_memory"), ("ValueError", "exception")],
)
def test_every_memory_error_is_told_as_out_of_memory(made, name, code):
    assert made(OUT_OF_MEMORY).executor().run("raises", name=name).failure.code == code


def test_a_memory_error_of_a_child_is_not_the_callers(made):
    executor = made(OUT_OF_MEMORY).executor()
    executor.begin("raises", name="child")
    while not isinstance(message := executor.next(), _wire.Finished):
        if isinstance(message, _wire.Call):
            failure = _wire.Failure("MemoryError", "", None, "out_of_memory", retryable=True, frames=[])
            executor.send(_wire.CallEnded(message.request, "run-2", None, failure))
    assert message.failure is not None
    assert (message.failure.type, message.failure.code) == ("MemoryError", "exception")


def test_an_exception_that_ends_programs_ends_the_attempt_only(made):
    source = """
        import signal, sys

        @Action(description="Ends")
        def ends(how: str) -> None:
            if how == "exit":
                sys.exit(3)
            if how == "interrupt":
                signal.raise_signal(signal.SIGINT)
    """
    executor = made(source).executor()
    types = [executor.run("ends", how=how).failure for how in ("exit", "interrupt", "")]
    assert [failure and failure.type for failure in types] == ["SystemExit", "KeyboardInterrupt", None]


LINES = """
    import logging, os, sys

    @Action(description="Prints a line in pieces")
    def prints(pieces: int, size: int, end: str = "\\n") -> None:
        for _ in range(pieces):
            sys.stdout.write("x" * size)
        sys.stdout.write(end)

    @Action(description="Prints lines of several lengths")
    def several() -> None:
        print("\\n".join(["a" * 20_000, "b", "é" * 8192, "é" * 8193, "c"]))
        logging.warning("d" * 20_000 + "\\nshort")
        sys.stderr.buffer.write(b"caf\\xff\\n" + "é".encode()[:1])
        sys.stderr.buffer.write("é".encode()[1:] + b"\\n")

    @Action(description="Holds a long line")
    def holds() -> int:
        import resource
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        piece = "x" * 100_000
        for _ in range(1000):
            sys.stdout.write(piece)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
"""
LIMIT = 16 * 1024


@pytest.mark.parametrize(
    ("pieces", "size", "told"),
    [(1, LIMIT, None), (1, LIMIT + 1, LIMIT + 1), (40, 1000, 40_000), (2, 20_000, 40_000), (3, LIMIT, 3 * LIMIT)],
)
@pytest.mark.parametrize("end", ["\n", ""])
def test_a_line_that_is_too_long_is_cut_and_says_so(made, pieces, size, told, end):
    executor = made(LINES).executor()
    executor.run("prints", pieces=pieces, size=size, end=end)
    [(level, line)] = executor.lines
    assert level == "info"
    assert len(line) == LIMIT
    assert line.strip("x") == (f" ... [line of {told:,} bytes cut]" if told else "")


def test_every_line_is_cut_by_itself(made):
    executor = made(LINES).executor()
    executor.run("several")
    shown = [re.sub(r"(.)\1{100,}", r"\1…", line) for _, line in executor.lines]
    assert shown == [
        "a… ... [line of 20,000 bytes cut]",
        "b",
        "é…",
        "é… ... [line of 16,386 bytes cut]",
        "c",
        "d… ... [line of 20,000 bytes cut]",
        "short",
        r"caf\xff",
        "é",
    ]
    assert max(len(line.encode()) for _, line in executor.lines) == LIMIT


def test_a_line_that_does_not_end_takes_no_memory(made):
    executor = made(LINES).executor()
    assert executor.output("holds") < 20 * 1024**2
    assert [line[-33:] for _, line in executor.lines] == ["... [line of 100,000,000 bytes cut]"[-33:]]
