"""Messages for agents at work: one inbox per session, in PostgreSQL, offered with polls.

Rules of decision 16: a message is offered again not before 30 s after its last offer and at most
five times; an offered urgent message does not hold back the normal lane.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import func, literal, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import inbox_messages

MOST_OFFERS: Final = 5
MOST_PER_SESSION: Final = 10
MOST_WAITING: Final = 1000
"""Of one session; each poll of its worker looks at all of them."""
ID: Final = re.compile(r"(\d{1,15})-(\d{1,9})")

URGENT: Final = frozenset({"stop", "directive"})

PUT: Final = """
insert into inbox_messages (org_id, session_id, ms, seq, lane, type, payload, user_id, user_name,
                            turn_id)
select :org, :session, greatest(clock.ms, last.ms),
       case when last.ms >= clock.ms then last.seq + 1 else 0 end,
       :lane, :type, :payload, :user_id, :user_name, :turn_id
  from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms) clock
  left join lateral (
    select m.ms, m.seq from inbox_messages m
     where m.org_id = :org and m.session_id = :session
     order by m.ms desc, m.seq desc limit 1) last on true
"""

OFFER: Final = f"""
with due as (
  select m.org_id, m.session_id, m.ms, m.seq, m.offered_at,
         row_number() over (
           partition by m.session_id order by m.lane = 'normal', m.ms, m.seq) as place
    from sessions s
    join inbox_messages m on m.org_id = s.org_id and m.session_id = s.id
   where s.org_id = %(org)s and s.slot_worker_id = %(worker)s and s.confirmed
     and not (s.id = any (%(fresh)s::text[]))
     and m.acknowledged_at is null and m.offers < {MOST_OFFERS}
     and (m.offered_at is null or m.offered_at < now() - interval '30 seconds')
     and (m.lane = 'urgent' or not exists (
       select 1 from inbox_messages u
        where u.org_id = m.org_id and u.session_id = m.session_id and u.lane = 'urgent'
          and u.acknowledged_at is null and u.offers = 0))
)
update inbox_messages m set offers = m.offers + 1, offered_at = now()
  from due
 where due.place <= {MOST_PER_SESSION}
   and m.org_id = due.org_id and m.session_id = due.session_id
   and m.ms = due.ms and m.seq = due.seq
   -- Of two polls at once one offers it.
   and m.offered_at is not distinct from due.offered_at
returning m.session_id, m.ms, m.seq, m.lane, m.type, m.payload, m.user_id, m.user_name, m.turn_id,
          m.created_at
"""


async def put(
    db: AsyncConnection,
    org_id: str,
    session_id: str,
    message_type: str,
    payload: str,
    author: tuple[str, str] | None = None,
    turn_id: str | None = None,
) -> None:
    """Add a message to a session whose row is held, so that its ids grow without a race.

    `stop` and `directive` go to the urgent lane. `author` is (id, name). `turn_id`
    is the turn of an interview that answers the message.
    """
    await db.execute(
        text(PUT),
        {
            "org": org_id,
            "session": session_id,
            "lane": "urgent" if message_type in URGENT else "normal",
            "type": message_type,
            "payload": payload,
            "user_id": author[0] if author else None,
            "user_name": author[1] if author else None,
            "turn_id": turn_id,
        },
    )


async def is_full(db: AsyncConnection, org_id: str, session_id: str) -> bool:
    """Whether so many messages wait for a session's agent that it takes no more."""
    waiting = (
        select(literal(1))
        .where(
            inbox_messages.c.org_id == org_id,
            inbox_messages.c.session_id == session_id,
            inbox_messages.c.acknowledged_at.is_(None),
            inbox_messages.c.offers < MOST_OFFERS,
        )
        .limit(MOST_WAITING)
        .subquery()
    )
    return int(await db.scalar(select(func.count()).select_from(waiting)) or 0) >= MOST_WAITING


async def offer(org_id: str, worker_id: str, fresh: Sequence[str]) -> Sequence[Any]:
    """The messages due for the sessions a worker holds, but for those it has just been given."""
    rows = await database.hot(OFFER, {"org": org_id, "worker": worker_id, "fresh": list(fresh)})
    return sorted(rows, key=lambda row: (row.lane == "normal", row.ms, row.seq))


async def withdraw_stops(db: AsyncConnection, org_id: str, session_id: str) -> None:
    """Offer no stop any more: the attempt that it was meant for is over."""
    await db.execute(
        update(inbox_messages)
        .where(
            inbox_messages.c.org_id == org_id,
            inbox_messages.c.session_id == session_id,
            inbox_messages.c.type == "stop",
            inbox_messages.c.acknowledged_at.is_(None),
        )
        .values(acknowledged_at=func.now())
    )


async def acknowledge(
    db: AsyncConnection, org_id: str, session_id: str, message_ids: Iterable[str]
) -> None:
    """Mark messages as arrived; unknown ids, and what is no id at all, change nothing."""
    found = [match for each in message_ids if (match := ID.fullmatch(each))]
    if not found:
        return
    await db.execute(
        update(inbox_messages)
        .where(
            inbox_messages.c.org_id == org_id,
            inbox_messages.c.session_id == session_id,
            tuple_(inbox_messages.c.ms, inbox_messages.c.seq).in_(
                [(int(match[1]), int(match[2])) for match in found]
            ),
            inbox_messages.c.acknowledged_at.is_(None),
        )
        .values(acknowledged_at=func.now())
    )
