"""The agents of others that an organization knows, and what it tells others of itself."""

from typing import Any

import orjson

import settings
from domain.a2a_cards import ORG_SKILLS, PLATFORM_SKILLS, normalised, own_card
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id
from domain.principal import Principal
from domain.version import VERSION
from handlers.replies import Reply
from outbound.a2a_cards import NoCard
from outbound.guarded_client import Refused, check
from persistence import a2a_agents, audit, database, organizations
from services.a2a_agents import card_columns, fetched, look, look_again, shown
from services.a2a_secrets import seal, token_context

OPEN = {"Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}
DEFAULT_TRUST = "external"


async def get_agent_card(org: str | None) -> Reply:
    """Tell what this server, or an organization that publishes a card, offers to other agents."""
    address = settings.current().own_address
    if org is None:
        card = own_card(
            address, "Rensei", "The control plane of a fleet of coding agents.", VERSION,
            PLATFORM_SKILLS,
        )  # fmt: skip
        return card, 200, OPEN
    async with database.statement() as db:
        found = await organizations.find_published(db, org)
    if found is None:
        raise NotFound("Organization not found")
    return (
        own_card(address, found.name, f"Agents of {found.name}", VERSION, ORG_SKILLS),
        200,
        OPEN,
    )


async def list_a2a_agents(user: Principal) -> Reply:
    """List the organization's agents."""
    async with database.statement() as db:
        rows = await a2a_agents.list_all(db, str(user.org_id))
    return {"agents": [shown(row) for row in rows]}, 200


async def register_a2a_agent(body: dict[str, Any], user: Principal) -> Reply:
    """Fetch an agent's card and remember both; a URL that is known is fetched again."""
    org_id = str(user.org_id)
    try:
        url = normalised(body["url"])
        check(url, settings.current().allowed_private_hosts)
    except (ValueError, Refused) as error:
        raise Invalid(f"body.url: {error}") from None
    async with database.statement() as db:
        known = await a2a_agents.find_by_url(db, org_id, url)
    if known is not None:
        try:
            return await _fetch_again(user, known.id, body)
        except NotFound:
            raise Conflict("The agent was removed meanwhile; register it again") from None
    try:
        found = await look(url)
    except NoCard as error:
        raise Invalid(f"body.url: {error}") from None
    agent_id = new_id("a2a")
    token = body.get("token")
    async with database.transaction() as db:
        made = await a2a_agents.create(
            db,
            {
                "id": agent_id,
                "org_id": org_id,
                "url": url,
                "trust_level": body.get("trustLevel", DEFAULT_TRUST),
                "token_encrypted": _sealed(org_id, agent_id, token),
                **card_columns(found),
            },
        )
        await audit.append(
            db,
            org_id,
            user,
            "a2a.agent_registered",
            ("a2a_agent", agent_id),
            {"url": url, "trustLevel": made.trust_level},
        )
    return {"agent": shown(made)}, 201


async def get_a2a_agent(id_: str, user: Principal) -> Reply:
    """Read one agent."""
    async with database.statement() as db:
        found = await a2a_agents.get(db, str(user.org_id), id_)
    return {"agent": shown(found)}, 200


async def update_a2a_agent(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Set how far an agent is trusted, as its card is now."""
    org_id = str(user.org_id)
    columns = _trusting(org_id, id_, body)
    async with database.transaction() as db:
        before = await a2a_agents.get(db, org_id, id_, hold=True)
        changed = await a2a_agents.change(db, org_id, id_, columns)
        await audit.append(
            db,
            org_id,
            user,
            "a2a.agent_changed",
            ("a2a_agent", id_),
            {
                "trustLevel": changed.trust_level,
                "previousTrustLevel": before.trust_level,
                **({"token": True} if "token" in body else {}),
            },
        )
    return {"agent": shown(changed)}, 200


async def delete_a2a_agent(id_: str, user: Principal) -> Reply:
    """Forget an agent; what was dispatched to it stays on record."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        gone = await a2a_agents.get(db, org_id, id_, hold=True)
        await a2a_agents.remove(db, org_id, id_)
        await audit.append(
            db, org_id, user, "a2a.agent_deleted", ("a2a_agent", id_), {"url": gone.url}
        )
    return {"deleted": True, "id": id_}, 200


async def refetch_a2a_agent(id_: str, user: Principal) -> Reply:
    """Ask an agent for its card anew."""
    return await _fetch_again(user, id_, {})


async def _fetch_again(user: Principal, agent_id: str, body: dict[str, Any]) -> Reply:
    org_id = str(user.org_id)
    async with database.statement() as db:
        known = await a2a_agents.get(db, org_id, agent_id)
    found = await look_again(known)
    async with database.transaction() as db:
        known = await a2a_agents.get(db, org_id, agent_id, hold=True)
        columns, is_another = fetched(known, found)
        if body.get("trustLevel") not in {None, known.trust_level} or "token" in body:
            columns |= _trusting(org_id, agent_id, body)
        now = await a2a_agents.change(db, org_id, agent_id, columns)
        if is_another or now.reachable != known.reachable or now.trust_level != known.trust_level:
            await audit.append(
                db,
                org_id,
                user,
                "a2a.agent_fetched",
                ("a2a_agent", agent_id),
                {
                    "reachable": now.reachable,
                    "cardChanged": is_another,
                    "version": str(orjson.loads(now.card).get("version"))[:100],
                    "trustLevel": now.trust_level,
                },
            )
    return {"agent": shown(now)}, 200


def _trusting(org_id: str, agent_id: str, body: dict[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if "trustLevel" in body:
        columns |= {"trust_level": body["trustLevel"], "card_changed_at": None}
    if "token" in body:
        token = body["token"]
        columns["token_encrypted"] = _sealed(org_id, agent_id, token)
    return columns


def _sealed(org_id: str, agent_id: str, token: str | None) -> bytes | None:
    return seal(token, token_context(org_id, agent_id)) if token else None
