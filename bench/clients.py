"""Time the Python clients against a server on the same machine: many runs from one process, and one run at a time."""

import argparse
import asyncio
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ziet

PROJECT = Path(__file__).parent / "served"
ACTION = "actions.noop"
INPUT = {"number": 1, "text": "x" * 940, "numbers": [1, 2, 3]}
"""About 1 KB."""
LISTENS = re.compile(r" listens on (http://[^\s\"]+)")
MANY_PER_SECOND = 15_000
ONE_P50_MS = 1.2


class Server(NamedTuple):
    """Where it is, and with which key."""

    url: str
    key: str


@contextmanager
def served(program: Path, state: Path) -> Iterator[Server]:
    """A server as its users start it, with four executors."""
    command = [
        program,
        "serve",
        "--project",
        PROJECT,
        "--state",
        state,
        "--listen",
        "127.0.0.1:0",
        "--concurrency",
        "4",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            listens = next(filter(None, map(LISTENS.search, process.stderr)), None)
            assert listens, "it does not listen"
            yield Server(listens[1], (state / "admin.key").read_text().strip())
        finally:
            process.terminate()
            process.stderr.read()


def many(server: Server, runs: int) -> None:
    """How many runs a second `submit_many` submits, and what each takes of this process."""
    inputs = ({**INPUT, "number": number} for number in range(runs))
    with ziet.Client(server.url, server.key) as client:
        began, used = time.perf_counter(), time.process_time()
        ids = client.submit_many(ACTION, inputs)
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
        client.wait(ids[-1])
    rate = runs / seconds
    print(
        f"submit_many: {rate:,.0f} runs/s, the goal is {MANY_PER_SECOND:,}; {cpu / runs * 1e6:.1f} us of processor each"
    )


def one_at_a_time(name: str, run: Callable[[], object], times: int) -> None:
    """From the call to the result, and what each takes of this process."""
    for _ in range(20):
        run()
    took: list[float] = []
    used = time.process_time()
    for _ in range(times):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    cpu = (time.process_time() - used) / times
    took.sort()
    p50, p99 = took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3
    print(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {cpu * 1e6:.0f} us of processor each")


def awaited(server: Server, times: int) -> None:
    """The same in an event loop."""
    loop = asyncio.new_event_loop()
    client = ziet.AsyncClient(server.url, server.key)

    def run() -> object:
        return loop.run_until_complete(client.run(ACTION, **INPUT))

    one_at_a_time("AsyncClient.run, one at a time", run, times)
    loop.run_until_complete(client.close())
    loop.close()


def raw(server: Server) -> Callable[[], object]:
    """What Python does without any client of ours: the same request, over a connection that is kept."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    headers = {"Authorization": f"Api-Key {server.key}", "Content-Type": "application/json"}
    body = json.dumps({"action_id": ACTION, "input": INPUT})

    def run() -> object:
        connection.request("POST", "/v1/runs?wait=60", body, headers)
        return json.loads(connection.getresponse().read())["output"]

    return run


def main() -> None:
    """Print the figures beside their goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="how many runs are submitted at once")
    parser.add_argument("--times", type=int, default=2_000, help="how many runs are waited for one at a time")
    options = parser.parse_args()

    program = Path(sys.executable).with_name("ziet")
    with tempfile.TemporaryDirectory() as folder, served(program, Path(folder) / "state") as server:
        one_at_a_time("http.client, one at a time", raw(server), options.times)
        with ziet.Client(server.url, server.key) as client:
            one_at_a_time("Client.run, one at a time", lambda: client.run(ACTION, **INPUT), options.times)
        print(f"the goal is a p50 of at most {ONE_P50_MS} ms")
        awaited(server, options.times)
        many(server, options.runs)


if __name__ == "__main__":
    main()
