"""Whose a verified event is."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.webhook_signatures import claimed_repository, claimed_workspaces
from persistence import workspaces


@dataclass(frozen=True, slots=True)
class Owner:
    """The organization and the project that an event belongs to."""

    org_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class Nobody:
    """Why an event belongs to nobody."""

    reason: str


async def owner_of(
    db: AsyncConnection, provider: str, body: bytes, verified_by: str
) -> Owner | Nobody:
    """Whose event it is, by the secret that verified it (empty: the server's) and what it names.

    A mapping of the repository itself decides first; then the one project whose settings name the
    repository; then a wider mapping. Settings are believed of an organization that the secret or a
    mapping speaks for, or to which GitHub itself has opened the repository: anybody can name one.
    """
    claimed = claimed_workspaces(provider, body)
    mapping = await workspaces.owner(db, provider, claimed, verified_by)
    place = claimed_repository(provider, claimed)
    if place is None or (mapping is not None and "/" in mapping.workspace_id):
        return _found([mapping] if mapping is not None else [])
    speaks_for = mapping.org_id if mapping is not None else verified_by
    if speaks_for:
        named = await workspaces.projects_in(db, speaks_for, place)
    else:
        named = await workspaces.projects_that_open(db, provider, place)
    if mapping is not None and len(named) != 1:
        named = [mapping]
    return _found(named)


def _found(owners: list[Row[Any]]) -> Owner | Nobody:
    if len(owners) > 1:
        return Nobody("several projects name its repository, and no mapping says which it is")
    if not owners:
        return Nobody("its workspace is mapped to nobody")
    return Owner(owners[0].org_id, owners[0].project_id)
