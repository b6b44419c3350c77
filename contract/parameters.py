"""Parameters of path, query, header and cookie: found, converted and checked."""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from contract.complaints import shown
from contract.errors import Malformed
from contract.handlers import Signature
from contract.loading import Operation
from contract.names import argument_name
from contract.references import Json
from contract.request import Request
from contract.schemas import Direction, Schemas, Shape

Convert = Callable[[str, str], Any]
"""Turns the text of a parameter, found at a place, into its value, or raises `Malformed`."""

MOST_FIELDS: Final = 1000
"""A query or a form with more fields is refused before it costs memory."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?")
_LEAST_INTEGER: Final = -(2**63)
_MOST_INTEGER: Final = 2**63 - 1

_STYLES: Final = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}

# OpenAPI leaves these headers to the framework, even when a contract declares them.
_FOREIGN_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})

_NOTHING: Final = object()


def text(value: str, place: str) -> str:
    """A string, which may be anything but one that PostgreSQL cannot store."""
    if "\0" in value:
        raise Malformed(f"{place}: must not contain a NUL character")
    return value


def integer(value: str, place: str) -> int:
    """A decimal integer of at most 64 bits."""
    if not _INTEGER.fullmatch(value) or not _LEAST_INTEGER <= int(value) <= _MOST_INTEGER:
        raise Malformed(f"{place}: {shown(value)} is not an integer")
    return int(value)


def number(value: str, place: str) -> float:
    """A finite number as JSON writes it."""
    if not _NUMBER.fullmatch(value) or not math.isfinite(made := float(value)):
        raise Malformed(f"{place}: {shown(value)} is not a number")
    return made


def boolean(value: str, place: str) -> bool:
    """`true` or `false`, in any case since several clients write Python's `True`."""
    lower = value.lower()
    if lower == "true":
        return True
    if lower == "false":
        return False
    raise Malformed(f"{place}: {shown(value)} is not true or false")


