"""What happened, written beside what was done.

An event enters `audit_pending` in the transaction of its effect; the sealer alone moves it into
the chain. The web may only insert here.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.principal import Principal

_APPEND: Final = """
insert into audit_pending
  (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
values (%(org_id)s, %(event_type)s, %(actor_id)s, %(actor_type)s, %(entity_type)s, %(entity_id)s,
  %(payload)s::jsonb)
"""


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
    # Nearly every change comes by here, and the toolkit costs more than the statement.
    await db.exec_driver_sql(
        _APPEND,
        {
            "org_id": org_id,
            "event_type": event_type,
            "actor_id": actor.id if actor else None,
            "actor_type": actor.actor_type if actor else "system",
            "entity_type": entity[0] if entity else None,
            "entity_id": entity[1] if entity else None,
            "payload": json.dumps(dict(payload)) if payload else "{}",
        },
    )
