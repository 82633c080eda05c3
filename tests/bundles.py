"""Bundles as `ziet deploy` makes them, made by hand, and deploying them by HTTP."""

from __future__ import annotations

import io
import tarfile
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import zstandard

from server import Answer

if TYPE_CHECKING:
    from server import Server

PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.02


def bundle(files: dict[str, str]) -> bytes:
    """The files of a project as one archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in sorted(files.items()):
            about = tarfile.TarInfo(name)
            about.size = len(text.encode())
            archive.addfile(about, io.BytesIO(text.encode()))
    # Without the padding to a multiple of what a tape would hold.
    end = packed.getvalue().rstrip(b"\0")
    whole = end + bytes(-len(end) % 512 + 1024)
    return zstandard.ZstdCompressor().compress(whole)


def upload(server: Server, packed: bytes, project: str = "shop", **headers: str) -> Answer:
    """Sends a bundle, and gives the answer."""
    known = {"Authorization": f"Api-Key {server.key}", "Content-Type": "application/zstd", "Ziet-Project": project}
    request = urllib.request.Request(
        f"{server.url}/v1/deployments", method="POST", data=packed, headers=known | headers
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, dict(refused.headers), refused.read().decode())


def built(server: Server, deployment: str, project: str = "shop") -> dict[str, Any]:
    """The deployment when it is built, whatever came of it; one that is ready is active as well."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = server.request("GET", f"/v1/deployments/{deployment}", **{"Ziet-Project": project})
        assert answer.status == 200, answer
        document = answer.document
        if document["status"] == "failed" or document["active"]:
            return document
        assert time.monotonic() < end, f"it is not built: {document}"
        time.sleep(PAUSE_SECONDS)


def deploy(server: Server, files: dict[str, str], project: str = "shop") -> dict[str, Any]:
    """Deploys these files, and waits until they are the active version, or have failed."""
    answer = upload(server, bundle(files), project)
    assert answer.status in (200, 202), answer
    return built(server, answer.document["id"], project)
