"""What the body of a handler tells by itself: the statuses and members it answers, what it reads.

Only what stands literally in the handler is judged; what it leaves to others the tests judge.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from contract import Contract, Operation, snake
from contract.names import argument_name
from contract.references import Json, resolved

Function = ast.AsyncFunctionDef


@lru_cache(128)
def functions(text: str) -> Mapping[str, Function]:
    """The coroutines at a module's top level; none of a text that is not Python."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return {}
    return {node.name: node for node in body if isinstance(node, ast.AsyncFunctionDef)}


def body_differences(contract: Contract, handlers: Mapping[str, str]) -> Iterator[str]:
    """Statuses, members and parameters in which handlers and contract differ, by file."""
    found = {
        name: (path, function)
        for path, text in handlers.items()
        for name, function in functions(text).items()
    }
    for operation in contract.operations:
        if (at := found.get(snake(operation.id))) is not None:
            path, function = at
            for complaint in _one(contract.spec, operation, function):
                yield f"{operation.id}: {path}: {function.name} {complaint}"


def _one(spec: Json, operation: Operation, function: Function) -> Iterator[str]:
    documented = {str(status) for status in operation.raw.get("responses", {})}
    told = _told(function)
    for status, members in told.answers:
        if str(status) not in documented:
            yield f"answers {status}, which the contract does not document; make them equal"
        elif known := _members(spec, _schema(spec, operation, str(status))):
            for name in members:
                if name not in known:
                    yield (
                        f"answers the member `{name}`, which {status} does not have; "
                        "add it to its schema, or remove it"
                    )
    yield from _unread(operation, function, told.names)
    if known := _members(spec, _request_schema(spec, operation)):
        if not {"body", "request"} & {each.arg for each in _arguments(function)}:
            yield "ignores the body; take `body`, or remove the requestBody from the contract"
        for name in told.read_of_body:
            if name not in known:
                yield (
                    f"reads the member `{name}`, which the request does not have; "
                    "add it to its schema, or remove it"
                )


@dataclass(frozen=True)
class _Told:
    """What a function's body tells, whatever the contract says."""

    answers: Sequence[tuple[int, list[str]]]
    """(status, members of a literal body) of every `return body, status`."""
    names: frozenset[str]
    read_of_body: Sequence[str]
    """Names under which members of `body` are read."""


@lru_cache(512)
def _told(function: Function) -> _Told:
    nodes = list(ast.walk(function))
    return _Told(
        list(_answers(nodes)),
        frozenset(node.id for node in nodes if isinstance(node, ast.Name)),
        list(_read_of_body(nodes)),
    )


def _answers(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, list[str]]]:
    for node in nodes:
        if not isinstance(node, ast.Return) or not isinstance(node.value, ast.Tuple):
            continue
        if len(node.value.elts) < 2:
            continue
        body, status = node.value.elts[:2]
        keys = body.keys if isinstance(body, ast.Dict) else []
        members = [
            key.value
            for key in keys
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        ]
        for number in _numbers(status):
            yield number, members


def _numbers(node: ast.expr) -> Iterator[int]:
    if isinstance(node, ast.IfExp):
        yield from _numbers(node.body)
        yield from _numbers(node.orelse)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield node.value


def _unread(operation: Operation, function: Function, read: frozenset[str]) -> Iterator[str]:
    given = {argument_name(each["name"]): each["in"] for each in operation.parameters}
    for each in _arguments(function):
        if each.arg in read or (each.arg != "body" and each.arg not in given):
            continue
        yield f"takes `{each.arg}` and never reads it; use it, or remove it from the contract"


def _arguments(function: Function) -> list[ast.arg]:
    return [*function.args.args, *function.args.kwonlyargs]


def _read_of_body(nodes: Sequence[ast.AST]) -> Iterator[str]:
    for node in nodes:
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _is_body(node.value):
            name = node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and _is_body(node.func.value)
            and node.args
        ):
            name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _is_body(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "body"


def _schema(spec: Json, operation: Operation, status: str) -> Sequence[Json]:
    response = resolved(spec, operation.raw["responses"][status])
    return [media.get("schema", {}) for media in response.get("content", {}).values()]


def _request_schema(spec: Json, operation: Operation) -> Sequence[Json]:
    body = resolved(spec, operation.raw.get("requestBody", {}))
    return [media.get("schema", {}) for media in body.get("content", {}).values()]


def _members(spec: Json, schemas: Sequence[Json]) -> set[str]:
    """Every member that any of the schemas names; none when one of them may have any."""
    found: set[str] = set()
    for schema in schemas:
        node = resolved(spec, schema)
        parts = [each for group in ("allOf", "anyOf", "oneOf") for each in node.get(group, ())]
        if not parts and not node.get("properties"):
            return set()
        found |= set(node.get("properties", {}))
        for part in parts:
            found |= _members(spec, [part])
    return found
