"""The program's side of the sockets, as small as can be: starts a real zygote and speaks with it and its executors."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec

from ziet import _wire

SDK = Path(__file__).parents[1]
BOOTSTRAP = "import sys; sys.path.insert(0, sys.argv[1]); from ziet._zygote import main; main()"
PATIENCE = 30.0


class Zygote:
    """A zygote that has imported the source of a project's one module, `actions`."""

    def __init__(self, folder: Path, source: str, *, start="fork", environment=None, modules=None):
        self.folder = folder
        (folder / "actions.py").write_text("from ziet import Action, memory\n" + textwrap.dedent(source), "utf-8")
        for name, text in (modules or {}).items():
            (folder / f"{name}.py").write_text(text, "utf-8")
        self.path = str(folder / "socket")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self.control = ours
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, str(SDK), str(os.getpid()), self.path],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=os.environ | (environment or {}),
        )
        theirs.close()
        self._reader = _wire.Reader(ours, _wire.FromZygote)
        self._tokens = 0
        self.executors: list[Executor] = []
        hello = self.read()
        assert isinstance(hello, _wire.ZygoteHello)
        self.send(_wire.Load(str(folder), [str(folder)], ["actions", *(modules or ())], start=start))
        self.actions, self.problems = [], []
        while not isinstance(message := self.read(), _wire.Loaded):
            if isinstance(message, _wire.Action):
                self.actions.append(message.spec)
            else:
                self.problems.append(message.problem)

    def send(self, message):
        self.control.sendall(_wire.encode(message))

    def read(self):
        return self._reader.read()

    def ask(self, scratch=None):
        """Has an executor made that has not been heard of yet; its token and process id."""
        self._tokens += 1
        token = f"token-{self._tokens}"
        self.send(_wire.Fork(token, scratch))
        forked = self.read()
        assert isinstance(forked, _wire.Forked)
        assert forked.token == token
        return token, forked.pid

    def executor(self, scratch=None):
        token, pid = self.ask(scratch)
        connection, _ = self._listener.accept()
        executor = Executor(connection, pid)
        assert executor.hello.token == token
        self.executors.append(executor)
        return executor

    def exit_of(self, pid):
        """How that executor ended: its exit status, or the number of a signal below zero."""
        exited = self.read()
        assert isinstance(exited, _wire.Exited)
        assert exited.pid == pid
        self.send(_wire.Reap(pid))
        return exited.status

    def close(self):
        """Ends it as the program would; what it wrote to standard output and standard error."""
        for executor in self.executors:
            executor.close()
        self.control.close()
        try:
            return self.process.communicate(timeout=PATIENCE)
        finally:
            self.process.kill()
            self._listener.close()


class Executor:
    """An executor that has said hello."""

    def __init__(self, connection, pid):
        connection.settimeout(PATIENCE)
        self.pid = pid
        self._connection = connection
        data, self.pipes, _, _ = socket.recv_fds(connection, 4096, 3)
        self._reader = _wire.Reader(connection, _wire.FromExecutor)
        self.hello = msgspec.msgpack.decode(data[4:], type=_wire.Hello)
        self.lines: list[tuple[str, str]] = []
        self.messages: list = []

    def send(self, message):
        self._connection.sendall(_wire.encode(message))

    def begin(self, function, *, environment=(), memory_limit=None, **arguments):
        """Has it begin an attempt."""
        self.lines, self.messages = [], []
        start = _wire.Start(
            run_id="run-1",
            attempt=1,
            action_id=f"actions.{function}",
            input=msgspec.json.encode(arguments),
            memory_id="memory-1",
            first_call=0,
            environment=list(environment),
            secrets=[],
            mocked=True,
            memory_limit=memory_limit,
        )
        self.send(start)

    def next(self):
        """Its next message; those that only want an answer get one."""
        message = self._reader.read()
        self.messages.append(message)
        if isinstance(message, _wire.Drain):
            self.send(_wire.Done(message.request))
        elif isinstance(message, _wire.Output):
            self.lines += [(message.level, line) for line in message.text.split("\n")]
        return message

    def run(self, function, **arguments):
        """One attempt, up to its end; `lines` has what it printed by Python, `raw` what went past it."""
        self.begin(function, **arguments)
        while not isinstance(message := self.next(), _wire.Finished):
            pass
        return message

    def line(self):
        """Waits for something that the attempt prints."""
        while not isinstance(self.next(), _wire.Output):
            pass

    def stack(self, words):
        """Waits until those words have come through the pipe of the stack."""
        data = ""
        while words not in data:
            ready, _, _ = select.select([self.pipes[2]], [], [], PATIENCE)
            assert ready, data
            data += os.read(self.pipes[2], 65536).decode()

    def output(self, function, **arguments):
        """What the action returns."""
        finished = self.run(function, **arguments)
        assert finished.failure is None, finished.failure.traceback
        return msgspec.json.decode(finished.output or b"")

    def raw(self, descriptor=1):
        """What has come through the pipe of standard output, or of standard error."""
        pipe, data = self.pipes[descriptor - 1], b""
        while select.select([pipe], [], [], 0)[0]:
            piece = os.read(pipe, 65536)
            if not piece:
                break
            data += piece
        return data

    def close(self):
        self._connection.close()
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                os.close(pipe)
        self.pipes = []
