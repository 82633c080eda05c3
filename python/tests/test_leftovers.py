"""What goes on after an action has returned: it is told by name, and the executor is not used again."""

import os
import re
import time

import pytest
from worker import PATIENCE

from ziet import _process

pytestmark = pytest.mark.skipif(not _process.LINUX, reason="only Linux tells")

SOURCE = """
    import _thread, ctypes, os, subprocess, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor

    libc = ctypes.CDLL(None)
    kept = []

    @Action(description="Leaves nothing")
    def nothing() -> None:
        pass

    @Action(description="Uses threads and processes, and waits for all of them")
    def waits() -> None:
        threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        subprocess.run(["true"], check=True)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(abs, range(100)))
        for thread in threads:
            thread.join()

    @Action(description="Leaves processes that have ended")
    def zombies() -> None:
        processes = [subprocess.Popen(["true"], stdout=subprocess.PIPE) for _ in range(3)]
        for process in processes:
            process.stdout.read()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    @Action(description="Leaves a thread")
    def thread(daemon: bool) -> None:
        threading.Thread(target=time.sleep, args=(100,), name="mail\\nsender \\udc80", daemon=daemon).start()

    @Action(description="Leaves threads of a pool")
    def pool() -> None:
        kept.append(ThreadPoolExecutor(1, thread_name_prefix="senders"))
        kept[-1].submit(abs, 1).result()

    @Action(description="Leaves a thread that threading does not know")
    def raw_thread() -> None:
        _thread.start_new_thread(lambda: time.sleep(100), ())

    @Action(description="Leaves a thread that does not know Python")
    def native(which: str, argument: int) -> None:
        thread = ctypes.c_ulong()
        kept.append(thread)
        start = ctypes.cast(getattr(libc, which), ctypes.c_void_p)
        libc.pthread_create(ctypes.byref(thread), None, start, ctypes.c_void_p(argument))

    @Action(description="Leaves a process")
    def process(daemon: bool = False) -> int:
        if not daemon:
            return subprocess.Popen(["sleep", "100"]).pid
        out = subprocess.run(
            ["sh", "-c", "setsid sleep 100 > /dev/null 2>&1 & echo $!"], stdout=subprocess.PIPE, check=True
        )
        return int(out.stdout)

    @Action(description="Leaves what multiprocessing keeps")
    def helper() -> None:
        from multiprocessing import resource_tracker
        resource_tracker.ensure_running()

    @Action(description="Fails, and leaves a thread")
    def fails() -> None:
        threading.Thread(target=time.sleep, args=(100,), name="left").start()
        raise ValueError("on purpose")
"""


@pytest.mark.parametrize("action", ["nothing", "waits", "zombies"])
def test_nothing_is_told_where_nothing_is_left(made, action):
    executor = made(SOURCE).executor()
    for _ in range(5):
        finished = executor.run(action)
        assert (finished.failure, finished.left, finished.spent) == (None, [], False)
    assert [child for child in children(executor.pid) if child] == []


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as listing:
        return listing.read().split()


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_is_told_by_name(made, daemon):
    executor = made(SOURCE).executor()
    finished = executor.run("thread", daemon=daemon)
    assert (finished.output, finished.left, finished.spent) == (b"null", [r"thread mail sender \udc80"], True)


def test_threads_of_all_kinds_are_told(made):
    zygote = made(SOURCE)
    assert zygote.executor().run("pool").left == ["thread senders_0"]
    assert zygote.executor().run("raw_thread").left == ["thread without a name"]
    failed = zygote.executor().run("fails")
    assert (failed.failure.message, failed.left) == ("on purpose", ["thread left"])


def test_an_idle_thread_of_a_library_is_let_be(made):
    executor = made(SOURCE).executor()
    for _ in range(2):
        finished = executor.run("native", which="sleep", argument=100)
        assert (finished.failure, finished.left, finished.spent) == (None, [], False)


def test_a_result_does_not_wait_for_a_thread_that_computes(made):
    source = """
        import ctypes, threading
        kept = []

        @Action(description="Leaves a thread that does not know Python, and shuffles letters for seconds")
        def computes() -> int:
            kept.extend([ctypes.create_string_buffer(b"x" * 2**26), ctypes.c_ulong()])
            libc = ctypes.CDLL(None)
            start = ctypes.cast(libc.strfry, ctypes.c_void_p)
            libc.pthread_create(ctypes.byref(kept[1]), None, start, kept[0])
            print("returns")
            return 1
    """
    executor = made(source).executor()
    executor.begin("computes")
    executor.line()
    began = time.monotonic()
    finished = executor.next()
    assert time.monotonic() - began < 0.6
    assert (finished.output, len(finished.left), finished.spent) == (b"1", 1, True)


