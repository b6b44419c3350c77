"""A connection of the web: uvicorn's, with bounds on what its client may send and how slowly.

uvicorn waits for ever for a request that was begun, and keeps all that comes before its end. So
whoever sends half a head holds a connection, and whoever sends a head without end all memory; and
whoever takes nothing of an answer holds that.
"""

# uvicorn's own class is untyped in parts.
# mypy: disable-error-code="misc,no-untyped-call"

import asyncio
from enum import Enum
from typing import Any, ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD_BYTES: Final = 64 * 1024
FRAMING: Final = 8
"""How many bytes may come around each byte of a body: one sent in chunks of one byte has five."""

LEAST_BYTES_A_SECOND: Final = 8 * 1024


class _Part(Enum):
    """What of a request is to come next."""

    HEAD = 1
    BODY = 2
    NOTHING = 3


class Connection(HttpToolsProtocol):
    """One client's connection. A request has to be whole in time, or come along at some pace."""

    patience_seconds: ClassVar[float] = 30.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._awaited = _Part.HEAD
        self._is_begun = False
        self._is_new = False
        self._body_bytes = 0
        self._other_bytes = 0
        self._waits_since = 0.0
        self._waiting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._wait_no_more()
        self._stop_looking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; whoever sends too much is cut off."""
        body_bytes, self._is_new = self._body_bytes, False
        super().data_received(data)
        if self.transport.is_closing():
            return
        # Of a message that began in the midst of this it is not known how much is its own.
        if self._awaited is not _Part.NOTHING and not self._is_new:
            self._other_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._other_bytes > MOST_HEAD_BYTES + FRAMING * self._body_bytes:
                self._refuse(431, "The request's head is too long")
                return
        if self._awaited is _Part.NOTHING and self._is_answering:
            self._wait_no_more()
        else:
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._awaited, self._is_begun, self._is_new = _Part.HEAD, True, True
        self._body_bytes = self._other_bytes = 0
        self._wait_no_more()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole; what follows is its body, and trailers."""
        self._awaited = _Part.BODY
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._awaited, self._is_begun = _Part.NOTHING, False
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client takes less than it is sent; one that takes nothing for long is cut off."""
        super().pause_writing()
        self._look_at_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has taken nearly all."""
        self._stop_looking()
        super().resume_writing()

    def _look_at_reader(self, size: int) -> None:
        self._stop_looking()
        self._unread = self.loop.call_later(self.patience_seconds, self._judge_reader, size)

    def _judge_reader(self, size: int) -> None:
        now = self.transport.get_write_buffer_size()
        if now < size:
            self._look_at_reader(now)
        else:
            self.transport.abort()

    def _stop_looking(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        """Begin to lose patience, if that has not begun."""
        if self._waiting is None:
            self._waits_since = self.loop.time()
            self._waiting = self.loop.call_later(self.patience_seconds, self._look)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _look(self) -> None:
        """Wait on for a body that comes along; cut off everybody else."""
        self._waiting = None
        until = self.patience_seconds + self._body_bytes / LEAST_BYTES_A_SECOND
        left = self._waits_since + until - self.loop.time()
        if self._awaited is _Part.BODY and left > 0:
            self._waiting = self.loop.call_later(left, self._look)
        elif self._is_begun:
            self._refuse(408, "The request did not come in time")
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Say why, where nothing has been said yet, and hang up."""
        if self._is_answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not self._is_answering or not self.cycle.response_started:
            body = orjson.dumps({"error": text})
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + b"\r\n" + body)
        self.transport.close()
