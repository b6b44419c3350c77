"""The named schemas of the contract, and where each is used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from contract.loading import METHODS
from pages import schemas
from pages.schemas import Json, Schema

_PREFIX: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Use:
    """An operation that uses a component, and in which of its parts."""

    operation_id: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Component:
    """A named schema. `inside` names the components it is a part of."""

    name: str
    schema: Schema
    inside: tuple[str, ...]
    uses: tuple[Use, ...]

    def used_in(self, place: str) -> tuple[str, ...]:
        """The ids of the operations that use it in a place: parameter, request or response."""
        return tuple(each.operation_id for each in self.uses if place in each.places)


def read(spec: Json) -> dict[str, Component]:
    """All named schemas in alphabetical order, each with its uses, direct or through others."""
    named = spec.get("components", {}).get("schemas", {})
    parts = {name: frozenset(_named(spec, node)) for name, node in named.items()}
    used: dict[str, dict[str, list[str]]] = {name: {} for name in named}
    for operation_id, place, node in _bodies(spec):
        for name in _closure(_named(spec, node), parts):
            places = used[name].setdefault(operation_id, [])
            if place not in places:
                places.append(place)
    return {
        name: Component(
            name=name,
            # Its own page need not name it again.
            schema=replace(schemas.read(spec, {"$ref": _PREFIX + name}), component=""),
            inside=tuple(sorted(each for each, inner in parts.items() if name in inner)),
            uses=tuple(Use(each, tuple(places)) for each, places in used[name].items()),
        )
        for name in sorted(named, key=str.lower)
    }


def _bodies(spec: Json) -> Iterator[tuple[str, str, Any]]:
    """Each operation's id, the name of one of its parts, and what the contract has there."""
    for item in spec["paths"].values():
        for method in METHODS:
            if method in item:
                raw = item[method]
                parameters = (*item.get("parameters", ()), *raw.get("parameters", ()))
                yield raw["operationId"], "parameter", parameters
                yield raw["operationId"], "request", raw.get("requestBody", {})
                yield raw["operationId"], "response", raw.get("responses", {})


def _named(spec: Json, node: Any) -> Iterator[str]:
    """The schemas that a part of the contract names; other references are followed."""
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str):
            if reference.startswith(_PREFIX):
                yield reference.removeprefix(_PREFIX)
            else:
                yield from _named(spec, schemas.resolve(spec, node)[0])
            return
        for key, value in node.items():
            # An example may hold anything, a "$ref" that leads nowhere too.
            if key not in {"example", "examples"} or not isinstance(value, Mapping):
                yield from _named(spec, value)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _named(spec, each)


def _closure(names: Iterator[str], parts: Mapping[str, frozenset[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in parts and name not in found:
            found.add(name)
            waiting.extend(parts[name])
    return found
