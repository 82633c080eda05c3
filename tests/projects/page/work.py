"""What the page's examples call without saying what it is."""

import time
from typing import Any


def perform_operation() -> str:
    return "performed"


def call_external_api() -> dict[str, int]:
    return {"status": 200}


def expensive_computation(data: dict[str, Any]) -> int:
    time.sleep(data.get("seconds", 0))
    return len(data)


def process(data: dict[str, Any]) -> dict[str, Any]:
    return {"processed": sorted(data)}


def risky_call(data: dict[str, Any]) -> str:
    if data.get("raise") == "ValueError":
        raise ValueError("not valid")
    if data.get("raise"):
        raise RuntimeError("not expected")
    return "took the risk"


def send_email(address: str, message: str) -> str:
    return f"sent {message!r} to {address}"


def validate(data: dict[str, Any]) -> bool:
    return bool(data)


def expensive_processing(data: list[int]) -> int:
    return sum(data)
