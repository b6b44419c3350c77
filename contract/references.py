"""Local references of the contract: finding what a `$ref` means."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = Mapping[str, Any]

LOCAL: Final = "#/components/"

# The values under these keys are data, in which a "$ref" is only a word.
_DATA: Final = frozenset({"example", "examples", "default", "enum"})


def target(spec: Json, reference: str) -> Json:
    """The object that a local reference points at, one step.

    Raises LookupError with a message that ends with what to do.
    """
    if not reference.startswith(LOCAL):
        raise LookupError(f"$ref {reference!r} is not local; point it at {LOCAL}…")
    found: Any = spec
    alike: list[str] = []
    for part in reference[2:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping):
            break
        alike = [] if key in found else difflib.get_close_matches(key, map(str, found), 1)
        found = found.get(key)
    if isinstance(found, Mapping):
        return found
    meant = f" (there is {alike[0]})" if alike else ""
    raise LookupError(f"$ref {reference!r} points at no object; add it or correct the name{meant}")


def resolved(spec: Json, node: Json) -> Json:
    """The node, or what its chain of references ends at.

    Raises LookupError for a broken chain and for one that runs in a circle.
    """
    seen: set[str] = set()
    while isinstance(reference := node.get("$ref"), str):
        if reference in seen:
            raise LookupError(f"$ref {reference!r} leads back to itself; break the circle")
        seen.add(reference)
        node = target(spec, reference)
    return node


def problems(spec: Json) -> list[str]:
    """Every reference of the contract that does not lead to something, each told once."""
    found: dict[str, None] = {}
    for place, node in _references(spec, ""):
        try:
            resolved(spec, node)
        except LookupError as error:
            found[f"{place}: {error.args[0]}"] = None
    return list(found)


def _references(node: Any, place: str) -> Iterator[tuple[str, Json]]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield place, node
            return
        for key, value in node.items():
            if key == "discriminator" and isinstance(value, Mapping):
                for name, reference in value.get("mapping", {}).items():
                    if "/" in reference:
                        yield f"{place}/discriminator/mapping/{name}", {"$ref": reference}
            elif key not in _DATA or place.endswith("/properties"):
                yield from _references(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _references(value, f"{place}/{index}")
