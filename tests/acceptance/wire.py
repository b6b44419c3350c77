"""How the open-source worker talks: its headers, its three tries, and a journal of all it said."""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.connections import Answer, Connection, request
from tests.acceptance.table import Broken, judge

TRIES_AFTER_SECONDS = (0.0, 1.0, 2.0)
"""It sends a request again when no answer came, or an empty one."""


class NoAnswerError(Exception):
    """Three tries, and no answer that counts."""


@dataclass(frozen=True)
class Exchange:
    """A request and what came of it."""

    line: str
    who: str
    method: str
    path: str
    sent: Any
    status: int
    said: Any
    about: str | None = None


@dataclass
class Journal:
    """All exchanges in the order of their answers, and what was wrong with any of them."""

    exchanges: list[Exchange] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    outage: int = 0
    stopping: set[str] = field(default_factory=set)
    """The sessions that people have stopped."""

    @contextmanager
    def during_an_outage(self) -> Iterator[None]:
        """While the server is started anew, answers of 500 and more are its right."""
        self.outage += 1
        try:
            yield
        finally:
            self.outage -= 1

    def of(self, line: str) -> list[Exchange]:
        return [each for each in self.exchanges if each.line == line]


class Wire:
    """One worker's connections. Every `loses_every`th answer to a report is lost on its way, so
    that the report is sent again although the server has had it."""

    def __init__(
        self, port: int, who: str, journal: Journal, *, prefix: str = "", pace: float = 1.0
    ) -> None:
        self.port, self.who, self.journal = port, who, journal
        self.prefix = prefix
        self.token = ""
        self.pace = pace
        self.loses_every = 0
        self.lost = 0
        self._reports = 0
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def call(
        self,
        line: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        about: str | None = None,
        token: str | None = None,
    ) -> tuple[int, Any]:
        """Send until an answer counts; raises `Broken` for one that the table forbids."""
        lose, empty = self._loses(method, about), False
        for pause in TRIES_AFTER_SECONDS:
            await asyncio.sleep(pause * self.pace)
            try:
                answer = await self._ask(method, path, body, token or self.token)
            except (OSError, TimeoutError):
                continue
            said = _json(answer)
            self.journal.exchanges.append(
                Exchange(line, self.who, method, path, body, answer.status, said, about)
            )
            empty = 200 <= answer.status < 300 and not answer.body
            if empty:
                continue
            wrong = judge(line, answer.status, said, may_be_gone=about is not None)
            if wrong and not (self.journal.outage and answer.status >= 500):
                self._break(line, method, path, wrong)
            if lose:
                lose, self.lost = False, self.lost + 1
                continue
            return answer.status, said if isinstance(said, dict) else {}
        if empty:
            self._break(line, method, path, "three empty answers")
        raise NoAnswerError(f"{method} {path}")

    def close(self) -> None:
        """Break off everything, without a word."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _loses(self, method: str, about: str | None) -> bool:
        if not self.loses_every or method != "POST" or about is None:
            return False
        self._reports += 1
        return self._reports % self.loses_every == 0

    def _break(self, line: str, method: str, path: str, wrong: str) -> None:
        broken = Broken(f"line {line}: {self.who} {method} {path}: {wrong}")
        self.journal.broken.append(broken)
        raise broken

    async def _ask(self, method: str, path: str, body: Any, token: str) -> Answer:
        # The type stands also on a GET, a DELETE and an empty POST.
        headers = {"Accept-Encoding": "gzip, deflate"}
        if body is None:
            headers |= {"Content-Type": "application/json"}
            if method == "POST":
                headers |= {"Content-Length": "0"}
        connection = await self._connection()
        try:
            answer = await connection.ask(request(method, self.prefix + path, token, body, headers))
        except BaseException:
            connection.close()
            self._open.discard(connection)
            raise
        self._idle.append(connection)
        return answer

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._open.discard(connection)
        connection = await Connection.open(self.port)
        self._open.add(connection)
        return connection


def _json(answer: Answer) -> Any:
    body = answer.body
    if answer.headers.get("content-encoding") in {"gzip", "deflate"}:
        body = zlib.decompress(body, zlib.MAX_WBITS | 32)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
