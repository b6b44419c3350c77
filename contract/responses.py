"""Responses of one operation: declared status, media type and schema, or `ResponseBroken`."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Message

from contract.bodies import is_json
from contract.errors import ResponseBroken
from contract.loading import Operation
from contract.references import Json
from contract.schemas import Direction, Schemas, Shape

JSON: Final = "application/json"

# HTTP forbids a length on the first, and on the second it would speak of another body.
_WITHOUT_LENGTH: Final = frozenset({204, 304})

_CONTROL: Final = frozenset(b"\r\n\0")


@dataclass(frozen=True, slots=True)
class Media:
    """One media type of one declared status."""

    header: bytes
    is_json: bool
    shape: Shape | None


@dataclass(frozen=True, slots=True)
class Declared:
    """What the contract says of one status; `usual` is the media type unless named."""

    media: Mapping[str, Media]
    usual: Media | None
    required_headers: frozenset[str]


class ResponsePlan:
    """All responses of one operation."""

    def __init__(self, operation: Operation, schemas: Schemas, check: bool) -> None:
        """Compile the responses; raises ValueError for a schema that cannot be served."""
        self._operation_id = operation.id
        self._check = check
        responses = operation.raw.get("responses") or {}
        if not responses:
            raise ValueError("declares no responses; add at least `default`")
        self._declared = {
            str(status): _declared(schemas.resolved(raw), schemas)
            for status, raw in responses.items()
        }
        # Filled as statuses occur: exact code, else its range, else `default`.
        self._by_status: dict[int, Declared | None] = {}

    def messages(self, answer: Any) -> tuple[Message, Message]:
        """The two ASGI messages for what a handler returned.

        Raises `ResponseBroken`, which says why, for whatever the contract does not have.
        """
        headers: Mapping[str, str] | None = None
        if isinstance(answer, tuple) and len(answer) == 2:
            body, status = answer
        elif isinstance(answer, tuple) and len(answer) == 3:
            body, status, headers = answer
        else:
            raise self._broken("a handler returns (body, status) or (body, status, headers)")
        declared = self._find(status)
        if declared is None:
            raise self._broken(f"status {status} is not declared")
        media = self._media(declared, status, headers)
        content = self._content(body, status, media)
        start: list[tuple[bytes, bytes]] = []
        if status not in _WITHOUT_LENGTH:
            start.append((b"content-length", b"%d" % len(content)))
        if media is not None and content:
            start.append((b"content-type", media.header))
        if headers:
            start += self._headers(headers, media)
        if declared.required_headers:
            self._require(declared, status, headers or {})
        return (
            {"type": "http.response.start", "status": int(status), "headers": start},
            {"type": "http.response.body", "body": content},
        )

    def check(self, response: Response) -> None:
        """Hold a response that the handler built itself, a stream perhaps, to the contract.

        A stream's content cannot be checked before it is sent; a complete body is.
        """
        declared = self._find(response.status_code)
        if declared is None:
            raise self._broken(f"status {response.status_code} is not declared")
        media = self._media(declared, response.status_code, response.headers)
        body = getattr(response, "body", b"")
        if isinstance(body, bytes) and body and self._check:
            if media is None:
                raise self._broken(f"status {response.status_code} has no declared content")
            if media.is_json and media.shape is not None:
                try:
                    value = orjson.loads(body)
                except orjson.JSONDecodeError as error:
                    raise self._broken(f"body is not JSON: {error}") from None
                self._fit(value, media.shape, response.status_code, body)
        if declared.required_headers:
            self._require(declared, response.status_code, response.headers)

    def _find(self, status: int) -> Declared | None:
        try:
            return self._by_status[status]
        except (KeyError, TypeError):
            if not isinstance(status, (int, HTTPStatus)) or not 200 <= status <= 599:
                raise self._broken(f"{status!r} is not a final status") from None
            text = str(int(status))
            names = (text, f"{text[0]}XX", "default")
            found = next((self._declared[n] for n in names if n in self._declared), None)
            self._by_status[status] = found
            return found

    def _media(
        self, declared: Declared, status: int, headers: Mapping[str, str] | None
    ) -> Media | None:
        if headers:
            for name, value in headers.items():
                if name.lower() == "content-type":
                    wanted = value.split(";")[0].strip().lower()
                    if wanted not in declared.media:
                        raise self._broken(f"status {status} does not declare {wanted!r}")
                    return declared.media[wanted]
        return declared.usual

    def _content(self, body: Any, status: int, media: Media | None) -> bytes:
        if body is None:
            if media is not None and self._check:
                raise self._broken(f"status {status} declares content but the body is None")
            return b""
        if media is None:
            raise self._broken(f"status {status} has a body but not one declared media type")
        if not media.is_json:
            if isinstance(body, str):
                return body.encode()
            if isinstance(body, bytes):
                return body
            raise self._broken(f"status {status} is not JSON; return str or bytes")
        try:
            content = orjson.dumps(body)
        except TypeError as error:
            raise self._broken(f"status {status}: {error}") from error
        if media.shape is not None and self._check:
            self._fit(body, media.shape, status, content)
        return content

    def _fit(self, body: Any, shape: Shape, status: int, content: bytes) -> None:
        try:
            fits = shape.fits(body)
        except ValueError:
            # A time or a data class, which orjson writes: what is checked is what is sent.
            body = orjson.loads(content)
            fits = shape.fits(body)
        if not fits:
            complaint = shape.complaint(body, "body", len(content))
            raise self._broken(f"status {self._as_declared(status)}: {complaint}")

    def _as_declared(self, status: int) -> str:
        """The status, and under which name the contract covers it when that is another one."""
        text = str(int(status))
        if text in self._declared:
            return text
        name = f"{text[0]}XX" if f"{text[0]}XX" in self._declared else "default"
        return f"{text}, which the contract covers only as `{name}`"

    def _headers(
        self, headers: Mapping[str, str], media: Media | None
    ) -> list[tuple[bytes, bytes]]:
        made = []
        for name, value in headers.items():
            lower = name.lower()
            if lower == "content-length" or (lower == "content-type" and media is not None):
                continue
            try:
                pair = (lower.encode("ascii"), value.encode("latin-1"))
            except (UnicodeEncodeError, AttributeError):
                raise self._broken(f"header {name!r} is not latin-1 text") from None
            if not _CONTROL.isdisjoint(pair[1]):
                # Some servers would pass a line break on as the start of another header.
                raise self._broken(f"header {name!r} contains a control character")
            made.append(pair)
        return made

    def _require(self, declared: Declared, status: int, headers: Mapping[str, str]) -> None:
        missing = declared.required_headers - {name.lower() for name in headers}
        if missing and self._check:
            raise self._broken(f"status {status} lacks header {', '.join(sorted(missing))}")

    def _broken(self, why: str) -> ResponseBroken:
        return ResponseBroken(f"{self._operation_id} broke the contract: {why}")


def _declared(raw: Json, schemas: Schemas) -> Declared:
    content = raw.get("content") or {}
    media = {name.lower(): _media(name.lower(), each, schemas) for name, each in content.items()}
    usual = media.get(JSON)
    if usual is None and len(media) == 1:
        (usual,) = media.values()
    required = {
        name.lower()
        for name, header in (raw.get("headers") or {}).items()
        if schemas.resolved(header).get("required")
    }
    return Declared(media, usual, frozenset(required))


def _media(name: str, raw: Json, schemas: Schemas) -> Media:
    json = is_json(name)
    schema = raw.get("schema")
    shape = schemas.shape(schema, Direction.RESPONSE) if json and schema is not None else None
    header = f"{name}; charset=utf-8" if name.startswith("text/") else name
    return Media(header.encode("latin-1"), json, shape)
