"""The reference as data: what its pages show, read from the contract once, at start."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol
from urllib.parse import quote

from contract.loading import METHODS
from pages import components
from pages.components import Component
from pages.schemas import Json, Schema, resolve
from pages.schemas import read as read_schema

_PERMISSIONS: Final = "*Permissions:*"


class Rule(Protocol):
    """What an operation needs: a scope, and the kinds of credential that may hold it."""

    @property
    def scope(self) -> str:
        """The scope, or the word for none or any."""

    @property
    def kinds(self) -> AbstractSet[Enum]:
        """The kinds of credential; the value of each is its readable name."""

    @property
    def worker_scope(self) -> str | None:
        """The scope that a worker's credential may hold instead."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to show a credential; `place` says in words where it travels."""

    name: str
    kind: str
    place: str
    description: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation; `example` is always something that can be sent."""

    name: str
    place: str
    required: bool
    deprecated: bool
    description: str
    schema: Schema
    example: Any


@dataclass(frozen=True, slots=True)
class Media:
    """One content type of a body. `example` is None when the contract gives none."""

    content_type: str
    schema: Schema | None
    example: Any

    @property
    def example_text(self) -> str:
        """The example as it would travel, laid out for reading."""
        if self.example is None or isinstance(self.example, str):
            return self.example or ""
        return json.dumps(self.example, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request."""

    required: bool
    description: str
    media: tuple[Media, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """One header of a response."""

    name: str
    description: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Response:
    """One answer of an operation; `status` is a number or `default`."""

    status: str
    description: str
    headers: tuple[Header, ...]
    media: tuple[Media, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `security` names its schemes; "" among them stands for nobody at all."""

    id: str
    method: str
    path: str
    slug: str
    summary: str
    description: str
    deprecated: bool
    security: tuple[str, ...]
    scope: str
    kinds: tuple[str, ...]
    worker_scope: str | None
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: tuple[Response, ...]

    @property
    def address(self) -> str:
        """Where its page is."""
        return f"/docs/api/reference/{quote(self.slug, safe='()')}/{quote(self.id)}"

    @property
    def prose(self) -> str:
        """The description without its last line, the one about permissions."""
        return self.description.partition(_PERMISSIONS)[0].rstrip()

    @property
    def permissions(self) -> str:
        """What the description says about permissions beyond the scope, with a capital first."""
        text = self.description.partition(_PERMISSIONS)[2].strip()
        only_the_scope = text.strip("`.") in {self.scope, f"{self.scope}`"}
        return "" if only_the_scope else text[:1].upper() + text[1:]

    @property
    def samples(self) -> tuple[tuple[str, Media], ...]:
        """Every response with a body to show, by status."""
        return tuple(
            (response.status, each)
            for response in self.responses
            for each in response.media
            if each.example_text
        )


@dataclass(frozen=True, slots=True)
class Tag:
    """A section of the reference and its operations, in the order of the contract."""

    name: str
    slug: str
    description: str
    operations: tuple[Operation, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The beginnings of the paths of its operations, most used first: `/api/sessions`."""
        starts = Counter("/".join(each.path.split("/")[:3]) for each in self.operations)
        return tuple(name for name, _ in starts.most_common())


@dataclass(frozen=True, slots=True)
class Reference:
    """All that the pages show."""

    title: str
    version: str
    description: str
    tags: tuple[Tag, ...]
    schemes: Mapping[str, Scheme]
    components: Mapping[str, Component]

    @property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation in the order in which a reader turns the pages."""
        return tuple(operation for tag in self.tags for operation in tag.operations)


def read(spec: Json, scopes: Mapping[str, Rule]) -> Reference:
    """Read the contract; raises LookupError for an operation that `scopes` does not name."""
    operations = list(_operations(spec, scopes))
    # The list of tags goes by the alphabet; the sections come as the author wants them read.
    names = dict.fromkeys(tag for tag, _ in operations)
    names |= dict.fromkeys(tag["name"] for tag in spec.get("tags", ()))
    descriptions = {tag["name"]: tag.get("description", "") for tag in spec.get("tags", ())}
    return Reference(
        title=spec["info"]["title"],
        version=spec["info"]["version"],
        description=spec["info"].get("description", ""),
        tags=tuple(
            Tag(
                name=name,
                slug=slug(name),
                description=descriptions.get(name, ""),
                operations=tuple(each for tag, each in operations if tag == name),
            )
            for name in names
        ),
        schemes=_schemes(spec),
        components=components.read(spec),
    )


def slug(tag: str) -> str:
    """The name of a tag in an address: `Sessions (Public)` -> `sessions-(public)`."""
    return tag.lower().replace(" ", "-")


def _operations(spec: Json, scopes: Mapping[str, Rule]) -> Iterator[tuple[str, Operation]]:
    for path, item in spec["paths"].items():
        # The order of the file is the order in which the author wants them read.
        for method in item:
            if method not in METHODS:
                continue
            raw = item[method]
            if raw["operationId"] not in scopes:
                raise LookupError(f"{raw['operationId']} has no scope; add it to auth/scopes.py")
            # The contract's own check demands one tag; pages must not fail over it.
            tag = (raw.get("tags") or ["Other"])[0]
            yield tag, _operation(spec, path, method, scopes[raw["operationId"]])


def _operation(spec: Json, path: str, method: str, rule: Rule) -> Operation:
    item = spec["paths"][path]
    raw = item[method]
    security = raw.get("security", spec.get("security", ()))
    body = raw.get("requestBody")
    return Operation(
        id=raw["operationId"],
        method=method.upper(),
        path=path,
        slug=slug((raw.get("tags") or ["Other"])[0]),
        summary=raw.get("summary", raw["operationId"]),
        description=raw.get("description", ""),
        deprecated=bool(raw.get("deprecated")),
        security=tuple(name for each in security for name in (each or ("",))),
        scope=rule.scope,
        kinds=tuple(sorted(str(kind.value) for kind in rule.kinds)),
        worker_scope=rule.worker_scope,
        parameters=_parameters(spec, item, raw),
        body=None if body is None else _body(spec, body),
        responses=tuple(
            _response(spec, str(status), node) for status, node in raw.get("responses", {}).items()
        ),
    )


def _schemes(spec: Json) -> dict[str, Scheme]:
    found = {}
    for name, node in spec.get("components", {}).get("securitySchemes", {}).items():
        raw, _ = resolve(spec, node)
        if raw["type"] == "apiKey":
            place = f"the {raw['in']} {raw['name']}"
        else:
            place = f"the header Authorization, after {raw.get('scheme', 'bearer').capitalize()}"
        found[name] = Scheme(name, raw["type"], place, raw.get("description", ""))
    return found


def _parameters(spec: Json, item: Json, raw: Json) -> tuple[Parameter, ...]:
    merged: dict[tuple[str, str], Parameter] = {}
    for reference in (*item.get("parameters", ()), *raw.get("parameters", ())):
        node, _ = resolve(spec, reference)
        # The operation's own parameter replaces the path's of the same name and place.
        merged[node["in"], node["name"]] = Parameter(
            name=node["name"],
            place=node["in"],
            required=bool(node.get("required")),
            deprecated=bool(node.get("deprecated")),
            description=node.get("description", ""),
            schema=read_schema(spec, node.get("schema", {})),
            example=_parameter_example(spec, node),
        )
    return tuple(merged.values())


def _parameter_example(spec: Json, node: Json) -> Any:
    schema, _ = resolve(spec, node.get("schema", {}))
    candidates = (
        *(source["example"] for source in (node, schema) if "example" in source),
        *(schema[word] for word in ("default", "minimum") if word in schema),
        *schema.get("enum", ()),
    )
    return next(iter(candidates), node["name"])


def _body(spec: Json, reference: Json) -> Body:
    node, _ = resolve(spec, reference)
    return Body(
        required=bool(node.get("required")),
        description=node.get("description", ""),
        media=_media(spec, node),
    )


def _response(spec: Json, status: str, reference: Json) -> Response:
    node, _ = resolve(spec, reference)
    headers = []
    for name, header_reference in node.get("headers", {}).items():
        header, _ = resolve(spec, header_reference)
        schema = read_schema(spec, header.get("schema", {}))
        headers.append(Header(name, header.get("description", ""), schema))
    return Response(status, node.get("description", ""), tuple(headers), _media(spec, node))


def _media(spec: Json, node: Json) -> tuple[Media, ...]:
    found = []
    for content_type, media in node.get("content", {}).items():
        schema = media.get("schema")
        shown = None if schema is None else read_schema(spec, schema)
        found.append(Media(content_type, shown, _media_example(spec, media)))
    return tuple(found)


def _media_example(spec: Json, media: Json) -> Any:
    if "example" in media:
        return media["example"]
    for reference in media.get("examples", {}).values():
        example, _ = resolve(spec, reference)
        if "value" in example:
            return example["value"]
    schema, _ = resolve(spec, media.get("schema", {}))
    return schema.get("example")
