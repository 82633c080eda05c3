"""Packages and an index of a test's own, so that nothing comes from a network."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import importlib.metadata
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED_BY_THE_SDK = ("docstring-parser", "msgspec")


class Index:
    """An index of packages: a folder for each, served by `http.server`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url
        for name in NEEDED_BY_THE_SDK:
            self._repack(name)

    def wheel(self, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> None:
        """Adds a wheel with these modules."""
        contents = {file: text.encode() for file, text in files.items()}
        contents |= _about(name, version, requires)
        self._write(name, f"{_module(name)}-{version}-py3-none-any.whl", _zipped(name, version, contents))

    def source(self, name: str, version: str, builds: str) -> None:
        """Adds a source distribution: `builds` is executed when it is built, and makes `text`, that of its module."""
        backend = f"""\
import sys
sys.path.insert(0, ".")
def build_wheel(folder, *_):
    from wheels import _about, _module, _zipped
    space = {{}}
    exec({builds!r}, space)
    name, version = {name!r}, {version!r}
    contents = {{_module(name) + ".py": space["text"].encode()}} | _about(name, version, ())
    file = f"{{_module(name)}}-{{version}}-py3-none-any.whl"
    with open(folder + "/" + file, "wb") as wheel:
        wheel.write(_zipped(name, version, contents))
    return file
"""
        top = f"{_module(name)}-{version}"
        files = {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\n',
            "backend.py": backend,
            "wheels.py": Path(__file__).read_text("utf-8"),
        }
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for file, text in files.items():
                entry = tarfile.TarInfo(f"{top}/{file}")
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        self._write(name, f"{top}.tar.gz", packed.getvalue())

    def allow(self, name: str) -> None:
        """Has something of this name, which a build may wait for."""
        (self._folder / name).touch()

    def _repack(self, name: str) -> None:
        """Adds the wheel of which a package was installed here."""
        installed = importlib.metadata.distribution(name)
        contents: dict[str, bytes] = {}
        tag = "py3-none-any"
        for file in installed.files or ():
            if file.suffix == ".pyc" or ".." in file.parts or file.name in ("RECORD", "INSTALLER", "REQUESTED"):
                continue
            contents[file.as_posix()] = file.read_binary()
            if file.name == "WHEEL":
                tags = re.findall(r"^Tag: (\S+)", file.read_text(), re.MULTILINE)
                tag = f"{tags[0].rpartition('-')[0]}-{'.'.join(sorted({each.rpartition('-')[2] for each in tags}))}"
        file = f"{_module(name)}-{installed.version}-{tag}.whl"
        self._write(name, file, _zipped(name, installed.version, contents))

    def _write(self, name: str, file: str, content: bytes) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)


def _module(name: str) -> str:
    return name.replace("-", "_")


def _about(name: str, version: str, requires: tuple[str, ...]) -> dict[str, bytes]:
    folder = f"{_module(name)}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {other}\n" for other in requires)
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n{needs}".encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }


def _zipped(name: str, version: str, contents: dict[str, bytes]) -> bytes:
    record = f"{_module(name)}-{version}.dist-info/RECORD"
    record = next((file.replace("WHEEL", "RECORD") for file in contents if file.endswith(".dist-info/WHEEL")), record)

    def line(file: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{file},sha256={digest},{len(content)}\n"

    lines = "".join(line(file, content) for file, content in contents.items())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in contents.items():
            archive.writestr(file, content)
        archive.writestr(record, f"{lines}{record},,\n")
    return packed.getvalue()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may hang up."""


@contextmanager
def index_of(folder: Path) -> Iterator[Index]:
    """Serves an index from this folder."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Index(folder / "simple", f"http://127.0.0.1:{server.server_port}/simple")
        finally:
            server.shutdown()
            thread.join()
