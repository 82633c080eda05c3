"""The folder that actions in a sandbox may write to: made when it is first used, emptied after each attempt."""

from __future__ import annotations

import os
import sys


class Scratch:
    """One folder; it is removed by the program when the executor has ended."""

    def __init__(self, path: str) -> None:
        self._path = path

    def enter(self) -> None:
        """Makes it where it is missing, and makes it the current folder, the home, and the place of temporary files."""
        try:
            os.mkdir(self._path, 0o700)
        except FileExistsError:
            pass
        os.chdir(self._path)
        os.environ["HOME"] = os.environ["TMPDIR"] = self._path
        tempfile = sys.modules.get("tempfile")
        if tempfile is not None:
            # It remembers where temporary files go, here perhaps from before the fork.
            vars(tempfile)["tempdir"] = None

    def is_empty(self) -> bool:
        """Whether there is nothing in it, now that an attempt has ended. What was in it is removed.

        False: something cannot be removed, or the folder is not the one that it was.
        """
        try:
            with os.scandir(self._path) as entries:
                if next(entries, None) is None:
                    return True
        except OSError:
            pass
        try:
            return not os.path.islink(self._path) and self._is_emptied()
        except (OSError, RecursionError):
            return False

    def _is_emptied(self) -> bool:
        import shutil  # Only where there is something.

        os.chmod(self._path, 0o700)
        for entry in list(os.scandir(self._path)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
                if os.path.lexists(entry.path):
                    _give_permissions(entry.path)
                    shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        return not os.listdir(self._path)


def _give_permissions(folder: str) -> None:
    """Makes a folder and all below it removable for its owner, from whom the action has taken that."""
    os.chmod(folder, 0o700)
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            _give_permissions(entry.path)
