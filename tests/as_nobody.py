"""Runs the tests about executors once more as `nobody`: what root may do must not be what makes them pass.

    as_nobody.py [ARGUMENTS OF PYTEST]

Only root can do that, and only root needs it. The interpreter may lie in a folder that nobody else can enter, such as
root's home: then pytest runs in a mount namespace in which that folder shows what is needed of it, and nothing else.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NEEDED = (Path(sys.prefix), Path(sys.base_prefix), REPOSITORY)
USER = pwd.getpwnam("nobody")
INSIDE = "--in-a-namespace"

# What starts executors and ends them. The others have to do with texts and types, which are the same for everyone.
TESTS = ("endings", "frames", "misuse", "orphans", "pool", "robust", "sandbox", "sandbox_kernel", "signals")
TESTS_OF_PYTHON = ("executor", "leftovers", "scratch", "zygote")


def closed(folder: Path) -> list[Path]:
    """The folders above that only their owner can enter, outermost first."""
    return [above for above in reversed(folder.resolve().parents) if not above.stat().st_mode & 0o001]


def open_the_way() -> None:
    """Puts an empty folder over each closed one, with what is needed in its old place, in this mount namespace."""
    places = {folder.resolve(): os.open(folder, os.O_PATH) for folder in NEEDED if closed(folder)}
    for folder in sorted({closed(folder)[0] for folder in places}):
        mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder)
    for folder, descriptor in places.items():
        folder.mkdir(parents=True, exist_ok=True)
        # By the descriptor: what had this name is out of sight now.
        mount("--no-canonicalize", "--rbind", f"/proc/{os.getpid()}/fd/{descriptor}", folder)


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def run_tests(arguments: list[str]) -> int:
    """Runs pytest as nobody, with a home and folders for temporary files of its own."""
    with tempfile.TemporaryDirectory(prefix="zn-") as home:
        os.chown(home, USER.pw_uid, USER.pw_gid)
        files = [REPOSITORY / "tests" / f"test_{name}.py" for name in TESTS]
        files += [REPOSITORY / "python" / "tests" / f"test_{name}.py" for name in TESTS_OF_PYTHON]
        # Nothing of the repository is written to, so neither caches of pytest nor of Python.
        options = ["-p", "no:cacheprovider", f"--basetemp={home}/tests", *arguments]
        return subprocess.run(
            [sys.executable, "-B", "-m", "pytest", *options, *files],
            cwd=REPOSITORY,
            env=os.environ | {"HOME": home, "TMPDIR": home, "USER": USER.pw_name, "LOGNAME": USER.pw_name},
            user=USER.pw_uid,
            group=USER.pw_gid,
            extra_groups=[],
            check=False,
        ).returncode


def main(arguments: list[str]) -> int:
    if arguments[:1] == [INSIDE]:
        open_the_way()
        return run_tests(arguments[1:])
    if os.geteuid() != 0:
        print("not root: the tests have run as an ordinary user already")
        return 0
    if not any(map(closed, NEEDED)):
        return run_tests(arguments)
    namespace = ["unshare", "--mount", "--propagation", "private", "--"]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], check=False).returncode:
        [folder, *_] = [above for folder in NEEDED for above in closed(folder)]
        print(
            f"NOT RUN as nobody: only root can enter {folder}, and a mount namespace is not allowed here",
            file=sys.stderr,
        )
        # A machine of somebody who works on Ziet may be like that; the one that says whether a change is good must not.
        return 1 if os.environ.get("CI") else 0
    return subprocess.run([*namespace, sys.executable, __file__, INSIDE, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
