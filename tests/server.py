"""Drives `ziet serve` as its users do: starts it, speaks HTTP with it, asks it to end, kills it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from program import Project, Ziet

LISTENS = re.compile(r' listens on (https?://[^\s"]+)')
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.02
ENDED = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:
        return json.loads(self.text)


class Server:
    """A server on a state of its own, which its next start finds again."""

    def __init__(self, ziet: Ziet, project: Project, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self._ziet = ziet
        self._project = project
        self._options = options
        self._environment = environment
        self._said = threading.Condition()
        self.program = ziet.program
        self.descriptors: list[int] = []
        """What it inherits besides the usual ones."""
        self.state = ziet.scratch / "state"
        self.log: list[str] = []
        """The lines on standard error, of all its starts."""
        self.url = ""
        self.start()

    def start(self) -> None:
        """Starts it once more, and waits until it listens."""
        self.url = ""
        self.process = subprocess.Popen(
            self.command,
            cwd=self._project.folder,
            env=self._ziet.environment | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            pass_fds=self.descriptors,
        )
        self._ziet.started.append(self.process)
        self._reader = threading.Thread(target=self._read, args=(self.process,))
        self._reader.start()
        with self._said:
            self._said.wait_for(lambda: self.url or not self._reader.is_alive(), PATIENCE_SECONDS)
        assert self.url, f"it does not listen: {''.join(self.log)}"

    @property
    def command(self) -> list[str]:
        """What starts it."""
        return [str(self.program), "serve", *self.arguments]

    @property
    def arguments(self) -> list[str]:
        """What follows `ziet serve`."""
        listen = () if "--listen" in self._options else ("--listen", "127.0.0.1:0")
        return ["--state", str(self.state), *listen, *self._options]

    @property
    def key(self) -> str:
        """The first admin key."""
        return (self.state / "admin.key").read_text("ascii").strip()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request with the admin key, and the answer, whatever its status."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Api-Key {self.key}", "Content-Type": "application/json"} | headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, dict(refused.headers), refused.read().decode())

    def get(self, path: str) -> Any:
        """The document at this path."""
        answer = self.request("GET", path)
        assert answer.status == 200, answer
        return answer.document

    def submit(self, action: str, _more: dict[str, Any] | None = None, /, **input: Any) -> str:
        """The id of a new run; `_more` are other fields of the request."""
        answer = self.request("POST", "/v1/runs", {"action_id": action, "input": input} | (_more or {}))
        assert answer.status in (200, 201, 202), answer
        return answer.document["id"]

    def run(self, run: str) -> dict[str, Any]:
        """The document of a run as it is now."""
        return self.get(f"/v1/runs/{run}")

    def until(self, run: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The document of a run once something holds of it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds(document := self.run(run)):
            assert time.monotonic() < end, f"it did not come to hold: {document}"
            time.sleep(PAUSE_SECONDS)
        return document

    def wait(self, run: str) -> dict[str, Any]:
        """The document of a run that has finished."""
        return self.until(run, lambda document: document["status"] in ENDED)

    def finished(self, action: str, **input: Any) -> dict[str, Any]:
        """The document of a new run when it has finished."""
        return self.wait(self.submit(action, **input))

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()
        self._ended()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end, and gives its exit status."""
        self.process.send_signal(by)
        return self._ended()

    def restart(self) -> None:
        """Ends it if nobody has, and starts it on the same state."""
        if self.process.poll() is None:
            self.stop()
        self.start()

    def end(self) -> tuple[int, list[str]]:
        """Waits for its end; gives its exit status and its log."""
        return self._ended(), self.log

    def logged(self, text: str) -> str:
        """The first line of the log with this text, once it is there."""

        def found() -> str | None:
            return next((line for line in self.log if text in line), None)

        with self._said:
            self._said.wait_for(lambda: found() or not self._reader.is_alive(), PATIENCE_SECONDS)
        line = found()
        assert line, f"no {text!r} in {''.join(self.log)}"
        return line

    def files(self) -> list[Path]:
        """What its state is made of."""
        return sorted(self.state.rglob("*"))

    def _ended(self) -> int:
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join()
        return status

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                listens = LISTENS.search(line)
                with self._said:
                    self.log.append(line)
                    if listens:
                        self.url = listens[1]
                    self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill() if error else self.stop()
