"""Which GitHub connections are due for a look at what their webhook failed to deliver."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import delivery_looks, webhook_deliveries

# A connection without a row gets one, which is due at once.
BEGIN: Final = text("""
insert into delivery_looks (org_id, connection_id)
select org_id, id from connections where provider = 'github'
on conflict do nothing
""")
TAKE: Final = text("""
with due as (
  select org_id, connection_id from delivery_looks
   where next_look_at <= now()
   order by next_look_at
   limit 1
     for update skip locked)
update delivery_looks l set next_look_at = now() + make_interval(secs => :pause)
  from due, connections c
 where (l.org_id, l.connection_id) = (due.org_id, due.connection_id)
   and (c.org_id, c.id) = (due.org_id, due.connection_id)
returning l.org_id, l.connection_id, l.looked_until, now() as now,
          c.version, c.app_id, c.installation_id, c.secret_encrypted
""")


async def take(db: AsyncConnection, pause_seconds: float) -> Row[Any] | None:
    """The connection that has waited longest for a look; no other process takes it meanwhile."""
    await db.execute(BEGIN)
    return (await db.execute(TAKE, {"pause": pause_seconds})).one_or_none()


async def ended(db: AsyncConnection, org_id: str, connection_id: str, until: datetime) -> None:
    """Note up to when everything has been fetched."""
    await db.execute(
        update(delivery_looks)
        .where(delivery_looks.c.org_id == org_id, delivery_looks.c.connection_id == connection_id)
        .values(looked_until=func.greatest(delivery_looks.c.looked_until, until))
    )


async def known(db: AsyncConnection, org_id: str, delivery_ids: list[str]) -> set[str]:
    """Which of these ids of GitHub's have come in, by the server's secret or the organization's."""
    found = await db.scalars(
        select(webhook_deliveries.c.value).where(
            webhook_deliveries.c.provider.in_(("github", "github-actions")),
            webhook_deliveries.c.verified_by.in_(("", org_id)),
            webhook_deliveries.c.kind == "id",
            webhook_deliveries.c.value.in_(delivery_ids),
        )
    )
    return set(found)
