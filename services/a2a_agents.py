"""The peers of an organization: finding out about them, and how they are shown."""

from typing import Any

import orjson

import settings
from domain.a2a_cards import TRUSTED
from domain.times import iso, iso_or_none
from outbound import a2a_cards
from outbound.guarded_client import GuardedClient
from persistence import database

MOST_ERROR_CHARACTERS = 500


async def look(url: str, known_at: str = "", etag: str = "") -> a2a_cards.Found:
    """Ask an agent for its card; raises `NoCard`."""
    allowed = settings.current().allowed_private_hosts
    async with GuardedClient(
        allowed, most_bytes=a2a_cards.MOST_CARD_BYTES, total_seconds=a2a_cards.CARD_SECONDS
    ) as client:
        return await a2a_cards.find(client, url, known_at, etag)


async def look_again(agent: Any) -> a2a_cards.Found | a2a_cards.NoCard:
    """Ask a registered agent for its card."""
    try:
        return await look(agent.url, agent.card_url, agent.etag or "")
    except a2a_cards.NoCard as none:
        return none


def fetched(agent: Any, found: a2a_cards.Found | a2a_cards.NoCard) -> tuple[dict[str, Any], bool]:
    """What is to be stored of an agent, whose row is held, after a look; and whether its card is
    another one than before."""
    if isinstance(found, a2a_cards.NoCard):
        return {"reachable": False, "last_error": str(found)[:MOST_ERROR_CHARACTERS]}, False
    columns = {"reachable": True, "last_error": None, "last_fetched_at": database.NOW}
    if found.card is None:
        return columns, False
    is_another = found.card != orjson.loads(agent.card)
    columns |= card_columns(found)
    if is_another and agent.trust_level in TRUSTED:
        columns["card_changed_at"] = database.NOW
    return columns, is_another


def card_columns(found: a2a_cards.Found) -> dict[str, Any]:
    """The columns that a found card fills."""
    return {
        "card": orjson.dumps(found.card).decode(),
        "card_url": found.url,
        "etag": found.etag,
    }


def shown(row: Any) -> dict[str, Any]:
    """The contract's A2AAgent of a stored row."""
    card = orjson.loads(row.card)
    return {
        "id": row.id,
        "orgId": row.org_id,
        "url": row.url,
        "trustLevel": row.trust_level,
        "card": {
            "name": card["name"],
            "url": card.get("url") or _first_interface(card),
            "version": card.get("version"),
            "description": card.get("description"),
            "skills": card.get("skills", []),
        },
        "lastFetchedAt": iso_or_none(row.last_fetched_at),
        "reachable": row.reachable,
        "lastError": row.last_error,
        "cardChangedAt": iso_or_none(row.card_changed_at),
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
    }


def _first_interface(card: dict[str, Any]) -> str | None:
    interfaces = card.get("supportedInterfaces") or [{}]
    url = interfaces[0].get("url")
    return str(url) if url else None
