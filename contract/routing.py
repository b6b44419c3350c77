"""Routing by a trie of path segments: literal segments win, whatever the order in the file."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import Malformed, MethodNotAllowed, NoSuchPath
from contract.framework import ROUTING_CONTEXT, SpecMiddleware
from contract.loading import Operation
from contract.plans import Plan
from contract.request import REQUEST, Request

_NO_PARAMETERS: Final[Mapping[str, str]] = {}


class Endpoint:
    """One path of the contract: its parameter names and plans by method."""

    __slots__ = ("allow", "by_method")

    def __init__(self) -> None:
        self.by_method: dict[str, tuple[Plan, tuple[str, ...]]] = {}
        self.allow: tuple[str, ...] = ()

    def add(self, plan: Plan, names: tuple[str, ...]) -> None:
        """Serve one more method here."""
        self.by_method[plan.operation.method] = (plan, names)
        self.allow = tuple(sorted(self.by_method))


class _Node:
    __slots__ = ("endpoint", "literals", "template")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.template: _Node | None = None
        self.endpoint: Endpoint | None = None


class Trie:
    """All paths of a contract. Literal paths are also kept whole, for one look-up."""

    def __init__(self) -> None:
        self._root = _Node()
        self._whole: dict[str, Endpoint] = {}

    def add(self, path: str, plan: Plan) -> None:
        """Add one operation under its path."""
        node = self._root
        names: list[str] = []
        for segment in path[1:].split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.template = node.template or _Node()
                node = node.template
            else:
                node = node.literals.setdefault(segment, _Node())
        node.endpoint = node.endpoint or Endpoint()
        node.endpoint.add(plan, tuple(names))
        if not names:
            self._whole[path] = node.endpoint

    def find(self, path: str) -> tuple[Endpoint, list[str]] | None:
        """The endpoint of a path that needs no decoding, and its parameters' values."""
        if endpoint := self._whole.get(path):
            return endpoint, []
        return self.find_segments(path.lstrip("/").split("/"))

    def find_segments(self, segments: list[str]) -> tuple[Endpoint, list[str]] | None:
        """The endpoint of decoded segments, and its parameters' values."""
        values: list[str] = []
        node = _descend(self._root, segments, 0, values)
        return None if node is None else (node, values)


def _descend(node: _Node, segments: list[str], at: int, values: list[str]) -> Endpoint | None:
    if at == len(segments):
        return node.endpoint
    segment = segments[at]
    literal = node.literals.get(segment)
    if literal is not None and (found := _descend(literal, segments, at + 1, values)):
        return found
    # A literal that leads nowhere must not hide a parameter that leads somewhere.
    if node.template is not None and segment:
        values.append(segment)
        if found := _descend(node.template, segments, at + 1, values):
            return found
        values.pop()
    return None


class Routing(SpecMiddleware):  # type: ignore[misc]
    """Finds the operation of a request and leaves it in the scope, as Connexion's own does."""

    def __init__(self, next_app: ASGIApp) -> None:
        self._next = next_app
        self._trie = Trie()
        self._contexts: dict[str, dict[str, str]] = {}

    def add_api(
        self, specification: Any, *, base_path: str | None, plans: Mapping[str, Plan], **_: Any
    ) -> None:
        """Take in the operations of the contract, below the base path of its first server."""
        base_path = specification.base_path if base_path is None else base_path
        for plan in plans.values():
            operation: Operation = plan.operation
            self._trie.add(base_path + operation.path, plan)
            self._contexts[operation.id] = {
                "api_base_path": base_path,
                "operation_id": operation.id,
            }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route; raises `NoSuchPath`, `MethodNotAllowed`, or `Malformed` for bad escapes."""
        found = self._find(scope)
        if found is None:
            raise NoSuchPath
        endpoint, values = found
        served = endpoint.by_method.get(scope["method"])
        if served is None:
            raise MethodNotAllowed(endpoint.allow)
        plan, names = served
        operation = plan.operation
        request: Request = scope[REQUEST]
        request.operation = operation
        request.limit = plan.limit
        request.path_params = dict(zip(names, values, strict=True)) if names else _NO_PARAMETERS
        scope["path_params"] = request.path_params
        context = self._contexts[operation.id]
        extensions = scope.get("extensions")
        scope["extensions"] = (
            {**extensions, ROUTING_CONTEXT: context} if extensions else {ROUTING_CONTEXT: context}
        )
        await self._next(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[Endpoint, list[str]] | None:
        raw: bytes | None = scope.get("raw_path")
        root: str = scope.get("root_path", "")
        if raw is None or b"%" not in raw:
            path: str = scope["path"]
            return self._trie.find(path.removeprefix(root) if root else path)
        # The server has decoded `path` already, and with it the slashes inside segments.
        written = raw.decode("latin-1")
        written = written.removeprefix(root) if root else written
        try:
            segments = [unquote(s, errors="strict") for s in written.lstrip("/").split("/")]
        except UnicodeDecodeError:
            raise Malformed("path: is not valid UTF-8") from None
        return self._trie.find_segments(segments)