@pytest.mark.parametrize("daemon", [False, True])
def test_a_process_is_told_with_its_command(made, daemon):
    executor = made(SOURCE).executor()
    finished = executor.run("process", daemon=daemon)
    pid = int(finished.output)
    # It may not have come to executing `sleep`.
    assert finished.left in [[f"process {pid} (sleep 100)"], [f"process {pid} (setsid sleep 100)"]]
    assert finished.spent is True
    os.kill(pid, 9)


def test_a_helper_of_multiprocessing_is_not_told(made):
    finished = made(SOURCE).executor().run("helper")
    assert (finished.failure, finished.left, finished.spent) == (None, [], True)


ASYNC = """
    import asyncio

    @Action(description="Never executed: the test answers")
    async def child() -> int: ...

    @Action(description="Calls, and gives up")
    async def gives_up() -> str:
        try:
            await asyncio.wait_for(child(), 0.05)
        except asyncio.TimeoutError:
            memory.get("key")
            return "given up"

    @Action(description="Calls many, and gives all up")
    async def gives_all_up() -> int:
        done, pending = await asyncio.wait([asyncio.ensure_future(child()) for _ in range(10)], timeout=0.05)
        return len(pending)

    @Action(description="Has its call fail")
    async def fails_in_a_call() -> str:
        try:
            await child()
        except Exception:
            return "failed"
"""


def test_a_call_that_failed_leaves_no_thread(made):
    from ziet import _wire

    executor = made(ASYNC).executor()
    for _ in range(20):
        executor.begin("fails_in_a_call")
        while not isinstance(message := executor.next(), _wire.Finished):
            if isinstance(message, _wire.Call):
                executor.send(_wire.Refused(message.request, "call_depth", "too deep"))
        assert (message.failure, message.left, message.spent) == (None, [], False)


@pytest.mark.parametrize(("action", "calls"), [("gives_up", 1), ("gives_all_up", 10)])
def test_a_call_that_was_given_up_leaves_no_thread(made, action, calls):
    from ziet import _wire

    executor = made(ASYNC).executor()
    for _ in range(3):
        executor.begin(action)
        while not isinstance(message := executor.next(), _wire.Finished):
            if isinstance(message, _wire.MemoryGet):
                executor.send(_wire.MemoryValue(message.request, None))
        assert (message.failure, message.left, message.spent) == (None, [], False)
        assert sum(isinstance(each, _wire.Abandon) for each in executor.messages) == calls


def test_importing_tells_of_threads_that_forking_leaves_behind(made):
    zygote = made(
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(100,), name="metrics", daemon=True).start()
        threading.Thread(target=time.sleep, args=(100,), name="cache", daemon=True).start()

        @Action(description="Does nothing")
        def nothing() -> int:
            return 1
        """
    )
    executor = zygote.executor()
    assert [executor.run("nothing").left for _ in range(2)] == [[], []]
    _, err = zygote.close()
    assert err.decode().count("\n") == 1
    assert re.search(r'will not have: cache, metrics\..*or set start = "spawn"', err.decode())


SETTING = """
    import os
    {imports}
    seen = os.environ.get("OPENBLAS_NUM_THREADS")

    @Action(description="Tells what was and is set")
    def tells() -> list[str | None]:
        return [seen, os.environ.get("OPENBLAS_NUM_THREADS")]
"""


def test_importing_numpy_leaves_no_thread(made):
    pytest.importorskip("numpy")
    zygote = made(SETTING.format(imports="import numpy"))
    assert len(os.listdir(f"/proc/{zygote.process.pid}/task")) == 1
    assert zygote.executor().output("tells") == ["1", None]
    assert zygote.close() == (b"", b"")


def test_what_the_user_sets_for_libraries_is_kept(made):
    zygote = made(SETTING.format(imports=""), environment={"OPENBLAS_NUM_THREADS": "2"})
    assert zygote.executor().output("tells") == ["2", "2"]


def test_a_process_that_is_left_ends_with_its_executor(made):
    zygote = made(SOURCE)
    executor = zygote.executor()
    pid = int(executor.run("process", daemon=True).output)
    zygote.send(_kill(executor.pid))
    assert zygote.exit_of(executor.pid) == -9
    until = time.monotonic() + PATIENCE
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < until
        time.sleep(0.01)


def _kill(pid):
    from ziet import _wire

    return _wire.Kill(pid)
