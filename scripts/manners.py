"""The manners of the contract: what every operation and every schema owes its readers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from contract import Contract, Operation
from contract.references import Json, resolved
from scripts.permissions import LINE

LONGEST_SUMMARY: Final = 60
"""The summary is the title of a page and a line of a menu."""

CLOSED_REQUESTS: Final = frozenset(
    {
        "#/components/schemas/ConnectionChange",
        "#/components/schemas/OrgSettingsChange",
        "#/components/schemas/ProjectSettingsChange",
    }
)
"""Requests that refuse unknown members, which others must let pass so that no client breaks.

A mistyped setting must not be ignored: the answer would be 200 and nothing would have changed.
"""

_JSON: Final = re.compile(r"application/(.+\+)?json")


def manner_differences(contract: Contract) -> Iterator[str]:
    """Everything in which the contract forgets its manners."""
    tags = {tag["name"] for tag in contract.spec.get("tags", ())}
    for operation in contract.operations:
        for complaint in _operation(operation, contract.spec, tags):
            yield f"{operation.id}: {complaint}"
    # Components are shared, so that the same complaint would come once per operation.
    yield from dict.fromkeys(_schemas(contract))


def _operation(operation: Operation, spec: Json, tags: set[str]) -> Iterator[str]:
    raw = operation.raw
    if not re.fullmatch(r"[a-z][A-Za-z0-9]*", operation.id):
        yield "not camelCase; begin with a small letter and use letters and digits only"
    if len(raw.get("tags", ())) != 1:
        yield "needs exactly one tag; name the section it belongs to"
    for tag in raw.get("tags", ()):
        if tag not in tags:
            yield f"the tag {tag!r} is not declared; add it to `tags` with a description"
    if not raw.get("summary"):
        yield "no summary; write the title of its page"
    elif len(raw["summary"]) > LONGEST_SUMMARY:
        yield f"the summary has {len(raw['summary'])} characters; use at most {LONGEST_SUMMARY}"
    if not re.search(rf"^{re.escape(LINE)}", raw.get("description", ""), re.MULTILINE):
        yield f"no {LINE} line; end the description with one"
    if "default" not in raw.get("responses", {}):
        yield "no default response; add `default: {$ref: '#/components/responses/Refused'}`"
    yield from _examples(operation, spec)


def _examples(operation: Operation, spec: Json) -> Iterator[str]:
    for place, body in _bodies(operation, spec):
        if place == "request" or place.startswith("2"):
            for content_type, media in body.get("content", {}).items():
                if _JSON.match(content_type) and not _has_example(media, spec):
                    yield f"no example of the {place} as {content_type}; add `example`"


def _has_example(media: Json, spec: Json) -> bool:
    if "example" in media or media.get("examples"):
        return True
    return "example" in resolved(spec, media.get("schema", {}))


def _bodies(operation: Operation, spec: Json) -> Iterator[tuple[str, Json]]:
    if "requestBody" in operation.raw:
        yield "request", resolved(spec, operation.raw["requestBody"])
    for status, response in operation.raw.get("responses", {}).items():
        yield str(status), resolved(spec, response)


def _schemas(contract: Contract) -> Iterator[str]:
    for operation in contract.operations:
        for place, body in _bodies(operation, contract.spec):
            for media in body.get("content", {}).values():
                start = f"{operation.id} {place}"
                exempt = CLOSED_REQUESTS if place == "request" else frozenset[str]()
                schema = media.get("schema", {})
                for where, node in _objects(schema, start, contract.spec, exempt, set()):
                    if place == "request" and node.get("additionalProperties") is False:
                        yield (
                            f"{where}: a request refuses unknown members, which breaks clients; "
                            "write `additionalProperties: true`"
                        )
                    if place != "request" and "additionalProperties" not in node:
                        yield (
                            f"{where}: a response may leak undocumented members; "
                            "write `additionalProperties: false`"
                        )


def _objects(
    node: Json, where: str, spec: Json, exempt: frozenset[str], seen: set[str]
) -> Iterator[tuple[str, Json]]:
    """Every schema of an object that the node reaches, with its place; components once."""
    reference = node.get("$ref")
    if reference is not None:
        if reference in seen or reference in exempt:
            return
        seen.add(reference)
        where = reference.removeprefix("#/components/schemas/")
        node = resolved(spec, node)
    if node.get("type") == "object" or "properties" in node:
        yield where, node
    for step, inner in _inner(node):
        yield from _objects(inner, f"{where}.{step}", spec, exempt, seen)


def _inner(node: Json) -> Iterator[tuple[str, Any]]:
    yield from node.get("properties", {}).items()
    for word in ("items", "additionalProperties", "not"):
        if isinstance(node.get(word), Mapping):
            yield word, node[word]
    for word in ("allOf", "anyOf", "oneOf"):
        for index, each in enumerate(node.get(word, ())):
            yield f"{word}[{index}]", each
