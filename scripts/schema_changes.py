"""How one schema differs from an older one, and whether who relied on the older one notices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from contract.references import Json, resolved


class Way(Enum):
    """Which way a value travels: what narrows a request breaks it, what widens an answer does."""

    REQUEST = "request"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, in words; breaking when a client that fitted before may fit no longer."""

    text: str
    breaking: bool = False


_AT_MOST: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_AT_LEAST: Final = ("minimum", "minLength", "minItems", "minProperties")
_AS_IT_IS: Final = (
    "pattern", "format", "multipleOf", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum",
)  # fmt: skip
_CHOICES: Final = ("oneOf", "anyOf", "allOf")


@dataclass(frozen=True)
class Schemas:
    """The two contracts that the schemas belong to, and the way their values travel."""

    before: Json
    now: Json
    way: Way

    def changes(self, old: Json, new: Json, where: str) -> Iterator[Change]:
        """Every difference of two schemas, at `where` in a body."""
        yield from self._changes(old, new, where, frozenset())

    def _changes(
        self, old: Json, new: Json, where: str, above: frozenset[tuple[str, str]]
    ) -> Iterator[Change]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old or "$ref" in new:
            if pair in above:
                return
            above |= {pair}
        old, new = resolved(self.before, old), resolved(self.now, new)
        if old == new and self.before is self.now:
            return
        yield from self._type(old, new, where)
        yield from self._enum(old, new, where)
        yield from self._bounds(old, new, where)
        yield from self._members(old, new, where, above)
        yield from self._choices(old, new, where, above)
        if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
            yield from self._changes(old["items"], new["items"], f"{where}[]", above)

    def _narrower(self, text: str) -> Change:
        return Change(text, self.way is Way.REQUEST)

    def _wider(self, text: str) -> Change:
        return Change(text, self.way is Way.ANSWER)

    def _type(self, old: Json, new: Json, where: str) -> Iterator[Change]:
        before, now = old.get("type"), new.get("type")
        if before != now:
            text = f"{where}: type {_or_any(before)} became {_or_any(now)}"
            if (before, now) == ("integer", "number") or now is None:
                yield self._wider(text)
            elif (before, now) == ("number", "integer") or before is None:
                yield self._narrower(text)
            else:
                yield Change(text, breaking=True)
        if bool(old.get("nullable")) != bool(new.get("nullable")):
            if new.get("nullable"):
                yield self._wider(f"{where}: may be null now")
            else:
                yield self._narrower(f"{where}: may no longer be null")
        if old.get("default") != new.get("default"):
            yield Change(
                f"{where}: default {old.get('default')!r} became {new.get('default')!r}",
                self.way is Way.REQUEST and "default" in old,
            )

    def _enum(self, old: Json, new: Json, where: str) -> Iterator[Change]:
        before, now = old.get("enum"), new.get("enum")
        if before is None and now is None:
            return
        if before is None:
            yield self._narrower(f"{where}: only {_list(now or ())} from now on")
        elif now is None:
            yield self._wider(f"{where}: anything from now on, no longer {_list(before)}")
        else:
            if added := [each for each in now if each not in before]:
                yield self._wider(f"{where}: enum gained {_list(added)}")
            if gone := [each for each in before if each not in now]:
                yield self._narrower(f"{where}: enum lost {_list(gone)}")

    def _bounds(self, old: Json, new: Json, where: str) -> Iterator[Change]:
        for name in (*_AT_MOST, *_AT_LEAST):
            before, now = old.get(name), new.get(name)
            if before == now:
                continue
            text = f"{where}: {name} {_or_none(before)} became {_or_none(now)}"
            if before is None or now is None:
                narrower = before is None
            else:
                narrower = now < before if name in _AT_MOST else now > before
            yield self._narrower(text) if narrower else self._wider_bound(text)
        for name in _AS_IT_IS:
            before, now = old.get(name), new.get(name)
            if before != now:
                text = f"{where}: {name} {_or_none(before)} became {_or_none(now)}"
                yield self._narrower(text) if now is not None else self._wider_bound(text)

    def _wider_bound(self, text: str) -> Change:
        # An answer's bound tells how large it may get; a client is told, and nothing breaks.
        return Change(text)

    def _members(
        self, old: Json, new: Json, where: str, above: frozenset[tuple[str, str]]
    ) -> Iterator[Change]:
        before, now = old.get("properties", {}), new.get("properties", {})
        required_before, required = set(old.get("required", ())), set(new.get("required", ()))
        for name in before:
            if name not in now:
                yield Change(f"{where}.{name}: removed", breaking=True)
        for name in now:
            if name not in before:
                is_required = name in required
                yield Change(
                    f"{where}.{name}: added{', required' if is_required else ''}",
                    is_required and self.way is Way.REQUEST,
                )
                continue
            if name in required - required_before:
                yield self._narrower(f"{where}.{name}: required from now on")
            if name in required_before - required:
                yield self._wider(f"{where}.{name}: optional from now on")
            yield from self._changes(before[name], now[name], f"{where}.{name}", above)
        for name in sorted((required - required_before) - set(now)):
            yield self._narrower(f"{where}.{name}: required from now on")
        yield from self._others(old, new, where, above)

    def _others(
        self, old: Json, new: Json, where: str, above: frozenset[tuple[str, str]]
    ) -> Iterator[Change]:
        """Members that have no name in the schema."""
        before = old.get("additionalProperties", True)
        now = new.get("additionalProperties", True)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from self._changes(before, now, f"{where}.*", above)
        elif before != now:
            if now is False:
                yield self._narrower(f"{where}: closed to other members")
            else:
                yield Change(f"{where}: other members {'allowed' if now is True else 'changed'}")

    def _choices(
        self, old: Json, new: Json, where: str, above: frozenset[tuple[str, str]]
    ) -> Iterator[Change]:
        for group in _CHOICES:
            before, now = old.get(group, []), new.get(group, [])
            if not before and not now:
                continue
            if len(now) > len(before):
                text = f"{where}: {group} has {len(now)} parts and had {len(before)}"
                yield self._narrower(text) if group == "allOf" else self._wider(text)
            if len(now) < len(before):
                text = f"{where}: {group} has {len(now)} parts and had {len(before)}"
                yield self._wider(text) if group == "allOf" else self._narrower(text)
            for number, (one, other) in enumerate(zip(before, now, strict=False)):
                yield from self._changes(one, other, f"{where}.{group}[{number}]", above)


def _or_any(kind: Any) -> str:
    return str(kind or "any")


def _or_none(bound: Any) -> str:
    return "none" if bound is None else str(bound)


def _list(values: Any) -> str:
    return ", ".join(map(str, values))
