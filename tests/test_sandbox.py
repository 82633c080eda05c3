"""`--sandbox on`: what shut-in code cannot do, with every wall alone and with all of them, and what it still can."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from program import PROGRAM, Project, Ziet
from shut import ROOT, SECRET, Shut, command_of


def test_it_says_what_holds(shut: Shut) -> None:
    done = shut.start("")
    _, err = done.communicate()

    line = next(line for line in err.splitlines() if line.startswith("Sandbox: "))
    assert ("Landlock" in line) == (shut.walls != "namespaces")
    assert ("namespaces of mounts and processes" in line) == shut.has_own_processes
    assert ("user 1900" in line or "user 65534" in line) == ROOT


def test_nothing_is_said_without_one(ziet: Ziet) -> None:
    done = ziet.project("shut_in").run("execute", "-p", "code=''")

    assert (done.status, done.err) == (0, "")
    assert "Sandbox" not in done.out


def test_only_scratch_can_be_written_to(shut: Shut) -> None:
    outside = shut.temporary / "outside"
    outside.mkdir(mode=0o777)
    os.chmod(outside, 0o777)
    result = shut(f"""
def write(folder):
    Path(folder, "x").write_text("x")
    return "written"
folders = ["/", "/usr", "/etc", "/tmp", "/var/tmp", "/proc", "/proc/sys/kernel", "/dev", {str(Path.home())!r}]
folders += [{str(outside)!r}, {str(shut.folder)!r}, os.path.dirname(__import__("ziet").__file__)]
result = {{
    "elsewhere": [tried(write, folder) for folder in folders],
    "scratch": tried(write, "."),
    "null": tried(Path("/dev/null").write_text, "x"),
    "rename": tried(os.rename, {str(shut.folder / "beside.txt")!r}, "x"),
    "same": os.getcwd() == os.environ["HOME"] == os.environ["TMPDIR"],
}}
""")

    refused = {"PermissionError", "FileNotFoundError", "OSError"}
    assert set(result["elsewhere"]) <= refused, result
    assert result["rename"] in refused
    assert (result["scratch"], result["null"], result["same"]) == ("written", 1, True)
    assert not list(outside.iterdir())


def test_what_is_not_needed_cannot_be_read(shut: Shut, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    other = shut.temporary / "other.txt"
    other.write_text(SECRET)
    state = shut.folder / ".ziet"
    state.mkdir()
    (state / "state.db").write_text(SECRET)
    for path in (other, state, state / "state.db"):
        path.chmod(0o755)

    result = shut(f"""
files = [{str(other)!r}, {str(state / "state.db")!r}, "/etc/shadow", "/etc/sudoers", "/proc/1/environ", "/proc/kcore"]
folders = [{str(Path.home())!r}, "/home", "/tmp", "/var/log", {str(state)!r}, {str(shut.temporary)!r}]
own = Path("/proc/1/environ") if os.getppid() == 1 else None
result = {{
    "files": [tried(Path(file).read_text) for file in files if Path(file) != own],
    "folders": [tried(os.listdir, folder) for folder in folders],
    "beside": [BESIDE, Path({str(shut.folder / "beside.txt")!r}).read_text()],
    "listed": sorted(set(os.listdir({str(shut.folder)!r})) - {{".ziet", "__pycache__"}}),
}}
""")

    assert set(result["files"]) <= {"PermissionError", "FileNotFoundError"}, result
    for listed in result["folders"]:
        # A folder above what may be read can be there, with nothing in it but the way.
        assert listed in ("PermissionError", "FileNotFoundError") or SECRET not in str(listed), result
    assert result["beside"] == ["beside\n"] * 2
    assert result["listed"] == ["beside.txt", "shut_in.py"]


def test_the_environment_holds_what_is_meant_for_it(shut: Shut) -> None:
    shut.ziet.environment |= {"LC_TIME": "C", "PYTHONPATH": "/x", "AWS_SECRET_ACCESS_KEY": SECRET, "TZ": "UTC"}
    environment = shut("result = dict(os.environ)")

    assert SECRET not in environment.values()
    allowed = ["HOME", "LANG", "LC_TIME", "LOGNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TZ", "USER"]
    assert sorted(name for name in environment if not name.startswith(("ZIET_RUN", "SSL_CERT"))) == allowed


def test_the_supervisor_is_out_of_reach(shut: Shut) -> None:
    result = shut(f"""
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
seen = []
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "maps"):
        text = tried(Path("/proc", process, name).read_bytes)
        if isinstance(text, bytes) and {SECRET!r}.encode() in text:
            seen.append((process, name))
