"""The request as security, validation, handlers and `refuse` see it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.types import Receive, Scope

from contract.errors import BodyTooLarge, Disconnected, Malformed

if TYPE_CHECKING:
    from contract.loading import Operation

REQUEST: Final = "contract.request"
"""Where the ASGI scope carries the `Request`."""


class Request:
    """One HTTP request: a thin view of the ASGI scope, made once and shared by every layer.

    `operation` is None until routing has found one; `user` is whatever `authenticate`
    returned, None before it and on public operations.
    """

    __slots__ = (
        "_body",
        "_cookies",
        "_headers",
        "_query_params",
        "_receive",
        "answered",
        "arguments",
        "limit",
        "operation",
        "path_params",
        "scope",
        "user",
    )

    def __init__(self, scope: Scope, receive: Receive, limit: int) -> None:
        self.scope = scope
        self.operation: Operation | None = None
        self.path_params: Mapping[str, str] = {}
        self.user: Any = None
        # What validation found for the handler, by argument name.
        self.arguments: dict[str, Any] = {}
        # True as soon as the first byte of an answer may have left.
        self.answered = False
        self.limit = limit
        self._receive = receive
        self._body: bytes | None = None
        self._headers: Headers | None = None
        self._query_params: QueryParams | None = None
        self._cookies: dict[str, str] | None = None

    @property
    def method(self) -> str:
        """The method, upper case."""
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        """The path as the server decoded it."""
        path: str = self.scope["path"]
        return path

    @property
    def headers(self) -> Headers:
        """All headers, names compared without case."""
        if self._headers is None:
            self._headers = Headers(scope=self.scope)
        return self._headers

    @property
    def query_params(self) -> QueryParams:
        """The query, as sent: nothing converted, nothing checked."""
        if self._query_params is None:
            self._query_params = QueryParams(self.scope["query_string"])
        return self._query_params

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        if self._cookies is None:
            self._cookies = cookie_parser(self.headers.get("cookie", ""))
        return self._cookies

    @property
    def client_host(self) -> str | None:
        """The address of the other end of the connection, if the server knows it."""
        client = self.scope.get("client")
        return client[0] if client else None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name, without building `headers`."""
        for key, value in self.scope["headers"]:
            if key == name:
                found: bytes = value
                return found
        return None

    async def body(self) -> bytes:
        """The raw body, read from the wire at most once.

        Raises `BodyTooLarge` as soon as the announced or the counted length passes the
        limit, without reading on, and `Disconnected` when the client leaves meanwhile.
        """
        if self._body is None:
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        limit = self.limit
        announced = self.header(b"content-length")
        if announced is not None:
            if not announced.isdigit():
                raise Malformed("header.Content-Length: must be a number")
            # A length of thousands of digits is refused before it becomes a number.
            if len(announced) > 18 or int(announced) > limit:
                raise BodyTooLarge(limit)
        parts: list[bytes] = []
        count = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            part: bytes = message.get("body", b"")
            count += len(part)
            if count > limit:
                raise BodyTooLarge(limit)
            if not message.get("more_body", False):
                return b"".join((*parts, part)) if parts else part
            parts.append(part)
