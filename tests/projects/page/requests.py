"""Stands in for the library: an address says how often in a row it does not answer (`https://flaky.example/2`)."""

import os
from pathlib import Path
from typing import Any


class HTTPError(OSError):
    pass


class Response:
    def __init__(self, url: str, status: int) -> None:
        self.url = url
        self.status_code = status

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise HTTPError(f"{self.status_code} Server Error for url: {self.url}")

    def json(self) -> dict[str, Any]:
        return {"url": self.url, "ok": True}


def get(url: str) -> Response:
    last = url.rpartition("/")[2]
    failures = int(last) if last.isdigit() else 0
    tried = Path(os.environ["SCRATCH"]) / "tried"
    before = len(tried.read_text()) if tried.exists() else 0
    tried.write_text("x" * (before + 1))
    return Response(url, 503 if before < failures else 200)
