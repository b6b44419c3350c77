"""Schemas in the manner of TypeScript: one declaration per component, with bounds as comments."""

import json
from collections.abc import Iterable, Iterator

from pages.schemas import Member, Schema

_WORDS = {"integer": "number", "any JSON": "unknown", "array": "unknown[]"}
_JOINED = {"one of": " | ", "any of": " | ", "all of": " & "}


def declared(schemas: Iterable[Schema]) -> str:
    """Declarations of every component that these schemas are or hold, each once."""
    found: dict[str, Schema] = {}
    for each in schemas:
        _collect(each, found)
    return "\n\n".join(_declaration(each) for each in found.values())


def named(schema: Schema) -> str:
    """The type as a reader says it: the component's name, or the type itself on one line."""
    return " ".join(_type(schema, "").split())


def facts(schema: Schema) -> list[str]:
    """What the type alone does not say, in words."""
    found = ["deprecated"] if schema.deprecated else []
    if schema.type == "integer":
        found.append("integer")
    found += schema.bounds
    if schema.default:
        found.append(f"default {schema.default}")
    if schema.items is not None and not schema.items.has_inside and not schema.items.component:
        inner = facts(schema.items)
        found += [f"each: {', '.join(inner)}"] if inner else []
    return found


def _collect(schema: Schema, found: dict[str, Schema]) -> None:
    if schema.repeats:
        return
    if schema.component:
        if schema.component in found:
            return
        found[schema.component] = schema
    for each in _inside(schema):
        _collect(each, found)


def _inside(schema: Schema) -> Iterator[Schema]:
    yield from (member.schema for member in schema.members)
    if schema.items is not None:
        yield schema.items
    if schema.others is not None:
        yield schema.others
    for choice in schema.choices:
        yield from choice.schemas


def _declaration(schema: Schema) -> str:
    return f"{_comment(schema, '')}type {schema.component} = {_body(schema, '')};"


def _comment(schema: Schema, indent: str) -> str:
    """The comment above a member or a declaration; empty when there is nothing to say."""
    words = _words(schema)
    return f"{indent}/** {words}. */\n" if words else ""


def _noted(schema: Schema, indent: str) -> str:
    """A type amid others, with a comment before it when there is something to say."""
    words = "" if schema.component else _words(schema)
    return f"/* {words} */ {_type(schema, indent)}" if words else _type(schema, indent)


def _words(schema: Schema) -> str:
    about = " ".join(schema.description.split())
    bounds = ", ".join(facts(schema))
    words = ". ".join(filter(None, [about.rstrip("."), bounds[:1].upper() + bounds[1:]]))
    # What would end the comment is parted.
    return words.replace("*/", "* /")


def _type(schema: Schema, indent: str) -> str:
    """A type where it is used: a component by its name, all else written out."""
    return schema.component or _body(schema, indent)


def _body(schema: Schema, indent: str) -> str:
    """A type written out, without its own name."""
    kind = _plain(schema, indent)
    return f"{kind} | null" if schema.nullable and "null" not in schema.enum else kind


def _plain(schema: Schema, indent: str) -> str:
    if schema.enum:
        return " | ".join(schema.enum)
    if schema.items is not None:
        told = schema.items.has_inside or schema.items.description
        inner = _noted(schema.items, indent) if told else _type(schema.items, indent)
        return f"{inner}[]" if " " not in inner else f"Array<{inner}>"
    parts = []
    if schema.members or schema.others is not None or (schema.open and schema.type == "object"):
        parts.append(_braces(schema, indent))
    for choice in schema.choices:
        inner = _JOINED[choice.words].join(_noted(each, indent) for each in choice.schemas)
        parts.append(f"({inner})" if len(schema.choices) > 1 or parts else inner)
    if parts:
        return " & ".join(parts)
    if schema.type == "object":
        return "object"
    return _WORDS.get(schema.type, schema.type)


def _braces(schema: Schema, indent: str) -> str:
    deeper = f"{indent}  "
    lines = [_member(each, deeper) for each in schema.members]
    if schema.others is not None:
        comment, kind = _comment(schema.others, deeper), _type(schema.others, deeper)
        lines.append(f"{comment}{deeper}[name: string]: {kind};")
    elif schema.open:
        lines.append(f"{deeper}[name: string]: unknown;")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _member(member: Member, indent: str) -> str:
    name = member.name if member.name.isidentifier() else json.dumps(member.name)
    mark = "" if member.required else "?"
    # A component says what it is where it is declared.
    comment = "" if member.schema.component else _comment(member.schema, indent)
    return f"{comment}{indent}{name}{mark}: {_type(member.schema, indent)};"
