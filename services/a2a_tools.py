"""The skills of trusted agents as tools of the organization's own agents (`contract/mcp.md` 4.3).

Knows no MCP: whoever serves tools asks `offered`, `find` and `call`.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs
import orjson

from domain.a2a_cards import TRUSTED, input_schema, slug
from domain.errors import Conflict, NotFound
from domain.principal import Principal
from persistence import a2a_agents, a2a_dispatches, database
from persistence.ephemeral import nudges
from services.a2a_dispatches import OPEN, TRANSPARENT, record

WAIT_SECONDS: Final = 25.0
"""How long a call waits for its agent; then it tells where the result will be."""

LOOK_SECONDS: Final = 0.25
# Looks at the schema alone. Compiling one can take for ever: a peer chooses its patterns.
_META: Final = jsonschema_rs.validator_for(
    {"$ref": "https://json-schema.org/draft/2020-12/schema"}, validate_formats=False, offline=True
)

SHORT_MESSAGES: Final = ("text", "message", "prompt", "input", "query")
"""Arguments that are the message itself when they are the only one."""


@dataclass(frozen=True, slots=True)
class PeerTool:
    """One skill of an agent, by the name that is shown and the one that older clients use."""

    name: str
    alias: str
    title: str
    description: str
    takes: dict[str, Any]
    agent_id: str
    skill_id: str


async def offered(org_id: str) -> list[PeerTool]:
    """The tools of an organization, those of the agent that was registered first at the front.

    Agents whose names make one slug share it, and the first registered has it. An agent whose card
    is another one than was trusted has no tools until somebody has looked at it.
    """
    async with database.statement() as db:
        agents = await a2a_agents.list_all(db, org_id)
    tools: dict[str, PeerTool] = {}
    owners: dict[str, str] = {}
    for agent in agents:
        if agent.trust_level not in TRUSTED:
            continue
        card = orjson.loads(agent.card)
        name = slug(card["name"])
        if not name or owners.setdefault(name, agent.id) != agent.id or agent.card_changed_at:
            continue
        for skill in card.get("skills", []):
            tool = _tool(agent.id, name, skill, card["name"])
            tools.setdefault(tool.name, tool)
    return list(tools.values())


async def find(org_id: str, name: str) -> PeerTool | None:
    """The tool of a name or an alias."""
    tools = await offered(org_id)
    by_name = next((tool for tool in tools if tool.name == name), None)
    return by_name or next((tool for tool in tools if tool.alias == name), None)


async def call(
    tool: PeerTool,
    org_id: str,
    arguments: dict[str, Any],
    *,
    actor: Principal | None,
    session_id: str | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> dict[str, Any]:
    """Send the arguments to the tool's agent and wait a while for what it says.

    Answers with `dispatchId`, `status`, and the `text` and `artifacts` there are. Raises `Conflict`
    when the agent failed or rejected it, or is trusted no more.
    """
    async with database.transaction() as db:
        agent = await a2a_agents.get(db, org_id, tool.agent_id)
        if agent.trust_level not in TRUSTED or agent.card_changed_at is not None:
            raise NotFound("The agent is not trusted any more")
        dispatch = await record(
            db,
            agent,
            TRANSPARENT,
            _message(arguments),
            actor=actor,
            data=arguments or None,
            skill_id=tool.skill_id,
            session_id=session_id,
        )
    await nudges.try_nudge(nudges.DISPATCHES)
    until = time.monotonic() + wait_seconds
    while dispatch.status in OPEN and time.monotonic() < until:
        await asyncio.sleep(LOOK_SECONDS)
        async with database.statement() as db:
            dispatch = await a2a_dispatches.get(db, org_id, dispatch.id)
    if dispatch.status in {"failed", "canceled"}:
        raise Conflict(f"The agent did not do it: {dispatch.error or dispatch.status}")
    return {
        "dispatchId": dispatch.id,
        "status": dispatch.status,
        "text": dispatch.output_text or "",
        "artifacts": orjson.loads(dispatch.artifacts or "[]"),
    }


def _tool(agent_id: str, agent_slug: str, skill: dict[str, Any], agent_name: str) -> PeerTool:
    def said(member: str) -> str:
        value = skill.get(member)
        return value if isinstance(value, str) else ""

    return PeerTool(
        name=f"{agent_slug}.{skill['id']}",
        alias=f"a2a_{agent_slug}_{skill['id']}",
        title=said("name") or skill["id"],
        description=said("description") or f"{said('name') or skill['id']}, done by {agent_name}",
        takes=_takes(skill),
        agent_id=agent_id,
        skill_id=skill["id"],
    )


def _takes(skill: dict[str, Any]) -> dict[str, Any]:
    """The skill's schema; an open one for what is no schema, which would break every call."""
    schema = input_schema(skill)
    return schema if _META.is_valid(schema) else input_schema({})


def _message(arguments: dict[str, Any]) -> str:
    """The arguments as a text, for agents that read no data."""
    if len(arguments) == 1:
        ((name, value),) = arguments.items()
        if name in SHORT_MESSAGES and isinstance(value, str):
            return value
    return orjson.dumps(arguments).decode()
