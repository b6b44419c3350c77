"""Why a value does not fit its schema, in words for the one who sent it."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from jsonschema_rs import ValidationError

BANNED: Final = "x-contract-banned"
"""Marks, in a translated schema, a property that only exists to be refused, and says as what."""

NONE: Final = "x-contract-none"
"""Marks a `not` that stands for a choice of which no branch fits."""

HIDES: Final = "x-contract-hides"
"""Marks a translated schema whose value is a secret (`format: password`)."""

_MOST_TOLD: Final = 3
_LONGEST_VALUE: Final = 60
_MOST_OPTIONS: Final = 12

_TYPES: Final = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}

_SIMPLE: Final[dict[str, Callable[[Any], str]]] = {
    "minimum": lambda kind: f"must be at least {kind.limit}",
    "maximum": lambda kind: f"must be at most {kind.limit}",
    "exclusiveMinimum": lambda kind: f"must be more than {kind.limit}",
    "exclusiveMaximum": lambda kind: f"must be less than {kind.limit}",
    "multipleOf": lambda kind: f"must be a multiple of {kind.multiple_of}",
    "minLength": lambda kind: f"must have at least {_count(kind.limit, 'character')}",
    "maxLength": lambda kind: f"must have at most {_count(kind.limit, 'character')}",
    "minItems": lambda kind: f"must have at least {_count(kind.limit, 'item')}",
    "maxItems": lambda kind: f"must have at most {_count(kind.limit, 'item')}",
    "minProperties": lambda kind: f"must have at least {_count(kind.limit, 'member')}",
    "maxProperties": lambda kind: f"must have at most {_count(kind.limit, 'member')}",
    "uniqueItems": lambda kind: "must not hold the same item twice",
    "format": lambda kind: "must be a time such as 2026-01-31T12:00:00Z",
}


def explain(errors: Iterable[ValidationError], document: Any, value: Any, place: str) -> str:
    """Put the first few errors into one line, each beginning with its place."""
    telling = _most_telling(list(errors))
    told = list(dict.fromkeys(_explain(error, document, value, place) for error in telling))
    more = len(told) - _MOST_TOLD
    return "; ".join(told[:_MOST_TOLD]) + (f"; and {more} more" if more > 0 else "")


class Hidden:
    """Stands for a value that no message shows."""


def hidden(value: Any) -> Any:
    """The same objects and lists, and nothing of what they hold."""
    if isinstance(value, dict):
        return {name: hidden(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [hidden(each) for each in value]
    return Hidden()


def shown(value: Any) -> str:
    """A client's value, short enough for a message: containers by name, long text cut."""
    if isinstance(value, Hidden):
        return "the value"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"
        return repr(cut)
    # Numbers, booleans and null are shown as JSON has them.
    return json.dumps(value, default=str)[:_LONGEST_VALUE]


def _most_telling(errors: list[ValidationError]) -> list[ValidationError]:
    """Without those that a value of the wrong type, or outside its enum, brings along."""
    telling: dict[tuple[Any, ...], str] = {}
    for error in errors:
        path, name = tuple(error.instance_path), error.kind.name
        if name == "enum" or (name == "type" and path not in telling):
            telling[path] = name
    return [e for e in errors if telling.get(tuple(e.instance_path), e.kind.name) == e.kind.name]


def _explain(error: ValidationError, document: Any, value: Any, place: str) -> str:
    kind: Any = error.kind
    name = kind.name
    where = _join(place, error.instance_path)
    found = _at(value, error.instance_path)
    if name == "required":
        return f"{where}.{_cut(kind.property)}: is required"
    if name == "type":
        wanted = " or ".join(_TYPES.get(each, each) for each in kind.types)
        return f"{where}: {shown(found)} is not {wanted}"
    if name == "enum":
        return f"{where}: {shown(found)} is not one of {_options(kind.options)}"
    if name == "pattern":
        return f"{where}: {shown(found)} does not match {kind.pattern}"
    if name == "additionalProperties":
        return f"{where}: does not take " + _cut(", ".join(map(repr, kind.unexpected)))
    if name in ("oneOf", "anyOf"):
        return _explain_choice(error, document, value, place)
    if name == "not":
        holder = _walk(document, error.schema_path[:-1])
        if BANNED in holder:
            return f"{where}: is {holder[BANNED]}; leave it out"
        excluded = "fits none of its allowed forms" if NONE in holder else "has an excluded form"
        return f"{where}: {excluded}"
    if name in _SIMPLE:
        return f"{where}: {_SIMPLE[name](kind)}"
    return f"{where}: does not fit the contract ({name})"


