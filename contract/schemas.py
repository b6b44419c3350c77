"""Schemas of OpenAPI 3.0 as compiled validators.

OpenAPI 3.0 builds on JSON Schema draft 4, so a draft 4 validator takes most keywords as they
are, boolean `exclusiveMinimum` included. It also means that 1.0 is not an integer: what a
handler gets for `type: integer` is an `int`, without a walk over the body.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import jsonschema_rs

from contract import references
from contract.complaints import BANNED, HIDES, NONE, explain, hidden
from contract.references import Json

_AS_IT_IS: Final = frozenset(
    {
        "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
        "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems",
        "maxProperties", "minProperties",
    }
)  # fmt: skip
_WITHOUT_EFFECT: Final = frozenset(
    {
        "title", "description", "default", "example", "externalDocs", "deprecated", "xml",
        "readOnly", "writeOnly", "nullable", "format",
    }
)  # fmt: skip
_FULLY_TOLD: Final = 4096

_GROUPS: Final = ("allOf", "anyOf", "oneOf")
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")


class Direction(Enum):
    """Which way a body travels: the keyword that bans a property on it, and its word."""

    REQUEST = ("readOnly", "read-only")
    RESPONSE = ("writeOnly", "write-only")


class Shape:
    """A compiled schema."""

    __slots__ = ("_blunt", "_document", "_holds_secrets", "_validator", "fits")

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validator = jsonschema_rs.Draft4Validator(document, validate_formats=True)
        self._blunt: tuple[dict[str, Any], jsonschema_rs.Draft4Validator] | None = None
        # A secret may stand in the wrong place, so that nothing of such a value is shown.
        self._holds_secrets = _mentions(document, HIDES)
        self.fits: Callable[[Any], bool] = self._validator.is_valid
        """Whether the value fits. The hot path asks nothing else."""

    def complaint(self, value: Any, place: str, size: int) -> str:
        """Why the value does not fit, beginning with the place inside `place`.

        `size` is the value's length as text. Collecting every error of a megabyte of wrong
        items takes seconds, so a long value is told its first one only.
        """
        told = hidden(value) if self._holds_secrets else value
        if size <= _FULLY_TOLD:
            return explain(self._validator.iter_errors(value), self._document, told, place)
        if self._blunt is None:
            document = _blunt(self._document)
            validator = jsonschema_rs.Draft4Validator(document, validate_formats=True)
            self._blunt = document, validator
        document, validator = self._blunt
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return explain([error], document, told, place)
        return f"{place}: fits more than one of the forms of which it must fit one"


def _mentions(node: Any, keyword: str) -> bool:
    """Whether a translated schema has a keyword anywhere in it."""
    if isinstance(node, Mapping):
        return keyword in node or any(_mentions(each, keyword) for each in node.values())
    return isinstance(node, list) and any(_mentions(each, keyword) for each in node)


def _blunt(schema: Any) -> Any:
    """The translated schema with choices that only say no, without collecting why."""
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    refused: list[Any] = []
    for keyword, value in schema.items():
        if keyword in ("properties", "definitions"):
            made[keyword] = {name: _blunt(each) for name, each in value.items()}
        elif keyword in ("items", "not", "additionalProperties"):
            made[keyword] = _blunt(value)
        elif keyword == "allOf":
            made[keyword] = [_blunt(each) for each in value]
        elif keyword in ("anyOf", "oneOf"):
            refused.append(
                {"not": {"allOf": [{"not": _blunt(each)} for each in value]}, NONE: True}
            )
        else:
            made[keyword] = value
    if refused:
        made["allOf"] = made.get("allOf", []) + refused
    return made


class Schemas:
    """The schemas of one contract, each compiled once per direction."""

    def __init__(self, spec: Json) -> None:
        self._spec = spec
        self._shapes: dict[tuple[str, Direction], Shape] = {}

    def shape(self, schema: Json, direction: Direction) -> Shape:
        """Compile a schema.

        Raises ValueError, ending with what to do, for a keyword or a combination that
        OpenAPI 3.0 does not have or that its tools read differently.
        """
        reference = schema.get("$ref")
        if reference is None:
            return self._compile(schema, direction)
        key = (reference, direction)
        if key not in self._shapes:
            self._shapes[key] = self._compile(schema, direction)
        return self._shapes[key]

    def limiting(self, schema: Json) -> Shape | None:
        """The shape of a value already converted, or None if its type says it all."""
        full = self.resolved(schema)
        parts = (full, self.resolved(full["items"])) if "items" in full else (full,)
        if all(part.keys() <= _WITHOUT_EFFECT | {"type", "items"} for part in parts) and not any(
            part.get("format") == "date-time" for part in parts
        ):
            return None
        return self.shape(schema, Direction.REQUEST)

    def resolved(self, schema: Json) -> Json:
        """The schema behind a reference."""
        return references.resolved(self._spec, schema)

    def _compile(self, schema: Json, direction: Direction) -> Shape:
        translation = _Translation(self._spec, direction)
        document = translation.schema(schema, frozenset())
        document["definitions"] = translation.definitions
        try:
            return Shape(document)
        except jsonschema_rs.ValidationError as error:
            raise ValueError(f"{_fault(error)}; correct the schema") from error
        except jsonschema_rs.ReferencingError as error:
            raise ValueError(f"{error.message}; correct the schema") from error


def _fault(error: jsonschema_rs.ValidationError) -> str:
    """What is wrong with a schema, and where in the contract it stands."""
    steps = [str(step) for step in error.instance_path]
    if steps[:1] == ["definitions"]:
        steps[:1] = ["components", "schemas"]
    message = error.message
    if steps[-1:] == ["type"]:
        message = f"{error.instance!r} is no type; write one of {', '.join(_TYPES)}"
    return f"{'.'.join(steps)}: {message}" if steps else message


class _Translation:
    """One schema and all that it refers to, on the way to draft 4."""

    def __init__(self, spec: Json, direction: Direction) -> None:
        self.definitions: dict[str, Any] = {}
        self._spec = spec
        self._banning, self._banned_as = direction.value

    def schema(self, schema: Json, absent: frozenset[str]) -> dict[str, Any]:
        """Translate one schema; `absent` are properties banned by the group around it."""
        if "$ref" in schema:
            return {"$ref": "#/definitions/" + self._define(schema["$ref"])}
        absent |= self._banned(schema)
        made: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in _AS_IT_IS:
                made[keyword] = value
            elif keyword in _GROUPS:
                made[keyword] = [self.schema(each, absent) for each in value]
            elif keyword in ("items", "not"):
                made[keyword] = self.schema(value, frozenset())
            elif keyword == "properties":
                made[keyword] = {name: self._property(each) for name, each in value.items()}
            elif keyword == "additionalProperties":
                is_schema = isinstance(value, Mapping)
                made[keyword] = self.schema(value, frozenset()) if is_schema else value
            elif keyword == "required":
                # Draft 4 has no empty `required`.
                if needed := [name for name in value if name not in absent]:
                    made[keyword] = needed
            elif keyword == "type":
                made[keyword] = [value, "null"] if schema.get("nullable") else value
            elif keyword == "enum":
                made[keyword] = value
            elif keyword == "discriminator":
                # Draft 4 ignores it; the wording of complaints does not.
                made["x-discriminator"] = value
            elif keyword not in _WITHOUT_EFFECT and not keyword.startswith("x-"):
                raise ValueError(f"OpenAPI 3.0 has no schema keyword {keyword!r}; remove it")
        if schema.get("format") == "date-time":
            made["format"] = "date-time"
        if schema.get("format") == "password":
            made[HIDES] = True
        _check_null(schema)
        return made

    def _define(self, reference: str) -> str:
        name = reference.removeprefix("#/components/schemas/").replace("/", ".")
        if name not in self.definitions:
            # The place is taken first, so that a schema may contain itself.
            self.definitions[name] = {}
            found = references.target(self._spec, reference)
            self.definitions[name] = self.schema(found, frozenset())
        return name

    def _property(self, schema: Json) -> dict[str, Any]:
        if references.resolved(self._spec, schema).get(self._banning):
            return {"not": {}, BANNED: self._banned_as}
        return self.schema(schema, frozenset())

    def _banned(self, schema: Json, seen: frozenset[int] = frozenset()) -> frozenset[str]:
        """Names of properties that this schema, through its `allOf` too, bans on this way."""
        schema = references.resolved(self._spec, schema)
        if id(schema) in seen:
            return frozenset()
        banned = frozenset(
            name
            for name, each in schema.get("properties", {}).items()
            if references.resolved(self._spec, each).get(self._banning)
        )
        for each in schema.get("allOf", ()):
            banned |= self._banned(each, seen | {id(schema)})
        return banned


def _check_null(schema: Json) -> None:
    """Refuse the two uses of `nullable` that serving, judging and fuzzing read differently."""
    if not schema.get("nullable"):
        return
    if "type" not in schema:
        raise ValueError("`nullable` has no effect without `type` beside it; add the type")
    if "enum" in schema and None not in schema["enum"]:
        raise ValueError("`nullable` beside an `enum` without null; add null to the enum")
