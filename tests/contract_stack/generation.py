"""Requests made from a contract by a seed: good ones, and good ones with one twist.

A twist is one named departure from a good request. The proof explains differences by the
name of the twist, so no case ever has two.
"""

import json
import random
import re._constants as sre
import re._parser as sre_parser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, urlencode

from contract import Contract, Operation
from contract.references import Json, resolved

GOOD: Final = "good"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_DEEPEST_VALUE: Final = 4

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Case:
    """One request, its operation, and the twist it carries."""

    operation: Operation
    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    body: bytes = b""
    chunked: bool = False
    twist: str = GOOD


@dataclass
class Parts:
    """A good request before it is put together, for a twist to change."""

    operation: Operation
    path: dict[str, str]
    query: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    media: str | None
    body: Any
    required: bool
    raw: bytes | None = None
    content_type: str | None = None
    chunked: bool = False
    method: str = ""
    target: Callable[[str], str] = field(default=lambda path: path)
    raw_query: str | None = None


class Generator:
    """Makes cases of one contract; the same seed makes the same cases."""

    def __init__(self, contract: Contract, seed: int) -> None:
        self._contract = contract
        self._random = random.Random(seed)

    def cases(self, count: int) -> Iterator[Case]:
        """So many cases, every operation in turn, a third of them without a twist."""
        operations = self._contract.operations
        made = 0
        turn = 0
        while made < count:
            operation = operations[turn % len(operations)]
            turn += 1
            parts = self.parts(operation)
            names = [name for name, twist in TWISTS.items() if twist.fits(self, parts)]
            name = GOOD if self._random.random() < 0.33 else self._random.choice(names)
            if name != GOOD and TWISTS[name].change(self, parts) is False:
                continue
            yield replace(assemble(parts), twist=name)
            made += 1

    def parts(self, operation: Operation) -> Parts:
        """A request that fits the contract."""
        parts = Parts(operation, {}, [], [], None, None, False, method=operation.method)
        for parameter in operation.parameters:
            if not parameter.get("required") and self._random.random() < 0.5:
                continue
            schema = resolved(self._contract.spec, parameter["schema"])
            value = self.value(schema)
            texts = [text_of(each) for each in value] if isinstance(value, list) else None
            name = parameter["name"]
            if parameter["in"] == "path":
                parts.path[name] = text_of(value)
            elif parameter["in"] == "query":
                if texts is None:
                    parts.query.append((name, text_of(value)))
                elif parameter.get("explode", True):
                    parts.query += [(name, text) for text in texts]
                elif texts:
                    parts.query.append((name, ",".join(texts)))
            elif parameter["in"] == "header" and name.lower() != "authorization":
                parts.headers.append((name, text_of(value)))
            elif parameter["in"] == "cookie":
                parts.headers.append(("Cookie", f"{name}={text_of(value)}"))
        self._credentials(parts)
        if "requestBody" in operation.raw:
            body = resolved(self._contract.spec, operation.raw["requestBody"])
            parts.required = bool(body.get("required"))
            parts.media = self._random.choice(list(body["content"]))
            parts.content_type = (parts.media or "").replace("*", "merge-patch")
            parts.body = self.value(body["content"][parts.media].get("schema", {}))
        return parts

    def _credentials(self, parts: Parts) -> None:
        schemes = [name for name in parts.operation.security if name]
        if schemes:
            parts.headers.append(self.credential(self._random.choice(schemes), "good"))

    def credential(self, scheme: str, word: str) -> tuple[str, str]:
        """The header that carries a credential of a scheme."""
        found = self._contract.spec["components"]["securitySchemes"][scheme]
        if found["type"] == "apiKey" and found["in"] == "cookie":
            return "Cookie", f"{found['name']}={word}"
        if found["type"] == "apiKey":
            return found["name"], word
        return "Authorization", f"Bearer {word}"

    def value(self, schema: Json, depth: int = 0, direction: str = "readOnly") -> Any:
        """A value that fits a schema, without members banned on its way."""
        schema = self.flat(schema)
        chance = self._random
        if schema.get("nullable") and chance.random() < 0.2:
            return None
        if "enum" in schema:
            return chance.choice([each for each in schema["enum"] if each is not None] or [None])
        for group in ("oneOf", "anyOf"):
            if group in schema:
                rest = {k: v for k, v in schema.items() if k != group and k != "discriminator"}
                branch = self.flat(self._plainest(schema[group], depth))
                return self.value(_merge(rest, branch), depth, direction)
        kind = schema.get("type") or ("object" if "properties" in schema else None)
        if kind == "object":
            return self._object(schema, depth, direction)
        if kind == "array":
            least = schema.get("minItems", 0)
            most = schema.get("maxItems", least + 2)
            count = least if depth > _DEEPEST_VALUE else chance.randint(least, min(most, least + 2))
            items = [
                self.value(schema.get("items", {}), depth + 1, direction) for _ in range(count)
            ]
            return _unique(items) if schema.get("uniqueItems") else items
        if kind == "string":
            return self._string(schema)
        if kind == "integer":
            least = schema.get("minimum", 0) + (schema.get("exclusiveMinimum") is True)
            most = schema.get("maximum", least + 50) - (schema.get("exclusiveMaximum") is True)
            return chance.randint(int(least), int(min(most, least + 10**6)))
        if kind == "number":
            least = schema.get("minimum", 0)
            most = schema.get("maximum", least + 8)
            return least + (most - least) * chance.choice([0.25, 0.5, 0.75])
        if kind == "boolean":
            return chance.random() < 0.5
        return {"any": "thing"}

    def flat(self, schema: Json) -> Json:
        """The schema without references and `allOf` at its top."""
        schema = resolved(self._contract.spec, schema)
        if "allOf" not in schema:
            return schema
        merged: Json = {name: each for name, each in schema.items() if name != "allOf"}
        for each in schema["allOf"]:
            merged = _merge(merged, self.flat(each))
        return merged

    def _plainest(self, branches: list[Json], depth: int) -> Json:
        return branches[0] if depth > _DEEPEST_VALUE else self._random.choice(branches)

    def _object(self, schema: Json, depth: int, direction: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, each in schema.get("properties", {}).items():
            if self.flat(each).get(direction):
                continue
            wanted = name in schema.get("required", ())
            if wanted or (depth <= _DEEPEST_VALUE and self._random.random() < 0.5):
                made[name] = self.value(each, depth + 1, direction)
        for name in schema.get("required", ()):
            if name not in made and name not in schema.get("properties", {}):
                made[name] = "x"
        extra = schema.get("additionalProperties")
        if isinstance(extra, Mapping) and extra and self._random.random() < 0.5:
            made["added"] = self.value(extra, depth + 1, direction)
        while len(made) < schema.get("minProperties", 0):
            made[f"more{len(made)}"] = self.value(extra if isinstance(extra, Mapping) else {})
        return made

    def _string(self, schema: Json) -> str:
        if schema.get("format") == "date-time":
            return self._random.choice(["2026-01-31T12:00:00Z", "2024-02-29T23:59:59.5+01:00"])
        if schema.get("format") == "date":
            return "2026-01-31"
        if "pattern" in schema:
            made = _matching(schema["pattern"], self._random)
            return made.ljust(schema.get("minLength", 0), made[-1:] or "a")
        word = self._random.choice(["a", "word", "two words", "ünïcode", "x-1", "123", "true"])
        word = word.ljust(schema.get("minLength", 0), "y")
        return word[: schema.get("maxLength", len(word))]

    # What twists need to know and choose.

    def pick(self, options: list[Any]) -> Any:
        """One of these, by the seed."""
        return self._random.choice(options)

    def schema_of(self, parts: Parts) -> Json:
        """The schema of the body."""
        body = resolved(self._contract.spec, parts.operation.raw["requestBody"])
        return self.flat(body["content"][parts.media].get("schema", {}))

    def members(self, parts: Parts, **wanted: Any) -> list[str]:
        """Top members of the body whose schema has all that is wanted."""
        return [
            name
            for name, each in self.schema_of(parts).get("properties", {}).items()
            if all(self.flat(each).get(key) == value for key, value in wanted.items())
        ]

    def queries(self, kind: str | None = None) -> Callable[[Parts], list[str]]:
        """Names of the scalar query parameters of a type, for a request."""

        def find(parts: Parts) -> list[str]:
            return [
                p["name"]
                for p in parts.operation.parameters
                if p["in"] == "query"
                and (found := self.flat(p["schema"])).get("type") != "array"
                and (kind is None or found.get("type") == kind)
            ]

        return find


def assemble(parts: Parts) -> Case:
    """The request as it goes out."""
    path = parts.operation.path
    for name, value in parts.path.items():
        path = path.replace("{" + name + "}", quote(value, safe=""))
    headers = list(parts.headers)
    raw = parts.raw
    if raw is None:
        raw = b""
        if parts.body is not None or parts.media is not None:
            raw = encode(parts.body, parts.media or "")
    if parts.content_type is not None:
        headers.append(("Content-Type", parts.content_type))
    return Case(
        operation=parts.operation,
        method=parts.method,
        path=parts.target(path),
        query=urlencode(parts.query) if parts.raw_query is None else parts.raw_query,
        headers=tuple(headers),
        body=raw,
        chunked=parts.chunked,
    )


def encode(body: Any, media: str) -> bytes:
    """A body as its media type writes it."""
    if media.startswith(FORM):
        fields = {k: [text_of(e) for e in v] if isinstance(v, list) else text_of(v)
                  for k, v in body.items()}  # fmt: skip
        return urlencode(fields, doseq=True).encode()
    text = json.dumps(body, ensure_ascii=False)
    # A lone surrogate has no bytes of its own and travels as an escape.
    return text.encode("utf-8", errors="backslashreplace")


def text_of(value: Any) -> str:
    """A value as a parameter writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _merge(one: Json, other: Json) -> Json:
    merged = {**one, **other}
    merged["properties"] = {**one.get("properties", {}), **other.get("properties", {})}
    merged["required"] = [*one.get("required", ()), *other.get("required", ())]
    return merged


def _unique(items: list[Any]) -> list[Any]:
    return [each for index, each in enumerate(items) if each not in items[:index]]


def _matching(pattern: str, chance: random.Random) -> str:
    return "".join(_tokens(sre_parser.parse(pattern), chance))


def _tokens(parsed: Any, chance: random.Random) -> Iterator[str]:
    for kind, what in parsed:
        if kind is sre.LITERAL:
            yield chr(what)
        elif kind is sre.ANY:
            yield "x"
        elif kind is sre.IN:
            yield _member(what, chance)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, inner = what
            for _ in range(chance.randint(least, min(int(most), max(least, 3)))):
                yield from _tokens(inner, chance)
        elif kind is sre.SUBPATTERN:
            yield from _tokens(what[3], chance)
        elif kind is sre.BRANCH:
            yield from _tokens(chance.choice(what[1]), chance)


def _member(members: Any, chance: random.Random) -> str:
    if members[0][0] is sre.NEGATE:
        excluded = {what for kind, what in members if kind is sre.LITERAL}
        return next(each for each in "xyz0_-A" if ord(each) not in excluded)
    kind, what = chance.choice(members)
    if kind is sre.RANGE:
        return chr(chance.randint(*what))
    if kind is sre.CATEGORY:
        return "7" if what is sre.CATEGORY_DIGIT else "a"
    return chr(what)


@dataclass(frozen=True)
class Twist:
    """A departure from a good request: where it is possible, and what it does.

    `change` may return False when it finds nothing to change after all.
    """

    fits: Callable[[Generator, Parts], Any]
    change: Callable[[Generator, Parts], Any]


def _always(_: Generator, __: Parts) -> bool:
    return True


def _has_body(_: Generator, parts: Parts) -> bool:
    return parts.media is not None


def _has_json(_: Generator, parts: Parts) -> bool:
    return parts.media is not None and parts.media != FORM


def _has_object(g: Generator, parts: Parts) -> bool:
    return _has_json(g, parts) and isinstance(parts.body, dict)


def _secured(_: Generator, parts: Parts) -> bool:
    return any(parts.operation.security)


def _put(**values: Any) -> Callable[[Generator, Parts], None]:
    def change(_: Generator, parts: Parts) -> None:
        for name, value in values.items():
            setattr(parts, name, value)

    return change


def _raw(*choices: bytes) -> Callable[[Generator, Parts], None]:
    def change(g: Generator, parts: Parts) -> None:
        parts.raw = g.pick(list(choices))

    return change


def _member_as(value: Any, **wanted: Any) -> tuple[Any, Any]:
    def fits(g: Generator, parts: Parts) -> Any:
        return _has_object(g, parts) and g.members(parts, **wanted)

    def change(g: Generator, parts: Parts) -> None:
        name = g.pick(g.members(parts, **wanted))
        parts.body[name] = value(parts.body.get(name)) if callable(value) else value

    return fits, change


def _query_as(kind: str | None, *values: str) -> tuple[Any, Any]:
    def fits(g: Generator, parts: Parts) -> Any:
        return g.queries(kind)(parts)

    def change(g: Generator, parts: Parts) -> None:
        name = g.pick(g.queries(kind)(parts))
        parts.query = [pair for pair in parts.query if pair[0] != name]
        parts.query.append((name, g.pick(list(values))))

    return fits, change


def _drop_credentials(parts: Parts) -> None:
    parts.headers = [
        each
        for each in parts.headers
        if not (each[1] in ("good", "Bearer good") or each[1].endswith("=good"))
    ]


def _bad_credential(g: Generator, parts: Parts) -> None:
    _drop_credentials(parts)
    parts.headers.append(g.credential(g.pick([s for s in parts.operation.security if s]), "bad"))


def _two_credentials(g: Generator, parts: Parts) -> bool | None:
    made = {g.credential(s, "x")[0]: s for s in parts.operation.security if s}
    if len(made) < 2:
        return False
    _drop_credentials(parts)
    first, second = list(made.values())[:2]
    words = g.pick([("good", "bad"), ("bad", "good")])
    parts.headers.append(g.credential(first, words[0]))
    parts.headers.append(g.credential(second, words[1]))
    return None


def _repeat_query(g: Generator, parts: Parts) -> bool | None:
    names = [pair for pair in parts.query if pair[0] in g.queries()(parts)]
    if not names:
        return False
    parts.query.append(g.pick(names))
    return None


def _comma_in_list(g: Generator, parts: Parts) -> bool | None:
    lists = [
        p["name"]
        for p in parts.operation.parameters
        if p["in"] == "query"
        and g.flat(p["schema"]).get("type") == "array"
        and p.get("explode", True)
        and g.flat(g.flat(p["schema"])["items"]).get("type") == "string"
    ]
    if not lists:
        return False
    name = g.pick(lists)
    parts.query = [pair for pair in parts.query if pair[0] != name]
    parts.query.append((name, "a,b"))
    return None


def _path_as(kind: str, *values: str) -> Callable[[Generator, Parts], bool | None]:
    def change(g: Generator, parts: Parts) -> bool | None:
        names = [
            p["name"]
            for p in parts.operation.parameters
            if p["in"] == "path" and g.flat(p["schema"]).get("type") == kind
        ]
        if not names:
            return False
        parts.path[g.pick(names)] = g.pick(list(values))
        return None

    return change


def _drop_member(g: Generator, parts: Parts) -> bool | None:
    names = [name for name in g.schema_of(parts).get("required", ()) if name in parts.body]
    if not names:
        return False
    del parts.body[g.pick(names)]
    return None


def _other_method(g: Generator, parts: Parts) -> None:
    known = {o.method for o in g._contract.operations if o.path == parts.operation.path}
    parts.method = g.pick([m for m in ("PUT", "DELETE", "PATCH", "POST") if m not in known])


def _undecodable_path(_: Generator, parts: Parts) -> bool | None:
    if not parts.path:
        return False
    name = next(iter(parts.path))
    parts.path[name] = "MARK"
    parts.target = lambda path: path.replace("MARK", "%FF")
    return None


def _drop_parameter(g: Generator, parts: Parts) -> bool | None:
    required = [
        p["name"] for p in parts.operation.parameters if p["in"] == "query" and p.get("required")
    ]
    if not required:
        return False
    parts.query = [pair for pair in parts.query if pair[0] != required[0]]
    return None


TWISTS: Final[dict[str, Twist]] = {
    "unknown path": Twist(_always, _put(target=lambda path: path + "/nowhere/at/all")),
    "trailing slash": Twist(_always, _put(target=lambda path: path + "/")),
    "doubled slash": Twist(_always, _put(target=lambda path: "/" + path)),
    "other method": Twist(_always, _other_method),
    "HEAD": Twist(lambda g, p: p.operation.method == "GET", _put(method="HEAD")),
    "slash in a segment": Twist(_always, _path_as("string", "a/b")),
    "undecodable path": Twist(_always, _undecodable_path),
    "NUL in the path": Twist(_always, _path_as("string", "a\0b")),
    "text for a path integer": Twist(_always, _path_as("integer", "x")),
    "no credential": Twist(_secured, lambda g, p: _drop_credentials(p)),
    "bad credential": Twist(
        lambda g, p: _secured(g, p) and "" not in p.operation.security, _bad_credential
    ),
    "bad credential where anonymous is welcome": Twist(
        lambda g, p: _secured(g, p) and "" in p.operation.security, _bad_credential
    ),
    "a good and a bad credential": Twist(_secured, _two_credentials),
    "required query parameter missing": Twist(_always, _drop_parameter),
    "query parameter twice": Twist(_always, _repeat_query),
    "unknown query parameter": Twist(_always, lambda g, p: p.query.append(("unknown", "1"))),
    "comma in an exploded list": Twist(_always, _comma_in_list),
    "query that is not UTF-8": Twist(*_query_as("string", "MARK")),
    "NUL in the query": Twist(*_query_as("string", "a\0b")),
    "text for a query integer": Twist(*_query_as("integer", "x", "", "1.5", "1e3")),
    "integer as only Python spells it": Twist(*_query_as("integer", "1_0", " 7 ", "+7", "٧")),
    "integer beyond 64 bits": Twist(*_query_as("integer", "9" * 20, "-" + "9" * 30)),
    "number as only Python spells it": Twist(*_query_as("number", "nan", "inf", "1_0.5")),
    "text for a query number": Twist(*_query_as("number", "x", "")),
    "text for a query boolean": Twist(*_query_as("boolean", "1", "yes", "")),
    "Python's boolean": Twist(*_query_as("boolean", "True", "FALSE")),
    "no body": Twist(_has_body, _put(raw=b"", content_type=None)),
    "no body under its type": Twist(_has_body, _put(raw=b"")),
    "no content type": Twist(_has_body, _put(content_type=None)),
    "other content type": Twist(_has_body, _put(content_type="text/plain")),
    "content type with charset": Twist(
        _has_json, lambda g, p: setattr(p, "content_type", f"{p.content_type}; charset=utf-8")
    ),
    "JSON in UTF-16": Twist(
        _has_json,
        lambda g, p: (
            (
                setattr(p, "raw", json.dumps(p.body).encode("utf-16")),
                setattr(p, "content_type", f"{p.content_type}; charset=utf-16"),
            )
            and None
        ),
    ),
    "broken JSON": Twist(_has_json, _raw(b"{", b"{} {}", b"{'a': 1}", b'{"a": 01}', b"nope")),
    "blank body": Twist(_has_json, _raw(b"  ", b"\n")),
    "NaN": Twist(_has_json, _raw(b'{"a": NaN}', b'{"a": Infinity}', b"NaN")),
    "number beyond a double": Twist(_has_json, _raw(b'{"a": 1e999}')),
    "body that is not UTF-8": Twist(_has_json, _raw(b'{"a": "\xff"}', b"\xff")),
    "byte order mark": Twist(
        _has_json,
        lambda g, p: setattr(p, "raw", b"\xef\xbb\xbf" + encode(p.body, JSON)),
    ),
    "lone surrogate": Twist(*_member_as("\ud800", type="string")),
    "NUL in the body": Twist(*_member_as("a\0b", type="string")),
    "control character raw in a string": Twist(_has_json, _raw(b'{"a": "\x01"}')),
    "very deep body": Twist(_has_json, _raw(b"[" * 100_000, b'{"a":' * 1500 + b"1" + b"}" * 1500)),
    "deep body": Twist(
        _has_object,
        lambda g, p: p.body.update(deep=json.loads("[" * 250 + "]" * 250)),
    ),
    "body too large": Twist(_has_json, _raw(b'{"a": "' + b"x" * 1_100_000 + b'"}')),
    "body in chunks": Twist(_has_body, _put(chunked=True)),
    "member missing": Twist(_has_object, _drop_member),
    "unknown member": Twist(_has_object, lambda g, p: p.body.update(unheard_of=1)),
    "list for a body": Twist(_has_json, _raw(b"[]", b'"text"', b"7")),
    "null for a body": Twist(_has_json, _raw(b"null")),
    "number for a string": Twist(*_member_as(7, type="string")),
    "null for a string": Twist(*_member_as(None, type="string")),
    "text for an integer": Twist(*_member_as("7", type="integer")),
    "boolean for an integer": Twist(*_member_as(True, type="integer")),
    "whole float for an integer": Twist(*_member_as(2.0, type="integer")),
    "integer of 70 bits": Twist(*_member_as(2**70, type="integer")),
    "negative integer": Twist(*_member_as(-1, type="integer")),
    "text for a boolean": Twist(*_member_as("true", type="boolean")),
    "object for a list": Twist(*_member_as({}, type="array")),
    "list for an object": Twist(*_member_as([], type="object")),
    "bad time": Twist(
        *_member_as(
            "2026-02-30T00:00:00Z",
            type="string",
            format="date-time",
        )
    ),
    "leap second": Twist(*_member_as("2016-12-31T23:59:60Z", type="string", format="date-time")),
    "line break after a time": Twist(
        *_member_as("2026-01-31T12:00:00Z\n", type="string", format="date-time")
    ),
    "line break after a string": Twist(
        *_member_as(lambda old: f"{old}\n" if isinstance(old, str) else "a\n", type="string")
    ),
    "read-only member": Twist(*_member_as("x", readOnly=True)),
    "key twice": Twist(
        _has_object,
        lambda g, p: (
            setattr(p, "raw", b'{"twice": 1, "twice": 2, ' + encode(p.body, JSON)[1:])
            if p.body
            else False
        ),
    ),
}
