"""The skills of agents elsewhere, as tools of ours (`contract/mcp.md` 4.3)."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from services import a2a_tools
from services.a2a_tools import PeerTool
from services.tools.tool import Agent, Json, Tool, gives

GIVES: Final = gives(
    dispatchId={"type": "string", "description": "By which the dispatch can be looked up."},
    status={"type": "string", "description": "Where it stands; the work may go on after the call."},
    text={"type": "string", "description": "What the agent said."},
    artifacts={"type": "array", "items": {"type": "object"}, "description": "What it made."},
)


class Peers:
    """The tools of the organization's trusted agents, as they are at the moment of the question."""

    async def offered(self, agent: Agent) -> Sequence[Tool]:
        """By their contract's names; older clients find them by alias too."""
        return [_tool(each) for each in await a2a_tools.offered(agent.org_id)]

    async def find(self, agent: Agent, name: str) -> Tool | None:
        """By name or alias."""
        found = await a2a_tools.find(agent.org_id, name)
        return None if found is None else _tool(found)


def _tool(peer: PeerTool) -> Tool:
    return Tool(
        name=peer.name,
        title=peer.title,
        description=peer.description,
        takes=peer.takes,
        judged=_judged(peer.takes),
        gives=GIVES,
        act=partial(_act, peer),
    )


def _judged(schema: Json) -> Json:
    """As much of a peer's schema as is held against arguments here: which there must be, and of
    which types. A few lines of schema can take for ever to check; the peer judges the rest."""
    properties = schema.get("properties", {})
    types = {
        name: {"type": each["type"]}
        for name, each in properties.items()
        if isinstance(each, dict) and "type" in each
    }
    return {"type": "object", "properties": types, "required": schema.get("required", [])}


async def _act(peer: PeerTool, agent: Agent, arguments: Json) -> Json:
    return await a2a_tools.call(
        peer, agent.org_id, arguments, actor=agent.user, session_id=agent.session_id
    )


PROVIDER: Final = Peers()
