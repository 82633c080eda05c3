"""The scratch folder: an attempt's place for files, which the next one finds empty."""

import os
import stat
from pathlib import Path

import pytest

SOURCE = """
    import os, pathlib, shutil, subprocess, tempfile
    tempfile.gettempdir()  # As a library may do when it is imported.

    @Action(description="Tells where it is")
    def where() -> list[str]:
        with tempfile.NamedTemporaryFile() as file:
            temporary = os.path.dirname(file.name)
        shell = subprocess.run(["sh", "-c", "pwd; echo $HOME; echo $TMPDIR"], capture_output=True, text=True)
        return [os.getcwd(), os.environ["HOME"], temporary, *shell.stdout.split()]

    @Action(description="Tells what is there")
    def listing() -> list[str]:
        return os.listdir()

    @Action(description="Leaves files behind")
    def fills(how: str) -> None:
        if how == "file":
            pathlib.Path("file").write_text("x")
        elif how == "link":
            os.symlink("..", "up")
            os.symlink("nowhere", "broken")
        elif how == "folders":
            os.makedirs("a/b/c")
            pathlib.Path("a/b/c/file").write_text("x")
        elif how == "locked":
            os.makedirs("a/b/c")
            pathlib.Path("a/b/c/file").write_text("x")
            for folder in ("a/b/c", "a/b", "a", "."):
                os.chmod(folder, 0)
        elif how == "elsewhere":
            pathlib.Path("file").write_text("x")
            os.chdir("/")
            os.environ["HOME"] = "/"

    @Action(description="Puts a link to a folder of others in its place")
    def replaces(target: str) -> None:
        here = os.getcwd()
        os.rmdir(here)
        os.symlink(target, here)

    @Action(description="Takes it away")
    def removes() -> None:
        os.rmdir(os.getcwd())
"""


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    folder.chmod(0o777)
    return str(folder / "of-executor-1")


def test_it_is_made_on_first_use_and_is_the_place_for_files(made, scratch):
    executor = made(SOURCE).executor(scratch)
    assert not os.path.exists(scratch)
    assert executor.output("where") == [scratch] * 6
    assert stat.S_IMODE(os.stat(scratch).st_mode) == 0o700


@pytest.mark.parametrize("how", ["nothing", "file", "link", "folders", "locked", "elsewhere"])
def test_it_is_empty_for_the_next_attempt(made, scratch, how):
    executor = made(SOURCE).executor(scratch)
    for _ in range(2):
        finished = executor.run("fills", how=how)
        assert (finished.failure, finished.spent) == (None, False)
        assert executor.output("listing") == []
        assert executor.output("where") == [scratch] * 6


def test_an_executor_without_it_is_not_used_again(made, scratch):
    assert made(SOURCE).executor(scratch).run("removes").spent is True


def test_what_a_link_in_its_place_points_to_is_not_removed(made, scratch, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    Path(others / "file").write_text("x")
    assert made(SOURCE).executor(scratch).run("replaces", target=str(others)).spent is True
    assert os.listdir(others) == ["file"]


def test_without_it_the_folder_of_the_shell_stays(made):
    zygote = made(SOURCE, environment={"HOME": "/home-of-shell"})
    executor = zygote.executor()
    assert executor.output("where")[:2] == [str(zygote.folder), "/home-of-shell"]
    executor.run("fills", how="file")
    assert "file" in executor.output("listing")
