"""What the playground's form is made of, as data for the script that builds it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from auth.webhook_signatures import PROVIDERS
from pages.playground import ANSWER, PREFIX
from pages.reference import Operation, Parameter, Reference, Scheme
from pages.schemas import Schema

_SHOWN_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array"})

SIGNED: Final = {
    name: {
        "header": each.headers[0],
        "prefix": each.prefix,
        "algorithm": {"sha1": "SHA-1", "sha256": "SHA-256"}[each.algorithms[0]],
    }
    for name, each in PROVIDERS.items()
}
"""How each provider signs a delivery, in the words of the browser."""


def form(operation: Operation, reference: Reference, static: Any = False) -> dict[str, Any]:
    """The form of one operation; plain data that fits into a page as JSON.

    `static` pages belong to no server: they have no proxy and ask where to send.
    """
    body = operation.body
    return {
        "id": operation.id,
        "method": operation.method,
        "path": operation.path,
        "proxy": None if static else f"{PREFIX}{operation.id}",
        "answer": ANSWER,
        "parameters": [_parameter(each) for each in operation.parameters],
        "body": None
        if body is None
        else {
            "required": body.required,
            "media": [{"type": each.content_type, "example": each.example} for each in body.media],
        },
        "security": [
            _scheme(reference.schemes[name]) if name else None for name in operation.security
        ],
        "streams": any(
            each.content_type == "text/event-stream"
            for answer in operation.responses
            for each in answer.media
        ),
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.schema
    many = schema.items is not None
    single = schema.items if schema.items is not None else schema
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "type": single.type if single.type in _SHOWN_TYPES else "string",
        "many": many,
        "enum": [_plain(json.loads(each)) for each in single.enum],
        "facts": _facts(schema, single),
        "value": parameter.example if parameter.required else None,
    }


def _plain(value: Any) -> str:
    """A value as it stands in an address or a header."""
    return value if isinstance(value, str) else json.dumps(value)


def _facts(schema: Schema, single: Schema) -> list[str]:
    facts = [*schema.bounds]
    if single is not schema:
        facts += [f"each {bound}" for bound in single.bounds]
    if schema.default:
        facts.append(f"default {schema.default}")
    return facts


def _scheme(scheme: Scheme) -> Mapping[str, Any]:
    signed = scheme.kind == "apiKey" and scheme.place.startswith("the header")
    cookie = scheme.kind == "apiKey" and not signed
    return {
        "name": scheme.name,
        "kind": "signature" if signed else "cookie" if cookie else "bearer",
        "place": scheme.place,
        **({"cookie": scheme.place.rpartition(" ")[2]} if cookie else {}),
        **({"signed": SIGNED} if signed else {}),
    }
