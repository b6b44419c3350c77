"""One measurement: how many requests, and what CPU each took of whom."""

import asyncio
import base64
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import orjson

from bench import processes
from bench.operations import Operation
from bench.servers import Server, clean_environment, free_port
from settings import PROJECT
from supervisor.plan import SERVER

START_SECONDS: Final = 30.0


class MeasuringError(Exception):
    """Something answered in a way that makes its figures worthless."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run, or the median of several, took a request."""

    per_second: float
    web_ms: float
    database_ms: float
    redis_ms: float
    p99_ms: float

    @classmethod
    def median(cls, runs: list[Self]) -> Self:
        """Member by member."""
        columns = ((getattr(run, name) for run in runs) for name in cls.__slots__)
        return cls(*(statistics.median(column) for column in columns))


class Control:
    """The control under gunicorn, with the settings that the server's web has."""

    def __init__(self, server: Server, facts: Mapping[str, object]) -> None:
        self.port: Final = free_port()
        command = [*SERVER.web[:-1], "bench.control:create_app()"]
        self._process = subprocess.Popen(  # noqa: S603
            command,
            cwd=PROJECT,
            env={
                **clean_environment(),
                "RENSEI_PORT": str(self.port),
                "RENSEI_WEB_DATABASE_URL": server.web_url,
                "REDIS_URL": server.redis_url,
                "BENCH_FACTS": orjson.dumps(facts).decode(),
            },
            stdin=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        """Gunicorn's arbiter."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)


class Bench:
    """Measures either side of the comparison on the same stores."""

    def __init__(self, server: Server, control: Control) -> None:
        self._stores = {"database": server.postgres().pid, "redis": server.valkey().pid}
        self._sides = {"server": (server.port, server.web().pid)}
        self._sides["control"] = (control.port, control.pid)

    async def run(self, side: str, operation: Operation, seconds: float) -> Figures:
        """Load one side for so long."""
        port, web = self._sides[side]
        before = self._spent(web)
        loading = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "bench.load", str(port), str(seconds)),
            cwd=PROJECT,
            env=dict(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        given = b"".join(
            b" ".join(base64.b64encode(each) for each in line) + b"\n" for line in operation.lines
        )
        out, _ = await loading.communicate(given)
        web_s, database_s, redis_s = (
            after - then for after, then in zip(self._spent(web), before, strict=True)
        )
        if loading.returncode != 0:
            raise MeasuringError(f"{operation.name}: no load was made; the reason stands above")
        seen = orjson.loads(out)
        if set(seen["statuses"]) != {"200"}:
            raise MeasuringError(f"{operation.name}: the {side} answered {seen['statuses']}")
        count = seen["count"]
        return Figures(
            count / seen["seconds"],
            web_s / count * 1000,
            database_s / count * 1000,
            redis_s / count * 1000,
            seen["p99_ms"],
        )

    def _spent(self, web: int) -> tuple[float, float, float]:
        return (
            processes.cpu_seconds(web),
            processes.cpu_seconds(self._stores["database"]),
            processes.cpu_seconds(self._stores["redis"]),
        )