inside = os.getppid() == 1
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
byte = ctypes.create_string_buffer(1)
here, there = Vector(ctypes.addressof(byte), 1), Vector(0x400000, 1)
result = {{
    "seen": seen,
    "environ": tried(Path(f"/proc/{{pid}}/environ").read_bytes),
    "memory": tried(open, f"/proc/{{pid}}/mem", "rb"),
    "files": tried(os.listdir, f"/proc/{{pid}}/fd"),
    "attached": libc.ptrace(16, pid, None, None),
    "read": libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0),
    "killed": tried(os.kill, pid, 0),
}}
""")

    assert result["seen"] == []
    gone = {"PermissionError", "FileNotFoundError", "ProcessLookupError"}
    assert {result[name] for name in ("environ", "memory", "files", "killed")} <= gone, result
    assert (result["attached"], result["read"]) == (-1, -1)


def test_it_has_no_privileges_and_limits(shut: Shut) -> None:
    result = shut("""
import resource
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
names = ("CORE", "FSIZE", "NOFILE", "NPROC")
limits = {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}
def write():
    with open("big", "wb") as file:
        file.truncate(513 * 1024 * 1024)
result = dict(
    status={name: status[name].split() for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "NoNewPrivs")},
    limits=limits, user=os.getresuid(), group=os.getresgid(), groups=os.getgroups(), big=tried(write),
    root=tried(os.setuid, 0) if os.getuid() else "",
    mount=__import__("ctypes").CDLL(None).mount(b"none", b".", b"tmpfs", 0, None),
)
""")

    capabilities = {name: value for name, [value] in result["status"].items() if name != "NoNewPrivs"}
    assert set(capabilities.values()) == {"0" * 16}
    assert result["status"]["NoNewPrivs"] == ["1"]
    assert (result["limits"]["CORE"], result["limits"]["FSIZE"]) == ([0, 0], [512 * 1024 * 1024] * 2)
    assert result["limits"]["NOFILE"][1] <= 65_536
    # Another user, and a namespace, have nothing else in them; and what root may do is not limited.
    room = 512 + 32 * (os.cpu_count() or 1)
    alone = ROOT or shut.has_own_processes
    assert result["limits"]["NPROC"][1] == room if alone else room < result["limits"]["NPROC"][1] < room + 10_000
    assert result["big"] == "OSError"
    # A namespace of users may not even have a root.
    assert result["root"] in ("PermissionError", "OSError")
    assert result["mount"] == -1
    [user] = set(result["user"])
    if ROOT:
        assert user >= 65_534
        assert (set(result["group"]), result["groups"]) == ({user}, [])
    else:
        assert user == os.geteuid()


def test_no_descriptor_of_others_gets_in(shut: Shut) -> None:
    secret = shut.temporary / "secret.txt"
    secret.write_text(SECRET)
    before = f"exec 7<{secret} 8>>{secret};"
    links = shut(
        "result = [tried(os.readlink, f'/proc/self/fd/{number}') for number in os.listdir('/proc/self/fd')]",
        before=before,
    )

    others = [link for link in links if not link.startswith(("pipe:", "socket:")) and link != "FileNotFoundError"]
    assert [link for link in others if not link.startswith("/proc/")] == ["/dev/null"]


def test_a_fork_bomb_is_contained(shut: Shut) -> None:
    # The limit is the user's: whatever other tests have running at the moment counts, too.
    most = 300 + int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])
    count = shut(
        """
