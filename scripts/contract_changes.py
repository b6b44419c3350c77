"""How one contract differs from an older one, operation by operation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract import Contract, Operation
from contract.references import Json, resolved
from scripts.permissions import told_scope
from scripts.schema_changes import Change, Schemas, Way


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of one operation: `changes` is empty when it was added or removed whole."""

    operation: str
    what: str  # added, removed, changed
    request: str
    changes: tuple[Change, ...] = ()

    @property
    def breaking(self) -> bool:
        """Whether a client of the older contract may fail."""
        return self.what == "removed" or any(each.breaking for each in self.changes)


def changes(before: Contract, now: Contract) -> list[Changed]:
    """Every operation that is not as it was, in the order of the newer contract."""
    old = {each.id: each for each in before.operations}
    new = {each.id: each for each in now.operations}
    found = [
        Changed(each.id, "removed", f"{each.method} {each.path}")
        for each in before.operations
        if each.id not in new
    ]
    for operation in now.operations:
        request = f"{operation.method} {operation.path}"
        if operation.id not in old:
            found.append(Changed(operation.id, "added", request))
            continue
        told = tuple(dict.fromkeys(_operation(before, old[operation.id], now, operation)))
        if told:
            found.append(Changed(operation.id, "changed", request, told))
    return found


def _operation(before: Contract, old: Operation, now: Contract, new: Operation) -> Iterator[Change]:
    if (old.method, old.path) != (new.method, new.path):
        yield Change(
            f"{old.method} {old.path} became {new.method} {new.path}",
            breaking=old.method != new.method or _shape(old.path) != _shape(new.path),
        )
    yield from _security(old, new)
    sent = Schemas(before.spec, now.spec, Way.REQUEST)
    yield from _parameters(old, new, sent)
    yield from _request(old, new, sent)
    yield from _responses(old, new, Schemas(before.spec, now.spec, Way.ANSWER))


def _shape(path: str) -> list[str]:
    return ["{}" if each.startswith("{") else each for each in path.split("/")]


def _security(old: Operation, new: Operation) -> Iterator[Change]:
    was_public, is_public = not old.security, not new.security
    if was_public != is_public:
        word = "public from now on" if is_public else "asks for a credential from now on"
        yield Change(f"security: {word}", breaking=was_public)
    else:
        for name in old.security:
            if name not in new.security:
                yield Change(f"security: {name or 'anonymous'} is no longer taken", breaking=True)
        for name in new.security:
            if name not in old.security:
                yield Change(f"security: {name or 'anonymous'} is taken too")
    before, now = told_scope(old), told_scope(new)
    if before != now:
        yield Change(f"scope: {before or 'none'} became {now or 'none'}", breaking=True)


def _parameters(old: Operation, new: Operation, schemas: Schemas) -> Iterator[Change]:
    before, now = _by_place(old), _by_place(new)
    for place, parameter in before.items():
        where = f"{place[0]} parameter {place[1]}"
        other = now.get(place)
        if other is None:
            yield Change(f"{where}: removed", breaking=place[0] != "path")
            continue
        if bool(parameter.get("required")) != bool(other.get("required")):
            required = bool(other.get("required"))
            yield Change(
                f"{where}: {'required' if required else 'optional'} from now on", breaking=required
            )
        yield from schemas.changes(parameter.get("schema", {}), other.get("schema", {}), where)
    for place, parameter in now.items():
        if place not in before:
            required = bool(parameter.get("required"))
            yield Change(
                f"{place[0]} parameter {place[1]}: added{', required' if required else ''}",
                breaking=required and place[0] != "path",
            )


def _by_place(operation: Operation) -> Mapping[tuple[str, str], Json]:
    return {(each["in"], each["name"]): each for each in operation.parameters}


def _request(old: Operation, new: Operation, schemas: Schemas) -> Iterator[Change]:
    before = resolved(schemas.before, old.raw.get("requestBody", {}))
    now = resolved(schemas.now, new.raw.get("requestBody", {}))
    if not before and not now:
        return
    if not before or not now:
        required = bool(now.get("required"))
        yield Change(
            "request body: added" + (", required" if required else "")
            if now
            else "request body: removed",
            breaking=required or not now,
        )
        return
    if bool(before.get("required")) != bool(now.get("required")):
        required = bool(now.get("required"))
        yield Change(
            f"request body: {'required' if required else 'optional'} from now on", breaking=required
        )
    yield from _content(before, now, "request body", schemas)


def _content(before: Json, now: Json, where: str, schemas: Schemas) -> Iterator[Change]:
    old, new = before.get("content", {}), now.get("content", {})
    for kind, media in old.items():
        if kind not in new:
            yield Change(f"{where}: no longer {kind}", breaking=True)
            continue
        yield from schemas.changes(media.get("schema", {}), new[kind].get("schema", {}), where)
    for kind in new:
        if kind not in old:
            yield Change(f"{where}: {kind} too")


def _responses(old: Operation, new: Operation, schemas: Schemas) -> Iterator[Change]:
    before, now = _by_status(old), _by_status(new)
    for status, response in before.items():
        where = f"{status} answer"
        if status not in now:
            yield Change(f"{where}: removed", breaking=status.startswith(("2", "3")))
            continue
        one, other = resolved(schemas.before, response), resolved(schemas.now, now[status])
        yield from _headers(one, other, where, schemas)
        yield from _content(one, other, where, schemas)
    for status in now:
        if status not in before:
            yield Change(f"{status} answer: added")


def _by_status(operation: Operation) -> Mapping[str, Any]:
    return {str(status): each for status, each in operation.raw.get("responses", {}).items()}


def _headers(before: Json, now: Json, where: str, schemas: Schemas) -> Iterator[Change]:
    old, new = before.get("headers", {}), now.get("headers", {})
    for name, header in old.items():
        if name not in new:
            yield Change(f"{where}: header {name} removed", breaking=True)
            continue
        one, other = resolved(schemas.before, header), resolved(schemas.now, new[name])
        if one.get("required") and not other.get("required"):
            yield Change(f"{where}: header {name} optional from now on", breaking=True)
        yield from schemas.changes(
            one.get("schema", {}), other.get("schema", {}), f"{where} header {name}"
        )
    for name in new:
        if name not in old:
            yield Change(f"{where}: header {name} added")
