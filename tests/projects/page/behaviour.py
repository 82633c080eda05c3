"""Retries, timeouts and both ways to handle errors."""

from typing import Any

import requests  # pyright: ignore[reportMissingModuleSource]
import work

from ziet import Action, memory


@Action(id="flaky_api_call", name="API Call", description="Calls a service that may fail", retries=3)
def flaky_api_call(url: str) -> None:
    response = requests.get(url)
    response.raise_for_status()
    memory.add(key=f"api_{url}", value=response.json())


@Action(id="long_running_task", name="Long Running Task", description="Computes within its time", timeout=1)
def long_running_task(data: dict[str, Any]) -> None:
    result = work.expensive_computation(data)
    memory.add(key="computation_result", value=result)


@Action(id="risky_operation", name="Risky Operation", description="Leaves errors to Ziet", retries=2)
def risky_operation(data: dict[str, Any]) -> None:
    if not data.get("valid"):
        raise ValueError("Invalid data")

    result = work.process(data)
    memory.add(key="operation_result", value=result)


@Action(id="safe_operation", name="Safe Operation", description="Handles errors itself")
def safe_operation(data: dict[str, Any]) -> None:
    try:
        result = work.risky_call(data)
        memory.add(key="success", value=result)
        memory.add(key="status", value="success")
    except ValueError as error:
        memory.add(key="validation_error", value={"error": str(error)})
        memory.add(key="status", value="validation_error")
    except Exception as error:
        memory.add(key="unexpected_error", value={"error": str(error)})
        memory.add(key="status", value="unexpected_error")
