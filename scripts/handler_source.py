"""The handlers as their source tells them, read without running a line of it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Handler:
    """A public coroutine of a module in `handlers/`, and the names of its arguments."""

    name: str
    module: str
    arguments: tuple[str, ...]


class Unreadable(ValueError):
    """A module that is not Python; the message says where and what to do."""


def read_folder(folder: Path) -> list[Handler]:
    """Every handler of the modules in the folder; raises `Unreadable`."""
    return [
        handler
        for path in sorted(folder.glob("*.py"))
        for handler in read_module(path.stem, path.read_text(encoding="utf-8"))
    ]


def read_module(module: str, source: str) -> Iterator[Handler]:
    """The handlers of one module: its coroutines at module level without a leading underscore."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        place = f"handlers/{module}.py:{error.lineno}"
        raise Unreadable(f"{place}: {error.msg}; correct the syntax") from error
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield Handler(node.name, module, tuple(_arguments(node.args)))


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        yield each.arg
    for rest, stars in ((arguments.vararg, "*"), (arguments.kwarg, "**")):
        if rest is not None:
            yield stars + rest.arg
