"""Whether a document is OpenAPI 3.0 at all: every object has the members it must and may have."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs

from contract.framework import OpenAPISpecification
from contract.references import Json
from contract.schemas import Direction, Schemas

# The values under these keys are data, in which a "default" is only a word.
_DATA: Final = frozenset({"example", "examples", "default", "enum"})


def problems(spec: Json) -> list[str]:
    """Everything that is not as OpenAPI 3.0 has it, each told with its place.

    The schema is Connexion's own; its own check takes a second of a start for a contract of a
    hundred operations, this one some milliseconds.
    """
    validator = jsonschema_rs.Draft4Validator(
        OpenAPISpecification.openapi_schema, validate_formats=False
    )
    found = [
        f"{'/'.join(map(str, place)) or 'the document'}: {text}; correct it"
        for place, text in map(_deepest, validator.iter_errors(spec))
    ]
    return found or list(_defaults(spec, Schemas(spec), ""))


def _deepest(error: jsonschema_rs.ValidationError) -> tuple[list[str | int], str]:
    """The place and the words that say most.

    Nearly every object may be a reference instead, so the error on top is "neither of both"; what
    is meant is the alternative that reads furthest into the document.
    """
    place, text = list(error.instance_path), error.message
    alternatives = [
        _deepest(each) for group in getattr(error.kind, "context", ()) for each in group
    ]
    meant = [each for each in alternatives if '"$ref" is a required property' not in each[1]]
    if meant:
        place, text = max(meant, key=lambda each: len(each[0]))
    return place, text if len(text) < 300 else text[:300] + " ..."


def _defaults(node: Any, schemas: Schemas, place: str) -> Iterator[str]:
    if isinstance(node, Mapping):
        if "default" in node and not place.endswith(("/properties", "/responses", "/mapping")):
            yield from _default(node, schemas, place)
        for key, value in node.items():
            if key not in _DATA or place.endswith("/properties"):
                yield from _defaults(value, schemas, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _defaults(value, schemas, f"{place}/{index}")


def _default(node: Json, schemas: Schemas, place: str) -> Iterator[str]:
    shape = schemas.shape(node, Direction.REQUEST)
    value = node["default"]
    if not shape.fits(value):
        told = shape.complaint(value, "the default", 0)
        yield f"{place.removeprefix('/')}: {told}; correct the default or its schema"
