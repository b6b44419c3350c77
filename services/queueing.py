"""What people and programs put into a project's queue, whatever kind of work it is."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.principal import Principal
from persistence import database
from persistence.ephemeral import nudges
from services.once import Answer, once
from services.tenancy import one_project, require_named_org


async def put_once(
    user: Principal,
    operation_id: str,
    body: dict[str, Any],
    idempotency_key: str | None,
    org: str | None,
    project: str | None,
    put: Callable[[AsyncConnection, str], Awaitable[Answer]],
) -> Answer:
    """Find the project that a request is about, put the work there once per key, ring for workers.

    `put` gets the project's id; `org` and `project` are what the headers chose.
    """
    async with database.transaction() as db:
        await require_named_org(db, user, org)
        project_id = await one_project(db, user, body.get("projectId") or project)
        answer = await once(
            db, user, operation_id, idempotency_key, [project_id, body], lambda: put(db, project_id)
        )
    await nudges.try_nudge(nudges.work(str(user.org_id), project_id))
    return answer