import signal
children = []
try:
    while len(children) < 20_000:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
result = len(children)
""",
        before=f"ulimit -u {most} 2>/dev/null || ulimit -p {most};",
    )

    # Python and whatever else the user has count, too.
    assert 0 < count < most


DAEMON = """
import subprocess, time
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["sleep", "600"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "600"])
    os._exit(0)
time.sleep(0.1)
print("started", flush=True)
time.sleep(600)
"""


def started(shut: Shut) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A run that has left processes everywhere, and all that belongs to it."""
    process = shut.start(DAEMON)
    assert process.stderr is not None
    for line in process.stderr:
        if "started" in line:
            break
    return process, psutil.Process(process.pid).children(recursive=True)


def test_a_killed_program_leaves_nothing(shut: Shut) -> None:
    process, below = started(shut)
    assert len([each for each in below if each.name() == "sleep"]) == 3
    process.kill()
    process.communicate()

    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    # The guardian removes what the program would have removed.
    assert not list(shut.temporary.glob("ziet-*"))


def test_an_interrupt_leaves_nothing(shut: Shut) -> None:
    process, below = started(shut)
    process.send_signal(signal.SIGINT)
    process.communicate()

    assert process.returncode == 130
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive


def test_an_interrupt_while_walls_are_built_leaves_nothing(ziet: Ziet) -> None:
    environment = ziet.environment | {"ZIET_SANDBOX": "on", "ZIET_WITHOUT": "landlock"}
    os.chmod(environment["TMPDIR"], 0o711)
    project = ziet.project("shut_in")
    words = ["run", "--local", "action", "execute", "-p", "code=''"]
    for moment in range(40):
        process = subprocess.Popen(
            [PROGRAM, *words], cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        program = psutil.Process(process.pid)
        while process.poll() is None and not any(
            command_of(each).startswith("ziet-launcher") for each in program.children()
        ):
            pass
        # The walls take some milliseconds.
        time.sleep(moment * 0.0002)
        process.send_signal(signal.SIGINT)
        process.wait()
        assert not ziet.left_over()


def test_a_killed_guardian_takes_everything_with_it(shut: Shut) -> None:
    process, below = started(shut)
    [guardian] = [each for each in below if command_of(each).startswith("ziet-launcher")]
    guardian.kill()

    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    process.send_signal(signal.SIGINT)
    process.communicate()


@pytest.mark.parametrize(
    ("code", "ending"),
    [("os._exit(3)", "exit status 3"), ("__import__('ctypes').string_at(0)", "SIGSEGV")],
)
def test_the_end_of_an_import_is_told_as_it_was(shut: Shut, code: str, ending: str) -> None:
    (shut.folder / "shut_in.py").write_text(f"import os, ziet\n{code}\n")
    process = shut.start("")
    _, err = process.communicate()

    assert process.returncode == 1
    assert f"ended ({ending}) while it imported the project" in err


def test_walls_stand_before_the_project_is_imported(shut: Shut) -> None:
    outside = shut.temporary / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    code = f"import pathlib\nfrom ziet import Action\npathlib.Path({str(outside / 'x')!r}).write_text('x')\n"
    (shut.folder / "early.py").write_text(code)
    done = shut.start("")
    _, err = done.communicate()

    assert "module early does not import" in err
    assert not list(outside.iterdir())


def test_common_things_work(shut: Shut) -> None:
    result = shut("""
import multiprocessing, socket, sqlite3, ssl, subprocess, tempfile, zoneinfo
database = sqlite3.connect("x.db")
database.execute("create table t (a)")
database.execute("insert into t values (1)")
database.commit()
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("written")
    file.flush()
    copy = Path(file.name).read_text()
context = ssl.create_default_context()
result = dict(
    shell=subprocess.run(["/bin/sh", "-c", "echo $((6 * 7))"], capture_output=True, text=True).stdout,
    rows=database.execute("select a from t").fetchall(), copy=copy, tls=context.verify_mode.name,
    addresses=len(socket.getaddrinfo("localhost", 80)) > 0,
    zone=tried(lambda: str(zoneinfo.ZoneInfo("Europe/Berlin"))),
    lock=tried(lambda: multiprocessing.Lock().acquire()),
    random=len(Path("/dev/urandom").open("rb").read(4)), home=str(Path.home()) == os.getcwd(),
    processors=os.cpu_count(), user=__import__("getpass").getuser(),
)
""")

    assert result == {
        "shell": "42\n",
        "rows": [[1]],
        "copy": "written",
        "tls": "CERT_REQUIRED",
        "addresses": True,
        "zone": "Europe/Berlin",
        # It needs memory to share, and that a folder of one's own.
        "lock": True if shut.has_own_processes else "PermissionError",
        "random": 4,
        "home": True,
        "processors": os.cpu_count(),
        "user": "ziet",
    }


def test_a_library_such_as_pandas_works(shut: Shut) -> None:
    pytest.importorskip("pandas")
    assert (
        shut("""
import pandas
pandas.DataFrame({"a": [1, 2]}).to_csv("x.csv", index=False)
result = int(pandas.read_csv("x.csv")["a"].sum())
""")
        == 3
    )


def test_a_server_can_be_reached(shut: Shut) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello")

        threading.Thread(target=answer, daemon=True).start()
        code = f"import socket\nresult = socket.create_connection(('127.0.0.1', {port})).recv(5).decode()"
        assert shut(code) == "hello"


def test_without_any_wall_it_refuses_to_start(ziet: Ziet) -> None:
    done = ziet.project("shut_in").run(
        "execute", "-p", "code=''", ZIET_SANDBOX="on", ZIET_WITHOUT="landlock,namespaces"
    )

    assert done.status == 1
    assert done.err.startswith("error: no sandbox is possible without both Landlock and namespaces")
    assert "ZIET_WITHOUT" in done.err


def test_a_project_in_the_root_folder_is_refused(ziet: Ziet) -> None:
    done = Project(ziet, Path("/")).run("f", ZIET_SANDBOX="on", ZIET_MODULES="f")

    assert done.status == 1
    assert done.err.startswith("error: a project in / cannot be shut in")


def test_private_keys_of_the_system_are_not_listed(shut: Shut) -> None:
    names = ["/etc/ssl/private", "/etc/pki/tls/private", "/etc/pki/entitlement"]
    found = shut(f"result = [tried(os.listdir, name) for name in {names}]")

    assert set(found) <= {"PermissionError", "FileNotFoundError"}
    assert shut("result = len(os.listdir('/etc/ssl/certs')) > 0") is Path("/etc/ssl/certs").is_dir()


@pytest.mark.skipif(not ROOT, reason="only root becomes another user")
def test_a_project_that_only_root_can_read_is_refused(ziet: Ziet) -> None:
    project = ziet.write({"actions.py": "from ziet import Action\n@Action(description='d')\ndef f(): ...\n"})
    project.folder.chmod(0o700)
    done = project.run("f", ZIET_SANDBOX="on")

    assert done.status == 1
    assert f"the folder of the project, {project.folder}, is out of reach for user " in done.err
    assert f"because ziet is run by root: {project.folder}: Permission denied" in done.err


def test_doctor_tells_what_would_hold(shut: Shut) -> None:
    rows = Project(shut.ziet, shut.folder)("doctor", "--json") if shut.command == [str(PROGRAM)] else None
    if rows is None:
        pytest.skip("only root can reach this Python")
    found = {row["check"]: row["found"] for row in rows.document}

    assert found["sandbox on"].startswith("in use: ")
    assert ("Landlock" in found["sandbox on"]) == (shut.walls != "namespaces")
    assert found["sandbox off"].startswith("what is left is ended by ")
