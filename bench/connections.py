"""A light HTTP client: one connection, one request at a time, little CPU of its own."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self, cast

import httptools
import orjson

PATIENCE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


def request(
    method: str,
    path: str,
    token: str | None = None,
    body: Any = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """One request as it goes over the wire; a body of bytes goes as it is."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Connection(asyncio.Protocol):
    """A connection that stays open; `ConnectionError` when the server breaks it off."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)

    @classmethod
    async def open(cls, port: int) -> Self:
        """A new connection to a port of this machine."""
        _, made = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return made

    @property
    def usable(self) -> bool:
        """Whether another request can be sent here."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, message: bytes) -> Answer:
        """Send a request and wait for its answer."""
        if self._transport is None or not self.usable:
            raise ConnectionResetError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._waiting

    def close(self) -> None:
        """Close it; whoever waits hears of it."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what asyncio hands over."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Let the parser see it."""
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits will get no answer any more."""
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the server broke off"))

    def on_message_begin(self) -> None:
        """The parser begins an answer."""
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has read a header."""
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """The parser has read a part of the body."""
        self._answer.body += body

    def on_message_complete(self) -> None:
        """The parser has read a whole answer."""
        self._answer.status = self._parser.get_status_code()
        if not self._parser.should_keep_alive() and self._transport is not None:
            self._transport.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(self._answer)


class Caller:
    """A client with one credential and one connection, opened anew when it is lost."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port: Final = port
        self.token: Final = token
        self._connection: Connection | None = None

    async def connect(self) -> Connection:
        """The connection, opened where there is none."""
        if self._connection is None or not self._connection.usable:
            self._connection = await Connection.open(self.port)
        return self._connection

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request, sent once; `OSError` when no answer came."""
        connection = await self.connect()
        try:
            return await connection.ask(request(method, path, self.token, body))
        except BaseException:
            # An answer that comes late must not be taken for that of the next request.
            connection.close()
            raise

    async def get(self, path: str) -> Answer:
        """One GET."""
        return await self.call("GET", path)

    async def post(self, path: str, body: Any = None) -> Answer:
        """One POST."""
        return await self.call("POST", path, body)

    async def insist(self, method: str, path: str, body: Any = None) -> Answer:
        """The same request again and again until the server has an answer other than 503."""
        while True:
            try:
                answer = await self.call(method, path, body)
                if answer.status != 503:
                    return answer
            except OSError:
                pass
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
