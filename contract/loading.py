"""The contract file, read as data and checked for what would make it unsafe to serve."""

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from contract import references
from contract.errors import ContractError
from contract.references import Json

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
ANONYMOUS: Final = ""
"""Stands for the alternative `{}` among the security schemes of an operation."""

_TEMPLATE: Final = re.compile(r"\{([^{}/]+)\}")
_PARAMETER_PLACES: Final = ("path", "query", "header", "cookie")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the contract.

    `security` names the schemes of its alternatives in order: `()` is public, and "" is
    the anonymous alternative. `parameters` has the path's own merged in and references
    resolved; `raw` is the operation as it stands in the file.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    security: tuple[str, ...]
    raw: Json
    parameters: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """The parsed file and its operations, in the order of the file."""

    spec: dict[str, Any]
    operations: tuple[Operation, ...]


def load(path: Path) -> Contract:
    """Read the contract from a YAML file.

    The text never passes a template engine, so braces in descriptions survive. Raises
    `ContractError` that lists everything which would make the contract unsafe to serve.
    """
    here = Path.cwd()
    return loads(path.read_bytes(), str(path.relative_to(here) if here in path.parents else path))


def loads(text: str | bytes, name: str) -> Contract:
    """Read the contract from its text; `name` is what messages call it."""
    try:
        # The loader below derives from CSafeLoader, so it makes plain data only.
        spec = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ContractError([f"{_marked(name, error)}. Correct the YAML."]) from error
    if not isinstance(spec, dict):
        raise ContractError([f"{name}: not a mapping. Start it with `openapi: 3.0.3`."])
    return read(spec)


def _marked(name: str, error: yaml.YAMLError) -> str:
    """An error of the YAML as editors find it: file, line and column, then what is wrong."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{name}: {error}"
    mark = error.problem_mark
    told = f"{name}:{mark.line + 1}:{mark.column + 1}: {error.problem}"
    if error.context and error.context_mark:
        told += f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return told


def read(spec: dict[str, Any]) -> Contract:
    """Make a `Contract` of parsed data; raises `ContractError` as `load` does."""
    problems = list(_version_problems(spec))
    problems += references.problems(spec)
    if problems:
        # Without sound references nothing further can be told apart from their damage.
        raise ContractError(problems)
    operations: list[Operation] = []
    for path, item in spec["paths"].items():
        problems += _path_problems(path, item)
        for method in METHODS:
            if method in item:
                operation, found = _operation(spec, path, method)
                operations.append(operation)
                problems += found
    problems += _duplicates(operations)
    problems += _collisions(operations)
    if problems:
        raise ContractError(problems)
    return Contract(spec, tuple(operations))


class _Loader(yaml.CSafeLoader):
    """YAML as JSON would have it: names are strings, dates stay text, no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                # YAML lets the last one win, which would silently drop an operation.
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice; keep one", key_node.start_mark
                )
            seen.add(key)
        made = super().construct_mapping(node, deep=deep)
        return {str(key) if isinstance(key, int) else key: value for key, value in made.items()}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _version_problems(spec: Json) -> Iterator[str]:
    version = spec.get("openapi")
    if not isinstance(version, str) or not re.fullmatch(r"3\.0\.\d+", version):
        yield f"openapi: {version!r} cannot be served; write `openapi: 3.0.3`"
    if not isinstance(spec.get("paths"), Mapping):
        yield "paths: missing; add at least an empty mapping"


def _path_problems(path: str, item: Json) -> Iterator[str]:
    if "$ref" in item:
        yield f"{path}: a path by $ref cannot be served; write its operations in place"
    if not path.startswith("/"):
        yield f"{path}: must start with a slash; write /{path}"
    for segment in path.split("/"):
        if ("{" in segment or "}" in segment) and not _TEMPLATE.fullmatch(segment):
            yield f"{path}: segment {segment!r} mixes text and parameter; make it one or the other"


def _operation(spec: Json, path: str, method: str) -> tuple[Operation, list[str]]:
    item = spec["paths"][path]
    raw = item[method]
    place = f"{method.upper()} {path}"
    problems: list[str] = []
    operation_id = raw.get("operationId")
    if not isinstance(operation_id, str) or not operation_id:
        problems.append(f"{place}: has no operationId; give it one")
        operation_id = ""
    tags = raw.get("tags") or [""]
    parameters = _parameters(spec, item, raw)
    problems += _parameter_problems(place, path, parameters)
    security, found = _security(spec, raw)
    problems += [f"{place}: {each}" for each in found]
    return (
        Operation(
            id=operation_id,
            method=method.upper(),
            path=path,
            tag=str(tags[0]),
            summary=str(raw.get("summary", "")),
            security=security,
            raw=raw,
            parameters=parameters,
        ),
        problems,
    )


def _parameters(spec: Json, item: Json, raw: Json) -> tuple[Json, ...]:
    merged: dict[tuple[Any, Any], Json] = {}
    for node in (*item.get("parameters", ()), *raw.get("parameters", ())):
        parameter = references.resolved(spec, node)
        # The operation's own parameter replaces the path's of the same name and place.
        merged[parameter.get("in"), parameter.get("name")] = parameter
    return tuple(merged.values())


def _parameter_problems(place: str, path: str, parameters: tuple[Json, ...]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.get("in") not in _PARAMETER_PLACES or not parameter.get("name"):
            yield f"{place}: a parameter lacks `name` or a known `in`; add them"
    named = [p.get("name") for p in parameters if p.get("in") == "path"]
    template = _TEMPLATE.findall(path)
    for name in template:
        if name not in named:
            yield f"{place}: path parameter {name!r} is not declared; declare it"
        if template.count(name) > 1:
            yield f"{place}: path parameter {name!r} stands twice; rename one"
    for name in named:
        if name not in template:
            yield f"{place}: declares path parameter {name!r}, absent from the path; remove it"


def _security(spec: Json, raw: Json) -> tuple[tuple[str, ...], list[str]]:
    declared = raw.get("security", spec.get("security"))
    if declared is None:
        return (), ["has no security decision; add `security`, `[]` when it is public"]
    known = spec.get("components", {}).get("securitySchemes", {})
    alternatives: list[str] = []
    problems: list[str] = []
    for requirement in declared:
        if len(requirement) > 1:
            schemes = ", ".join(requirement)
            problems.append(f"asks for {schemes} at once; make them separate alternatives")
        for name in requirement or (ANONYMOUS,):
            if name != ANONYMOUS and name not in known:
                problems.append(f"names unknown security scheme {name!r}; add it to components")
            alternatives.append(name)
    return tuple(alternatives), problems


def _duplicates(operations: list[Operation]) -> Iterator[str]:
    first: dict[str, Operation] = {}
    for each in operations:
        other = first.setdefault(each.id, each)
        if other is not each and each.id:
            # The framework would apply the last one's security to both.
            yield (
                f"{each.method} {each.path}: operationId {each.id!r} belongs to "
                f"{other.method} {other.path}; rename one"
            )


def _collisions(operations: list[Operation]) -> Iterator[str]:
    first: dict[tuple[str, str], Operation] = {}
    for each in operations:
        other = first.setdefault((each.method, _TEMPLATE.sub("{}", each.path)), each)
        if other is not each:
            yield (
                f"{each.method} {each.path}: cannot be told from {other.method} {other.path}; "
                "change one path"
            )
