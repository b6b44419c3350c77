"""A schema of the contract as a reader sees it: named, with its bounds, and never endless."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

_COMBINATIONS: Final = {"oneOf": "one of", "anyOf": "any of", "allOf": "all of"}


@dataclass(frozen=True, slots=True)
class Member:
    """One named member of an object."""

    name: str
    required: bool
    schema: "Schema"


@dataclass(frozen=True, slots=True)
class Choice:
    """Schemas that are combined, and the words for how: one of, any of, all of."""

    words: str
    schemas: tuple["Schema", ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a value may be.

    `component` is the name under which the contract keeps the schema. `repeats` says that
    the schema stands further up already, so that its inside is left out here. `others` is
    what members without a name may be; None when there are none or the contract is silent.
    """

    type: str
    component: str = ""
    description: str = ""
    nullable: bool = False
    deprecated: bool = False
    repeats: bool = False
    default: str = ""
    bounds: tuple[str, ...] = ()
    enum: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    items: "Schema | None" = None
    others: "Schema | None" = None
    open: bool = False
    choices: tuple[Choice, ...] = ()

    @property
    def kind(self) -> str:
        """The type in words: `string`, `array of QueuedWork`, `one of`."""
        if self.items is None:
            return self.type
        return f"array of {self.items.component or self.items.kind}"

    @property
    def has_inside(self) -> bool:
        """Whether there is more to show than its own line and that of its items."""
        if self.members or self.choices or self.others is not None:
            return True
        return self.items is not None and self.items.has_inside

    @property
    def inside_words(self) -> str:
        """What there is inside, in words: `3 members`, `2 alternatives`, `each item`."""
        if self.members:
            return _counted(len(self.members), "member")
        if self.choices:
            return _counted(sum(len(each.schemas) for each in self.choices), "alternative")
        return "each item" if self.items is not None else "members"


def resolve(spec: Json, node: Json) -> tuple[Json, str]:
    """Follow `$ref` to its end; answers the node and the name of the last component."""
    name = ""
    seen = set()
    while "$ref" in node:
        reference = node["$ref"]
        if reference in seen:
            raise LookupError(f"{reference} leads back to itself; break the circle")
        seen.add(reference)
        found: Any = spec
        for part in reference.removeprefix("#/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found[name]
        node = found
    return node, name


def read(spec: Json, node: Json, above: frozenset[str] = frozenset()) -> Schema:
    """Read a schema and all that is in it; `above` names the components it stands inside."""
    node, component = resolve(spec, node)
    if component in above:
        return Schema(type="object", component=component, repeats=True)
    if component:
        above = above | {component}
    items = node.get("items")
    others = node.get("additionalProperties")
    return Schema(
        type=_type(node),
        component=component,
        description=node.get("description", ""),
        nullable=bool(node.get("nullable")),
        deprecated=bool(node.get("deprecated")),
        default=json.dumps(node["default"], ensure_ascii=False) if "default" in node else "",
        bounds=tuple(_bounds(node)),
        enum=tuple(json.dumps(value, ensure_ascii=False) for value in node.get("enum", ())),
        members=_members(spec, node, above),
        items=None if items is None else read(spec, items, above),
        others=read(spec, others, above) if isinstance(others, Mapping) and others else None,
        # Without the keyword an object is open too, but the contract does not dwell on it.
        open=others is True or others == {},
        choices=tuple(
            Choice(words, tuple(read(spec, each, above) for each in node[keyword]))
            for keyword, words in _COMBINATIONS.items()
            if keyword in node
        ),
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _type(node: Json) -> str:
    if "type" in node:
        return str(node["type"])
    if "properties" in node or "required" in node:
        return "object"
    for keyword, words in _COMBINATIONS.items():
        if keyword in node:
            return words
    return "any JSON"


def _members(spec: Json, node: Json, above: frozenset[str]) -> tuple[Member, ...]:
    required = node.get("required", ())
    return tuple(
        Member(name, name in required, read(spec, each, above))
        for name, each in node.get("properties", {}).items()
    )


def _bounds(node: Json) -> Iterator[str]:
    if "format" in node:
        yield f"format {node['format']}"
    yield from _range(node, "minLength", "maxLength", "characters")
    yield from _range(node, "minItems", "maxItems", "items")
    yield from _range(node, "minProperties", "maxProperties", "members")
    if node.get("uniqueItems"):
        yield "all different"
    yield from _range(node, "minimum", "maximum", "")
    if node.get("exclusiveMinimum") or node.get("exclusiveMaximum"):
        ends = ("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")
        yield "without " + " and ".join(f"{node[end]:,}" for word, end in ends if node.get(word))
    if "multipleOf" in node:
        yield f"a multiple of {node['multipleOf']}"
    if "pattern" in node:
        yield f"matches {node['pattern']}"
    # Alternatives such as "one of these two members" require names they do not describe.
    for name in node.get("required", ()):
        if name not in node.get("properties", {}):
            yield f"requires {name}"


def _range(node: Json, least: str, most: str, unit: str) -> Iterator[str]:
    if least in node and most in node:
        yield f"{node[least]:,} to {node[most]:,} {unit}".strip()
    elif least in node:
        yield f"at least {node[least]:,} {unit}".strip()
    elif most in node:
        yield f"at most {node[most]:,} {unit}".strip()
