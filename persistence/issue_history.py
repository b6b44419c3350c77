"""The sessions of an issue, as the rules of what is next ask for them."""

from typing import Any

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import completions, session_links, sessions


def _of(org_id: str, project_id: str, issue_id: str) -> Any:
    return and_(
        sessions.c.org_id == org_id,
        sessions.c.issue_id == issue_id,
        sessions.c.project_id == project_id,
    )


async def counts(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str
) -> tuple[dict[str, int], bool]:
    """How many sessions of each kind of work the issue has had or has, and whether any was taken
    up. Sessions that were dropped before anybody took them up are none."""
    taken = sessions.c.claimed_at.is_not(None)
    rows = await db.execute(
        select(sessions.c.work_type, func.count(), func.bool_or(taken))
        .where(
            _of(org_id, project_id, issue_id),
            or_(taken, sessions.c.status != "stopped"),
        )
        .group_by(sessions.c.work_type)
    )
    found = [tuple(row) for row in rows]
    return {kind: count for kind, count, _ in found}, any(each for _, _, each in found)


async def parked(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str
) -> list[Row[Any]]:
    """Hold and return the parked sessions of an issue."""
    return list(
        await db.execute(
            select(sessions)
            .where(
                _of(org_id, project_id, issue_id),
                sessions.c.waits_for == "issue",
                sessions.c.status == "pending",
            )
            .order_by(sessions.c.id)
            .with_for_update()
        )
    )


async def latest(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str, *work_types: str
) -> Any:
    """The id of the latest session that did such work, and the text that concluded it; None
    when there is none."""
    text = (
        select(completions.c.summary)
        .where(completions.c.org_id == sessions.c.org_id, completions.c.session_id == sessions.c.id)
        .order_by(completions.c.lease_epoch.desc(), completions.c.stored_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        await db.execute(
            select(sessions.c.id, text.label("summary"))
            .where(
                _of(org_id, project_id, issue_id),
                sessions.c.work_type.in_(work_types),
                sessions.c.claimed_at.is_not(None),
            )
            .order_by(sessions.c.claimed_at.desc())
            .limit(1)
        )
    ).one_or_none()


async def last_deployment(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str
) -> str | None:
    """The state of the latest deployment that belongs to a session of the issue; None for none."""
    found: str | None = await db.scalar(
        select(session_links.c.state)
        .join(
            sessions,
            and_(
                sessions.c.org_id == session_links.c.org_id,
                sessions.c.id == session_links.c.session_id,
            ),
        )
        .where(_of(org_id, project_id, issue_id), session_links.c.kind == "deployment")
        .order_by(session_links.c.at.desc(), session_links.c.key)
        .limit(1)
    )
    return found


async def conclusion(
    db: AsyncConnection, org_id: str, session_id: str, lease_epoch: int
) -> str | None:
    """The latest text that concluded this attempt of a session."""
    found: str | None = await db.scalar(
        select(completions.c.summary)
        .where(
            completions.c.org_id == org_id,
            completions.c.session_id == session_id,
            completions.c.lease_epoch == lease_epoch,
        )
        .order_by(completions.c.stored_at.desc())
        .limit(1)
    )
    return found
