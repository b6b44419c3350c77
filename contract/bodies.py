"""Request bodies: read, recognised by their media type, parsed and checked."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from contract.errors import Malformed, NotJson, UnsupportedMedia
from contract.loading import Operation
from contract.parameters import Field, make_field, parse_fields
from contract.references import Json
from contract.request import Request
from contract.schemas import Direction, Schemas, Shape

FORM: Final = "application/x-www-form-urlencoded"

DEEPEST: Final = 200
"""Levels of nesting. orjson reads 1024 but writes 254, and what was read must be writable."""

_DEEPEST_WRITTEN: Final = 254

# An escaped NUL, and not the tail of an escaped backslash.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Parse = Callable[[bytes], Any]

# JSON is UTF-8, of which ASCII is a part; a form's escapes are UTF-8 as well.
_CHARSETS: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


class BodyPlan:
    """The request body of one operation, as the contract declares it."""

    def __init__(self, operation: Operation, schemas: Schemas) -> None:
        """Compile the body; raises ValueError for a media type or schema not to be served."""
        body = schemas.resolved(operation.raw["requestBody"])
        self._required = bool(body.get("required"))
        self._accepted = tuple(body.get("content", {}))
        if not self._accepted:
            raise ValueError("requestBody declares no content; add a media type")
        self._parsers: dict[str, Parse] = {
            name.lower(): _parser(name.lower(), content.get("schema", {}), schemas)
            for name, content in body["content"].items()
        }
        # What clients mostly write is found by one look-up, without taking it apart.
        self._known: dict[bytes, Parse] = {
            written.encode(): parse
            for name, parse in self._parsers.items()
            for written in (name, f"{name}; charset=utf-8", f"{name};charset=UTF-8")
        }

    async def read(self, request: Request) -> Any:
        """The parsed body, None when there is none and none is required.

        Raises `BodyTooLarge`, `UnsupportedMedia` if there is a body, and `Malformed`.
        """
        raw = await request.body()
        if not raw:
            if self._required:
                raise Malformed("body: is required")
            return None
        media = request.header(b"content-type")
        parse = self._known.get(media) if media is not None else None
        return (parse or self._parser(media))(raw)

    def _parser(self, media: bytes | None) -> Parse:
        written = (media or b"").decode("latin-1")
        name, *parts = written.split(";")
        name = name.strip().lower()
        if any(_charset(part) not in _CHARSETS for part in parts):
            raise UnsupportedMedia(written, self._accepted)
        kind, _, suffix = name.partition("/")
        ranges = [name, f"{kind}/*"]
        if "+" in suffix:
            ranges.insert(1, f"{kind}/*+{suffix.rsplit('+', 1)[1]}")
        for each in ranges:
            if parse := self._parsers.get(each):
                return parse
        raise UnsupportedMedia(written or None, self._accepted)


def _charset(part: str) -> str:
    name, _, value = part.partition("=")
    return value.strip().strip('"').lower() if name.strip().lower() == "charset" else ""


def _parser(name: str, schema: Json, schemas: Schemas) -> Parse:
    if name == FORM:
        return _form_parser(schema, schemas)
    if is_json(name):
        return _json_parser(schemas.shape(schema, Direction.REQUEST))
    raise ValueError(f"request media type {name!r} cannot be read; use JSON or {FORM}")


def is_json(media: str) -> bool:
    """Whether a media type, without parameters, is a form of JSON."""
    return media == "application/json" or media.endswith("+json")


def _json_parser(shape: Shape) -> Parse:
    fits = shape.fits

    def parse(raw: bytes) -> Any:
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise NotJson(f"body: is not valid JSON: {error}") from None
        # Only the escape can bring a NUL, and only brackets can nest.
        if b"\\u0000" in raw and _NUL.search(raw):
            raise Malformed("body: must not contain a NUL character")
        if raw.count(b"[") + raw.count(b"{") > DEEPEST and not _writable(value):
            raise Malformed(f"body: is nested more than {DEEPEST} levels deep")
        if not fits(value):
            raise Malformed(shape.complaint(value, "body", len(raw)))
        return value

    return parse


def _form_parser(schema: Json, schemas: Schemas) -> Parse:
    shape = schemas.shape(schema, Direction.REQUEST)
    fields: dict[str, Field] = {}
    for name, each in _properties(schema, schemas).items():
        try:
            fields[name] = make_field(each, schemas, explode=True)
        except ValueError as error:
            raise ValueError(f"form field {name!r} {error}") from None

    def parse(raw: bytes) -> Any:
        made: dict[str, Any] = {}
        for name, values in parse_fields(raw, "body").items():
            place = f"body.{name}" if name in fields else "body"
            if any("\0" in value for value in (name, *values)):
                raise Malformed(f"{place}: must not contain a NUL character")
            field = fields.get(name)
            made[name] = field.read(values, place) if field else values[-1]
        if not shape.fits(made):
            raise Malformed(shape.complaint(made, "body", len(raw)))
        return made

    return parse


def _properties(schema: Json, schemas: Schemas) -> Mapping[str, Json]:
    full = schemas.resolved(schema)
    found: dict[str, Json] = {}
    for group in ("allOf", "anyOf", "oneOf"):
        for each in full.get(group, ()):
            found.update(_properties(each, schemas))
    found.update(full.get("properties", {}))
    return found


def _writable(value: Any) -> bool:
    # orjson finds out faster than any walk of ours, given the levels that it has to spare.
    for _ in range(_DEEPEST_WRITTEN - DEEPEST):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
