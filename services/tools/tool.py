"""A tool as its provider makes it, and the agent that calls it. Nothing here knows MCP."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import jsonschema_rs

from contract.complaints import explain
from domain.errors import Invalid, Refusal
from domain.principal import Principal

SECONDS: Final = 30.0
"""How long a tool may take, unless it says otherwise."""

Json = dict[str, Any]


class NotForThisSession(Refusal):
    """The tool exists, and this session or a policy does not allow it."""

    default = "The session may not use this tool"


@dataclass(frozen=True, slots=True)
class Agent:
    """Whose call it is: the session that was authenticated, never one that an argument names."""

    user: Principal
    org_id: str
    project_id: str
    session_id: str


Act = Callable[[Agent, Json], Awaitable[Json]]


@dataclass(frozen=True)
class Tool:
    """One tool. `act` gets arguments that fit `takes`, and returns what `gives` describes.

    A `Refusal` that `act` raises is told to the model in its own words. `changes` is False for a
    tool that only reads. `gives` None means that nothing is promised of the result. `judged` is
    what arguments are held against here, where that is less than `takes`.
    """

    name: str
    title: str
    description: str
    takes: Json
    gives: Json | None
    act: Act
    changes: bool = True
    seconds: float = SECONDS
    judged: Json | None = None

    @cached_property
    def _judged(self) -> Json:
        return self.takes if self.judged is None else self.judged

    @cached_property
    def _validator(self) -> Any:
        return jsonschema_rs.validator_for(self._judged, offline=True)

    def check(self, arguments: Json) -> None:
        """Raise `Invalid`, naming the place, for arguments that do not fit."""
        if not self._validator.is_valid(arguments):
            errors = self._validator.iter_errors(arguments)
            raise Invalid(explain(errors, self._judged, arguments, "arguments"))


class Provider(Protocol):
    """A source of tools. What a session may not see is neither offered nor found."""

    async def offered(self, agent: Agent) -> Sequence[Tool]:
        """The tools that the session's list shows, in a steady order."""

    async def find(self, agent: Agent, name: str) -> Tool | None:
        """The tool of this name, None for another provider's; raises `NotForThisSession`."""


class Always:
    """A provider of the same tools for every session."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tuple(tools)
        self._by_name = {tool.name: tool for tool in tools}

    async def offered(self, agent: Agent) -> Sequence[Tool]:
        """All of them."""
        return self._tools

    async def find(self, agent: Agent, name: str) -> Tool | None:
        """By name."""
        return self._by_name.get(name)


def takes(required: Sequence[str] = (), **properties: Json) -> Json:
    """The schema of arguments; members that it does not know are let pass and never read."""
    return {"type": "object", "properties": properties, "required": list(required)}


def gives(optional: Sequence[str] = (), **properties: Json) -> Json:
    """The schema of a result, all of whose members are there but for the optional ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
