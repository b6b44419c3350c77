"""Where clients want to be told of their tasks, and what they have been told."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, case, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.a2a_tasks import STATES
from persistence.tables import a2a_push_configs, a2a_tasks, sessions

MOST_CONFIGS: Final = 10
"""Of one task."""

_OPEN: Final = text("not is_done")
_STATE: Final = case(STATES, value=sessions.c.status, else_="submitted")


async def put(db: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Store a config, or replace the one of its id; False when the task has too many."""
    key = [values["org_id"], values["session_id"]]
    count = await db.scalar(
        select(func.count())
        .select_from(a2a_push_configs)
        .where(
            a2a_push_configs.c.org_id == key[0],
            a2a_push_configs.c.session_id == key[1],
            a2a_push_configs.c.id != values["id"],
        )
    )
    if count is not None and count >= MOST_CONFIGS:
        return False
    made = upsert(a2a_push_configs).values(**values)
    await db.execute(
        made.on_conflict_do_update(
            index_elements=["org_id", "session_id", "id"],
            set_={
                **{name: made.excluded[name] for name in ("url", "generation", "secret_encrypted")},
                "told_state": None,
                "is_done": False,
                "attempts": 0,
                "last_error": None,
                "next_try_at": func.now(),
            },
        )
    )
    return True


async def list_all(db: AsyncConnection, org_id: str, session_id: str) -> Sequence[Row[Any]]:
    """The configs of a task, oldest first."""
    return list(
        await db.execute(
            select(a2a_push_configs)
            .where(a2a_push_configs.c.org_id == org_id, a2a_push_configs.c.session_id == session_id)
            .order_by(a2a_push_configs.c.created_at, a2a_push_configs.c.id)
        )
    )


async def remove(db: AsyncConnection, org_id: str, session_id: str, config_id: str) -> None:
    await db.execute(
        delete(a2a_push_configs).where(
            a2a_push_configs.c.org_id == org_id,
            a2a_push_configs.c.session_id == session_id,
            a2a_push_configs.c.id == config_id,
        )
    )


async def next_due(db: AsyncConnection, seconds: float) -> Row[Any] | None:
    """Take a config whose client does not know its task's state yet, for so many seconds.

    Two processes at once never take one. When the time is over without a word, whoever took it is
    gone, and it is due again. It carries the state that is to be told, and the task's project.
    """
    due = (
        select(a2a_push_configs.c.org_id, a2a_push_configs.c.session_id, a2a_push_configs.c.id)
        .select_from(
            a2a_push_configs.join(
                sessions,
                and_(
                    sessions.c.org_id == a2a_push_configs.c.org_id,
                    sessions.c.id == a2a_push_configs.c.session_id,
                ),
            )
        )
        .where(
            _OPEN,
            a2a_push_configs.c.next_try_at <= func.now(),
            or_(a2a_push_configs.c.told_state.is_(None), a2a_push_configs.c.told_state != _STATE),
        )
        .order_by(a2a_push_configs.c.next_try_at)
        .limit(1)
        .with_for_update(skip_locked=True, of=a2a_push_configs)
        .cte("due")
    )
    key = and_(
        a2a_push_configs.c.org_id == due.c.org_id,
        a2a_push_configs.c.session_id == due.c.session_id,
        a2a_push_configs.c.id == due.c.id,
    )
    of_session = and_(
        sessions.c.org_id == a2a_push_configs.c.org_id,
        sessions.c.id == a2a_push_configs.c.session_id,
    )
    of_task = and_(
        a2a_tasks.c.org_id == a2a_push_configs.c.org_id,
        a2a_tasks.c.session_id == a2a_push_configs.c.session_id,
    )
    return (
        await db.execute(
            update(a2a_push_configs)
            .where(key)
            .values(
                attempts=a2a_push_configs.c.attempts + 1,
                next_try_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds),
            )
            .returning(
                *a2a_push_configs.c,
                select(_STATE).where(of_session).scalar_subquery().label("state"),
                select(a2a_tasks.c.project_id).where(of_task).scalar_subquery().label("project_id"),
            )
        )
    ).one_or_none()


async def settle(db: AsyncConnection, row: Row[Any], values: Mapping[str, Any]) -> None:
    """Write what came of telling; nothing when somebody else has taken the config since."""
    await db.execute(
        update(a2a_push_configs)
        .where(
            a2a_push_configs.c.org_id == row.org_id,
            a2a_push_configs.c.session_id == row.session_id,
            a2a_push_configs.c.id == row.id,
            a2a_push_configs.c.attempts == row.attempts,
        )
        .values(**values)
    )
