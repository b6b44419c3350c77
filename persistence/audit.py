"""What happened, written beside what was done.

An event enters `audit_pending` in the transaction of its effect; the sealer alone moves it into
the chain. The web may only insert here.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.principal import Principal
from persistence.tables import audit_pending


async def append(
    db: AsyncConnection,
    org_id: str | None,
    actor: Principal | None,
    event_type: str,
    entity: tuple[str, str] | None = None,
    payload: Mapping[str, Any] | None = None,
) -> None:
    """Add one event to the chain of an organization, or of the system when `org_id` is None.

    `entity` is (type, id). `actor` None means the server itself. No secret belongs in `payload`.
    """
    # The web may insert here and not read, so nothing is asked back (`inline`).
    await db.execute(
        insert(audit_pending)
        .inline()
        .values(
            org_id=org_id,
            event_type=event_type,
            actor_id=actor.id if actor else None,
            actor_type=actor.actor_type if actor else "system",
            entity_type=entity[0] if entity else None,
            entity_id=entity[1] if entity else None,
            payload=dict(payload or {}),
        )
    )
