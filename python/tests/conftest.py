"""What the unit tests of the SDK share: a run that is none, and a process left as it was found."""

import msgspec
import pytest
from worker import Zygote

from ziet import _context, _project, _registry
from ziet._local_memory import LocalMemory, local_memory


class FakeRun:
    """Stands for a running attempt: notes what it is asked for, and keeps memory in a list of its own."""

    def __init__(self):
        self.mocked = True
        self.calls = []
        self.integration_calls = []
        self.answer = None
        self._memory = LocalMemory()

    def call(self, action, args, kwargs):
        self.calls.append((action.id, args, kwargs))
        return self.answer

    def memory_add(self, key, value, metadata):
        return self._memory.memory_add(key, value, metadata)

    def memory_get(self, key):
        return self._memory.memory_get(key)

    def memory_search(self, query, filter, limit):
        found = self._memory.memory_search(query, filter, limit)
        return [msgspec.structs.replace(entry, run_id="run-1", attempt=2) for entry in found]

    def memory_remove(self, entry_id, key):
        return self._memory.memory_remove(entry_id, key)

    def integration_called(self, call):
        self.integration_calls.append(call)


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    """Actions and memory of one test are not there in the next."""
    monkeypatch.setattr(_context, "run", None)
    monkeypatch.setattr(_project, "_inputs", {})
    monkeypatch.setattr(_project, "_results", {})
    known = dict(_registry.actions)
    local_memory.clear()
    yield
    _registry.actions.clear()
    _registry.actions.update(known)


@pytest.fixture
def run(monkeypatch):
    """Puts the test inside a run."""
    fake = FakeRun()
    monkeypatch.setattr(_context, "run", fake)
    return fake


@pytest.fixture
def made(tmp_path):
    """Makes real zygotes, each with a project of one module, and ends them."""
    zygotes = []

    def make(source, **options):
        folder = tmp_path / f"project-{len(zygotes)}"
        folder.mkdir()
        zygotes.append(Zygote(folder, source, **options))
        return zygotes[-1]

    yield make
    for zygote in zygotes:
        zygote.close()


@pytest.fixture
def define():
    """Executes source as the module `shop` in the file `/shop.py` and gives its names."""

    def execute(source, **names):
        from ziet import Action

        module = {"__name__": "shop", "Action": Action, **names}
        exec(compile(source, "/shop.py", "exec", dont_inherit=True), module)
        return module

    return execute
