"""What the tracker is to be told: written beside what happened, sent afterwards, in order.

Rows of one session, and those of one issue beside them, go out one after the other, oldest first;
such lines do not wait for each other. Whoever adds a row holds the session's row, or the issue's
turn, so that the order of the ids is the order of what happened.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, case, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import database
from persistence.tables import outbox, sessions

MOST_ERROR_CHARACTERS: Final = 500
# Spelled out in each statement, as the indexes have it.
OPEN: Final[tuple[ColumnElement[str], ...]] = (
    literal_column("'waiting'"),
    literal_column("'sending'"),
)


MOST_PRUNED: Final = 1000

# When a row was last tried says when it was settled, near enough. Nobody looks at those again.
PRUNE: Final = f"""
with old as (
  select o.id
    from (values ('sent', %(sent)s::float8), ('dead', %(trouble)s)) as kept (status, seconds)
   cross join lateral (
     select id from outbox
      where status = kept.status and status in ('sent', 'dead')
        and next_try_at < now() - make_interval(secs => kept.seconds)
      order by next_try_at
      limit {MOST_PRUNED}
        for update skip locked) o
), gone as (
  delete from outbox where id = any (array(select id from old)) returning 1
)
select count(*) as count from gone
"""


async def add(
    db: AsyncConnection, org_id: str, session_id: str, kind: str, payload: Mapping[str, Any]
) -> None:
    """Put something in line behind what the session has said before."""
    await db.execute(
        insert(outbox)
        .values(org_id=org_id, session_id=session_id, kind=kind, payload=dict(payload))
        .inline()  # the web may not read what it adds, its number included
    )


async def add_of_issue(
    db: AsyncConnection,
    org_id: str,
    project_id: str,
    issue_id: str,
    kind: str,
    payload: Mapping[str, Any],
) -> None:
    """Put something in line behind what was done to the issue before."""
    await db.execute(
        insert(outbox)
        .values(
            org_id=org_id,
            project_id=project_id,
            issue_id=issue_id,
            kind=kind,
            payload=dict(payload),
        )
        .inline()
    )


async def next_due(db: AsyncConnection, sending_seconds: float) -> Row[Any] | None:
    """Take the row that has been due for longest, for so many seconds; None when none is due.

    Only the oldest open row of a line can be due. It is `sending` until its sender says what
    came of it; when the time is over without a word, the sender is gone and the row is due again.
    Two processes at once never take one row. The row carries its project, and what its session is
    bound to.
    """
    earlier = outbox.alias("earlier")
    # As a scalar it is looked up row by row along the index of due rows, of which the first will
    # do; an anti-join would read the whole backlog.
    first = (
        select(func.min(earlier.c.id))
        .where(
            earlier.c.org_id == outbox.c.org_id,
            earlier.c.line == outbox.c.line,
            earlier.c.status.in_(OPEN),
        )
        .scalar_subquery()
    )
    due = (
        select(outbox.c.id)
        .where(outbox.c.status.in_(OPEN), outbox.c.next_try_at <= func.now(), outbox.c.id == first)
        .order_by(outbox.c.next_try_at, outbox.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    of_session = and_(sessions.c.org_id == outbox.c.org_id, sessions.c.id == outbox.c.session_id)
    bound_to = select(sessions.c.provider_session_id).where(of_session).scalar_subquery()
    project = select(sessions.c.project_id).where(of_session).scalar_subquery()
    return (
        await db.execute(
            update(outbox)
            .where(outbox.c.id == due.c.id)
            .values(
                status="sending",
                attempts=outbox.c.attempts + 1,
                next_try_at=func.now() + _seconds(sending_seconds),
            )
            .returning(
                *(column for column in outbox.c if column.key != "project_id"),
                bound_to.label("provider_session_id"),
                func.coalesce(outbox.c.project_id, project).label("project_id"),
            )
        )
    ).one_or_none()


async def settle(db: AsyncConnection, row_id: int, status: str, error: str | None = None) -> None:
    """Close a row as `sent` or `dead`; the next one of its line is due."""
    await db.execute(
        update(outbox)
        .where(outbox.c.id == row_id)
        .values(
            status=status,
            sent_at=func.now() if status == "sent" else None,
            last_error=_short(error),
        )
    )


async def put_off(
    db: AsyncConnection, row: Row[Any], seconds: float, most_tries: int, error: str
) -> str:
    """Send a row later, a random quarter later still, or give it up; returns what it became.

    What stands behind it in its line waits as long. Nothing changes when somebody else has taken
    the row in the meantime.
    """
    changed = await db.execute(
        update(outbox)
        .where(
            outbox.c.id == row.id,
            outbox.c.status == "sending",
            outbox.c.attempts == row.attempts,
        )
        .values(
            status=case((outbox.c.attempts >= most_tries, "dead"), else_="waiting"),
            next_try_at=func.now() + _seconds(seconds) * (1 + func.random() / 4),
            last_error=_short(error),
        )
        .returning(outbox.c.status, outbox.c.next_try_at)
    )
    became = changed.one_or_none()
    if became is None:
        return "sending"
    if became.status == "waiting":
        await db.execute(
            update(outbox)
            .where(
                outbox.c.org_id == row.org_id,
                outbox.c.line == row.line,
                outbox.c.status == literal_column("'waiting'"),
                outbox.c.next_try_at < became.next_try_at,
            )
            .values(next_try_at=became.next_try_at)
        )
    return str(became.status)


async def hold_back(db: AsyncConnection, org_id: str, seconds: float) -> None:
    """Let everything that an organization has waiting wait at least so long: its credential is
    at its limit."""
    until = func.now() + _seconds(seconds)
    waiting = (
        select(outbox.c.id)
        .where(
            outbox.c.org_id == org_id,
            outbox.c.status == literal_column("'waiting'"),
            outbox.c.next_try_at < until,
        )
        .with_for_update(skip_locked=True)
    )
    await db.execute(update(outbox).where(outbox.c.id.in_(waiting)).values(next_try_at=until))


async def prune(sent_seconds: float, trouble_seconds: float) -> int:
    """Remove some of what was sent, or given up, longer ago; returns how many rows there were."""
    (row,) = await database.hot(PRUNE, {"sent": sent_seconds, "trouble": trouble_seconds})
    return int(row.count)


def _seconds(seconds: float) -> Any:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _short(error: str | None) -> str | None:
    return None if error is None else error[:MOST_ERROR_CHARACTERS]
