"""`--watch`: runs again on a save, with the code as it is now, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from program import Project, Running, Ziet

WATCHING = "(Ctrl-C ends)"
STORED = "Result stored in memory: "

HELLO = """
from ziet import Action, memory

@Action(description="Says hello")
def hello(name: str = "you") -> None:
    memory.add("said", f"hello {name}")
"""
SLOW = """
import time
from ziet import Action, memory

@Action(description="Takes a minute")
def hello() -> None:
    memory.add("began", True)
    time.sleep(60)
"""


def save(project: Project, file: str, text: str) -> None:
    """As most editors do: a new file takes the place of the old one."""
    path = project.folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.replace(path)


def watch(project: Project, *arguments: str) -> tuple[Running, int]:
    """Starts a watch in a terminal; waits for the end of the first run."""
    running, keyboard = project.start_in_terminal("run", "--local", "action", "hello", "--watch", *arguments)
    return running, keyboard


def end(running: Running, keyboard: int) -> int:
    os.write(keyboard, b"\x03")
    return running.finish().status


def test_a_save_runs_it_again(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO, "words.py": ""})

    running, keyboard = watch(project)
    assert running.until(STORED).endswith('{"said": "hello you"}')
    assert running.until(WATCHING).endswith(f"Watching {project.folder} (Ctrl-C ends)\x1b[0m")
    # The same length within the same second: to Python's caches it is the same file.
    for word in ("Hallo", "Salut", "Hola!"):
        save(project, "hello.py", HELLO.replace("hello {", word + " {"))
        assert "Changed: hello.py" in running.until("Changed: ")
        assert running.until(STORED).endswith(f'{{"said": "{word} you"}}')
        running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_every_file_that_the_code_imports_counts_and_so_does_a_new_one(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO.replace('"you"', "words.WHO").replace("\nfrom", "\nimport words\nfrom")})

    running, keyboard = watch(project)
    running.until("No module named 'words'")
    running.until(WATCHING)
    (project.folder / "words").mkdir()
    save(project, "words/__init__.py", "WHO = 'new module'")
    assert running.until(STORED).endswith('{"said": "hello new module"}')
    running.until(WATCHING)
    save(project, "words/__init__.py", "WHO = 'changed'")
    assert "Changed: words/__init__.py" in running.until("Changed: ")
    assert running.until(STORED).endswith('{"said": "hello changed"}')
    running.until(WATCHING)
    save(project, "ziet.toml", "modules = ['nowhere']")
    assert "Changed: ziet.toml" in running.until("Changed: ")
    running.until("No module named 'nowhere'")
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def watches(running: Running) -> int:
    """How many files and folders the system watches for the program."""
    about = Path(f"/proc/{running.pid}/fdinfo").iterdir()
    return sum(file.read_text().count("inotify wd:") for file in about)


def test_only_folders_of_the_project_are_watched(ziet: Ziet) -> None:
    theirs = [f"{tools}/x/y/z.py" for tools in (".venv", ".git", "node_modules", "env", "shop/__pycache__")]
    project = ziet.write({"hello.py": HELLO, "env/pyvenv.cfg": "", "shop/data/x.txt": "", **dict.fromkeys(theirs, "")})

    running, keyboard = watch(project)
    running.until(WATCHING)
    assert watches(running) == 3  # Its own, shop and shop/data.
    # A folder that comes as a whole, and what is saved in it later.
    (ziet.scratch / "new" / "deep").mkdir(parents=True)
    (ziet.scratch / "new" / "deep" / "words.py").touch()
    (ziet.scratch / "new").rename(project.folder / "new")
    assert "new/deep/words.py" in running.until("Changed: ")
    running.until(WATCHING)
    assert watches(running) == 5
    (project.folder / "new").rename(project.folder / "newer")
    running.until("newer/deep/words.py")
    running.until(WATCHING)
    assert watches(running) == 5
    save(project, "newer/deep/words.py", "x = 1")
    assert running.until("Changed: ").startswith("\x1b[2mChanged: newer/deep/words.py")
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_a_broken_save_is_told_and_the_next_one_is_waited_for(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO})

    running, keyboard = watch(project)
    running.until(WATCHING)
    for broken, told in [
        ("import ziet\ndef f(:", "SyntaxError"),
        ("import ziet, os; os._exit(3)", "ended (exit status 3) while it imported the project"),
        (HELLO.replace("def hello", "def hallo"), "no action `hello`"),
        (HELLO.replace("memory.add(", "1 / 0 #"), "ZeroDivisionError"),
    ]:
        save(project, "hello.py", broken)
        running.until(told)
        running.until(WATCHING)
    save(project, "ziet.toml", "name =")
    running.until("ziet.toml, line 1, column 7")
    running.until(WATCHING)
    (project.folder / "ziet.toml").unlink()
    save(project, "hello.py", HELLO)
    assert running.until(STORED).endswith('{"said": "hello you"}')
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_a_save_ends_the_run_that_is_under_way(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": SLOW})

    running, keyboard = watch(project)
    running.until("Memory added: key=began")
    processes = running.descendants()
    save(project, "hello.py", HELLO)
    running.until("Action hello cancelled by a save")
    running.until("Local run interrupted")
    assert "Changed: hello.py" in running.until("Changed: ")
    assert running.until(STORED).endswith('{"said": "hello you"}')
    running.until(WATCHING)
    assert not any(process.is_running() for process in processes)

    assert end(running, keyboard) == 0


def test_a_save_ends_an_import_that_is_under_way(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": "import time, ziet\ntime.sleep(50)"})

    running, keyboard = watch(project)
    running.until("importing the project takes long")  # After a second: it is surely under way.
    save(project, "hello.py", HELLO)
    assert running.until(STORED).endswith('{"said": "hello you"}')
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_other_files_count_between_runs_but_not_what_a_run_writes(ziet: Ziet) -> None:
    reads = HELLO.replace(
        "memory.add(", "open('log.txt', 'a').write('x')\n    memory.add('who', open('who.txt').read())#"
    )
    project = ziet.write({"hello.py": reads, "who.txt": "Ada"})

    running, keyboard = watch(project)
    assert running.until(STORED).endswith('{"who": "Ada"}')
    running.until(WATCHING)
    for ignored in ["__pycache__/x.py", ".git/x.py", "env/pyvenv.cfg", "env/lib/x.py", ".hello.py.swp", "hello.py~"]:
        (project.folder / ignored).parent.mkdir(exist_ok=True, parents=True)
        (project.folder / ignored).write_text("x")
    save(project, "who.txt", "Grace")
    changed = running.until("Changed: ")
    assert "who.txt" in changed
    assert not any(ignored in changed for ignored in ("x.py", "pyvenv", "swp", "~", "log.txt"))
    assert running.until(STORED).endswith('{"who": "Grace"}')
    running.until(WATCHING)

    assert end(running, keyboard) == 0
    assert (project.folder / "log.txt").read_text() == "xx"


def test_many_saves_at_once_are_one(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO})

    running, keyboard = watch(project)
    running.until(WATCHING)
    for number in range(5):
        save(project, f"part{number}.py", "")
    assert "Changed: part0.py, part1.py, part2.py, 2 more" in running.until("Changed: ")
    running.until(WATCHING)
    save(project, "last.py", "")
    assert "Changed: last.py" in running.until("Changed: ")
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_an_interrupt_within_a_run_ends_both(ziet: Ziet) -> None:
    running, keyboard = watch(ziet.write({"hello.py": SLOW}))
    running.until("Memory added")

    assert end(running, keyboard) == 130


def test_a_request_to_end_is_obeyed_between_runs(ziet: Ziet) -> None:
    running, _ = watch(ziet.write({"hello.py": HELLO}))
    running.until(WATCHING)

    os.kill(running.pid, signal.SIGTERM)

    assert running.finish().status == 0


def test_each_run_has_a_document_of_its_own(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO})

    running = project.start("run", "--local", "action", "hello", "--watch", "--json")
    first = json.loads(running.until("{"))
    save(project, "hello.py", HELLO.replace("hello {", "bye {"))
    second = json.loads(running.until("{"))
    os.kill(running.pid, signal.SIGINT)
    done = running.finish()

    assert [first["memory"], second["memory"]] == [{"said": "hello you"}, {"said": "bye you"}]
    assert first["id"] != second["id"]
    assert done.out.count("\n") == 2
    assert f"Watching {project.folder} (Ctrl-C ends)\n" in done.err


def test_an_input_file_is_read_for_each_run(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO, "input.json": '{"name": "Ada"}'})

    running, keyboard = watch(project, "--input", "@input.json")
    assert running.until(STORED).endswith('{"said": "hello Ada"}')
    running.until(WATCHING)
    save(project, "input.json", "{")
    running.until("--input is not JSON")
    running.until(WATCHING)
    save(project, "input.json", '{"name": "Grace"}')
    assert running.until(STORED).endswith('{"said": "hello Grace"}')
    running.until(WATCHING)

    assert end(running, keyboard) == 0


def test_standard_input_is_read_once(ziet: Ziet) -> None:
    project = ziet.write({"hello.py": HELLO})

    running, keyboard = watch(project, "--input", "-")
    running.until("end it with Ctrl-D")
    os.write(keyboard, b'{"name": "Ada"}\n\x04')
    assert running.until(STORED).endswith('{"said": "hello Ada"}')
    running.until(WATCHING)
    save(project, "hello.py", HELLO.replace("hello {", "bye {"))
    assert running.until(STORED).endswith('{"said": "bye Ada"}')
    running.until(WATCHING)

    assert end(running, keyboard) == 0


@pytest.mark.parametrize("file", ["ziet.toml", "pyproject.toml"])
def test_a_project_that_cannot_be_found_is_not_watched(ziet: Ziet, file: str) -> None:
    done = ziet.write({file: "= 1"}).run("hello", "--watch")

    assert (done.status, done.out) == (2, "")
    assert file in done.err
