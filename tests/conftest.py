"""The `ziet` fixture: the built program, driven as a user would, that must leave nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from program import LATENESS, PROGRAM, SESSION, Ziet, marked
from shut import shut as shut

# Who is started in the background of a shell without job control ignores it, and so would the programs that are tested.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_after_the_session() -> Iterator[None]:
    yield
    assert not marked(SESSION)


@pytest.fixture
def ziet(tmp_path: Path) -> Iterator[Ziet]:
    with clean(tmp_path) as ziet:
        yield ziet


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ziet]:
    """For what several tests of a module can share."""
    with clean(tmp_path_factory.mktemp("lasting")) as ziet:
        yield ziet


@contextmanager
def clean(scratch: Path) -> Iterator[Ziet]:
    assert PROGRAM.is_file(), f"{PROGRAM} is missing: `make test` builds it, or ZIET_PROGRAM names another"
    ziet = Ziet(scratch)
    running: list[int] = []
    left_over: list[str] = []
    try:
        yield ziet
        running = [process.pid for process in ziet.started if process.poll() is None]
        left_over = ziet.left_over()
    finally:
        ziet.clean_up()
    assert not running, "the test has not waited for the program"
    assert not left_over


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how long after its deadline each attempt was killed."""
    late = [
        (report.nodeid.rpartition("::")[2], value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in report.user_properties
        if name == LATENESS
    ]
    if late:
        terminalreporter.section("from the deadline to the kill")
        for test, lateness in sorted(late, key=lambda each: each[1]):
            terminalreporter.write_line(f"{lateness * 1000:6.0f} ms  {test}")
