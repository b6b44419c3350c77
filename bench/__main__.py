"""`python -m bench`: what each operation costs beside a control that does the least.

Runs of the server and of the control take turns, and the ratio is the median of the ratios of
neighbours, so that a machine that is slow for a while is slow for both.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.connections import Answer, Connection
from bench.measuring import Bench, Control, Figures, MeasuringError
from bench.operations import CONNECTIONS, Operation, Scene
from bench.servers import Server

WARM_UP_SECONDS: Final = 0.5
AIMS: Final = {"heartbeat": 2.0, "poll, empty": 2.0, "activity": 2.0, "token delta": 2.0}
"""At most so many times the control's CPU."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation's result."""

    name: str
    server: Figures
    control: Figures
    ratio: float


def say(text: str) -> None:
    """Show progress and results at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def measure(bench: Bench, operation: Operation, pairs: int, seconds: float) -> Row:
    """Some pairs of runs, server and control in turn, the first of each pair changing."""
    runs: dict[str, list[Figures]] = {"server": [], "control": []}
    for each in range(-1, pairs):
        for side in ("server", "control") if each % 2 else ("control", "server"):
            if operation.prepare is not None:
                await operation.prepare()
            figures = await bench.run(side, operation, WARM_UP_SECONDS if each < 0 else seconds)
            if each >= 0:
                runs[side].append(figures)
    ratios = [s.web_ms / c.web_ms for s, c in zip(runs["server"], runs["control"], strict=True)]
    server, control = Figures.median(runs["server"]), Figures.median(runs["control"])
    return Row(operation.name, server, control, statistics.median(ratios))


async def check_same(server: int, control: int, operation: Operation) -> None:
    """Both sides answer JSON of the same shape; otherwise there is nothing to compare."""
    if operation.prepare is not None:
        await operation.prepare()
    pairs = zip((server, control), operation.requests, strict=False)
    answers = [await _ask(port, request) for port, request in pairs]
    shapes = [shape(answer.json()) for answer in answers]
    if shapes[0] != shapes[1] or answers[0].status != answers[1].status:
        raise MeasuringError(
            f"{operation.name}: server and control answer differently; mend bench/control.py\n"
            + "\n".join(answer.body.decode()[:2000] for answer in answers)
        )


def shape(value: Any) -> Any:
    """A JSON value without what differs from call to call."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def table(rows: list[Row]) -> Iterator[str]:
    """The result as text."""
    form = "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}  |{:>14}{:>9}{:>8}  |{:>6}"
    yield form.format(
        *("operation", "req/s", "p99 ms", "web ms", "db ms", "redis ms"),
        *("control req/s", "web ms", "db ms", "ratio"),
    )
    for row in rows:
        s, c = row.server, row.control
        aim = AIMS.get(row.name)
        verdict = "" if aim is None else f"  aim {aim:g}: " + ("met" if row.ratio <= aim else "NOT")
        yield (
            form.format(
                *(row.name, f"{s.per_second:,.0f}", f"{s.p99_ms:.1f}", f"{s.web_ms:.3f}"),
                *(f"{s.database_ms:.3f}", f"{s.redis_ms:.3f}", f"{c.per_second:,.0f}"),
                *(f"{c.web_ms:.3f}", f"{c.database_ms:.3f}", f"{row.ratio:.2f}"),
            )
            + verdict
        )


async def compare(server: Server, pairs: int, seconds: float, chosen: str) -> list[Row]:
    """Measure every operation whose name holds `chosen`."""
    owner = await psycopg.AsyncConnection.connect(server.owner_url, autocommit=True)
    async with owner:
        scene = await Scene.make(server.port, owner)
        control = Control(server, scene.facts())
        try:
            await _until_up(control.port)
            bench = Bench(server, control)
            rows = []
            for operation in scene.operations():
                if chosen not in operation.name:
                    continue
                await check_same(server.port, control.port, operation)
                row = await measure(bench, operation, pairs, seconds)
                say(
                    f"  {row.name:<18} web {row.server.web_ms:.3f} ms, "
                    f"control {row.control.web_ms:.3f} ms, ratio {row.ratio:.2f}"
                )
                rows.append(row)
        finally:
            control.stop()
    return rows


async def _ask(port: int, message: bytes) -> Answer:
    connection = await Connection.open(port)
    try:
        return await connection.ask(message)
    finally:
        connection.close()


async def _until_up(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                (await Connection.open(port)).close()
                return
            except OSError:
                await asyncio.sleep(0.1)


def main() -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs an operation")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of one run")
    parser.add_argument("--only", default="", help="operations whose name holds this")
    given = parser.parse_args()
    begun = time.monotonic()
    say("Starting a server of its own …")
    with (
        tempfile.TemporaryDirectory(prefix="rensei-bench-") as folder,
        Server(Path(folder)) as server,
    ):
        say(f"Measuring with {CONNECTIONS} connections, server and control in turn …")
        rows = asyncio.run(compare(server, given.pairs, given.seconds, given.only))
    say("\nCPU per request, in ms, of the web processes and of the stores; ratio of web CPU:\n")
    for line in table(rows):
        say(line)
    say(f"\nTook {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MeasuringError as error:
        sys.exit(f"bench: {error}")