def _explain_choice(error: ValidationError, document: Any, value: Any, place: str) -> str:
    kind: Any = error.kind
    where = _join(place, error.instance_path)
    found = _at(value, error.instance_path)
    branches: list[list[ValidationError]] = kind.context
    holder = _walk(document, error.schema_path[:-1])
    names = [_branch_name(each, index) for index, each in enumerate(holder[kind.name])]
    if not all(branches):
        return f"{where}: fits more than one of {_options(names)}; it must fit exactly one"

    chooser = holder.get("x-discriminator")
    if chooser and isinstance(found, dict):
        key = chooser["propertyName"]
        mapping = {
            word: reference.rsplit("/", 1)[-1]
            for word, reference in chooser.get("mapping", {}).items()
        } or {each: each for each in names}
        if key not in found:
            return f"{where}.{key}: is required; it is one of {_options(list(mapping))}"
        word = found[key]
        if not isinstance(word, str) or mapping.get(word) not in names:
            return f"{where}.{key}: {shown(word)} is not one of {_options(list(mapping))}"
        index = names.index(mapping[word])
        return f"{explain(branches[index], document, value, place)} (as {names[index]})"

    if (options := _shared_enum(branches)) is not None:
        path, words = options
        return f"{_join(place, path)}: {shown(_at(value, path))} is not one of {_options(words)}"
    index = min(range(len(branches)), key=lambda each: _distance(branches[each], error))
    return f"{explain(branches[index], document, value, place)} (as {names[index]})"


def _shared_enum(branches: list[list[ValidationError]]) -> tuple[Sequence[Any], list[Any]] | None:
    """The place and all words, when every branch turns the value away at one same enum."""
    words: list[Any] = []
    paths = []
    for errors in branches:
        enums = [error for error in errors if error.kind.name == "enum"]
        if len(enums) != 1:
            return None
        kind: Any = enums[0].kind
        words += kind.options
        paths.append(list(enums[0].instance_path))
    if any(path != paths[0] for path in paths):
        return None
    return paths[0], list(dict.fromkeys(words))


def _distance(errors: list[ValidationError], choice: ValidationError) -> tuple[bool, bool, int]:
    """How far a branch is from fitting: wrong type, wrong constant, number of errors."""
    top = len(choice.instance_path)
    return (
        any(e.kind.name == "type" and len(e.instance_path) == top for e in errors),
        any(e.kind.name == "enum" for e in errors),
        len(errors),
    )


def _branch_name(branch: Any, index: int) -> str:
    if "$ref" in branch:
        return str(branch["$ref"].rsplit("/", 1)[-1])
    return f"form {index + 1}"


def _options(options: Sequence[Any]) -> str:
    listed = [shown(each) for each in options[:_MOST_OPTIONS]]
    return "[" + ", ".join(listed) + (", …]" if len(options) > _MOST_OPTIONS else "]")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _join(place: str, path: Sequence[Any]) -> str:
    return "".join((place, *(f"[{p}]" if isinstance(p, int) else f".{_cut(p)}" for p in path)))


def _at(value: Any, path: Sequence[Any]) -> Any:
    for step in path:
        value = value[step]
    return value


def _walk(document: Any, path: Sequence[Any]) -> Any:
    # The validator tells the place of a keyword behind its references, never through them.
    for step in path:
        document = document[step]
    return document