_CONVERTERS: Final[dict[str, Convert]] = {
    "string": text,
    "integer": integer,
    "number": number,
    "boolean": boolean,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A value that travels as text: its converter, and its schema where that says more."""

    convert: Convert
    many: bool
    explode: bool
    shape: Shape | None

    def read(self, values: list[str], place: str) -> Any:
        """Convert and check what was sent under one name; raises `Malformed`."""
        value: Any
        if len(values) > 1 and not (self.many and self.explode):
            raise Malformed(f"{place}: is given more than once")
        if self.many:
            parts = values if self.explode else values[0].split(",")
            value = [self.convert(part, place) for part in parts]
        else:
            value = self.convert(values[0], place)
        if self.shape is not None and not self.shape.fits(value):
            size = sum(map(len, values))
            raise Malformed(self.shape.complaint(value, place, size))
        return value


def make_field(schema: Json, schemas: Schemas, explode: bool) -> Field:
    """Compile the schema of a value that travels as text.

    Raises ValueError for a type that has no plain form as text.
    """
    full = schemas.resolved(schema)
    many = full.get("type") == "array"
    single = schemas.resolved(full.get("items", {})) if many else full
    kind = single.get("type")
    if kind not in _CONVERTERS:
        raise ValueError("needs a type of string, integer, number, boolean, or a list of these")
    if full.get("nullable") or single.get("nullable"):
        raise ValueError("cannot be null, as text has no null; remove `nullable`")
    return Field(_CONVERTERS[kind], many, explode, schemas.limiting(schema))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter; `argument` is None when the handler does not ask for it."""

    name: str
    place: str
    argument: str | None
    field: Field
    required: bool
    default: Any

    def put(self, values: list[str] | None, arguments: dict[str, Any]) -> None:
        """Check what was sent and, if the handler asks for it, put it among its arguments."""
        if values is None:
            if self.required:
                raise Malformed(f"{self.place}: is required")
            if self.argument is not None and self.default is not _NOTHING:
                # The handler may change a list it was given; the default stays whole.
                arguments[self.argument] = copy.copy(self.default)
            return
        value = self.field.read(values, self.place)
        if self.argument is not None:
            arguments[self.argument] = value


class ParameterPlan:
    """All parameters of one operation, as one handler wants them."""

    def __init__(self, operation: Operation, schemas: Schemas, signature: Signature) -> None:
        """Compile the parameters; raises ValueError listing those that cannot be served."""
        found: dict[str, list[Parameter]] = {place: [] for place in _STYLES}
        problems = []
        for raw in operation.parameters:
            if raw["in"] == "header" and raw["name"].lower() in _FOREIGN_HEADERS:
                continue
            try:
                found[raw["in"]].append(_parameter(raw, schemas, signature))
            except (ValueError, LookupError) as error:
                problems.append(f"{raw['in']} parameter {raw['name']!r} {error.args[0]}")
        self.path_arguments = [argument_name(p.name) for p in found["path"]]
        """The arguments that a handler cannot do without."""
        self.arguments = [p.argument for ps in found.values() for p in ps if p.argument]
        """The arguments that the contract supplies, a name twice if two parameters claim it."""
        if problems:
            raise ValueError("; ".join(problems))
        self._path = tuple(found["path"])
        self._query = tuple(found["query"])
        self._headers = {p.name.lower().encode("latin-1"): p for p in found["header"]}
        self._cookies = tuple(found["cookie"])

    def read(self, request: Request) -> dict[str, Any]:
        """The handler's arguments; raises `Malformed` for the first that breaks the contract."""
        arguments: dict[str, Any] = {}
        for each in self._path:
            each.put([request.path_params[each.name]], arguments)
        if self._query:
            given = parse_fields(request.scope["query_string"], "query")
            for each in self._query:
                each.put(given.get(each.name), arguments)
        if self._headers:
            self._read_headers(request, arguments)
        if self._cookies:
            cookies = request.cookies
            for each in self._cookies:
                value = cookies.get(each.name)
                each.put(None if value is None else [value], arguments)
        return arguments

    def _read_headers(self, request: Request, arguments: dict[str, Any]) -> None:
        given: dict[bytes, list[str]] = {}
        for name, value in request.scope["headers"]:
            if name in self._headers:
                given.setdefault(name, []).append(value.decode("latin-1"))
        for name, each in self._headers.items():
            each.put(given.get(name), arguments)


def parse_fields(raw: bytes, place: str) -> dict[str, list[str]]:
    """The fields of a query or a form, by name, each with its values in order.

    Raises `Malformed` for escapes that are not UTF-8, and for too many fields.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except UnicodeDecodeError:
        raise Malformed(f"{place}: is not valid UTF-8") from None
    except ValueError:
        raise Malformed(f"{place}: has more than {MOST_FIELDS} fields") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _parameter(raw: Json, schemas: Schemas, signature: Signature) -> Parameter:
    place = raw["in"]
    style = raw.get("style", _STYLES[place])
    if style != _STYLES[place]:
        raise ValueError(f"has the unsupported style {style!r}; use {_STYLES[place]!r}")
    if "schema" not in raw:
        raise ValueError("has no schema; give it one instead of `content`")
    if place == "path" and not raw.get("required"):
        raise ValueError("is not required; write `required: true`")
    explode = raw.get("explode", style == "form") and place == "query"
    field = make_field(raw["schema"], schemas, explode)
    if field.many and place == "cookie":
        raise ValueError("is a list in a cookie, which has no settled form; use the query")
    argument: str | None = argument_name(raw["name"])
    if argument is not None and not signature.wants(argument):
        argument = None
    return Parameter(
        name=raw["name"],
        place=f"{place}.{raw['name']}",
        argument=argument,
        field=field,
        required=bool(raw.get("required")),
        default=_default(raw["schema"], schemas, field, signature, argument),
    )


def _default(
    schema: Json, schemas: Schemas, field: Field, signature: Signature, argument: str | None
) -> Any:
    full = schemas.resolved(schema)
    if "default" in full:
        if not schemas.shape(schema, Direction.REQUEST).fits(full["default"]):
            raise ValueError("has a default that its own schema refuses; correct the default")
        return full["default"]
    if argument is not None and signature.has_default(argument):
        return _NOTHING
    return None
