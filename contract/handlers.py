"""What a handler function asks for, read from its signature once, at start."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Handler = Callable[..., Awaitable[Any]]

BODY: Final = "body"
USER: Final = "user"
REQUEST_ARGUMENT: Final = "request"


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments of a handler: name -> whether Python has a default for it."""

    handler: Handler
    arguments: dict[str, bool]

    def wants(self, name: str) -> bool:
        """Whether the handler declares this argument."""
        return name in self.arguments

    def has_default(self, name: str) -> bool:
        """Whether the handler can be called without this argument."""
        return self.arguments[name]


def read_signature(handler: Handler) -> Signature:
    """Read the arguments; raises ValueError for a function that cannot be called by names."""
    if problems := list(_problems(handler)):
        raise ValueError("; ".join(problems))
    parameters = inspect.signature(handler).parameters
    return Signature(handler, {n: p.default is not p.empty for n, p in parameters.items()})


def _problems(handler: Any) -> Iterator[str]:
    if not callable(handler):
        yield "is not a function; write `async def`"
        return
    called = handler if inspect.isroutine(handler) else type(handler).__call__
    if not inspect.iscoroutinefunction(inspect.unwrap(called)):
        yield "is not a coroutine function; write `async def`"
    for name, parameter in inspect.signature(handler).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            yield f"takes *{name}; write its arguments out"
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"takes {name!r} by position only; let it be named"
