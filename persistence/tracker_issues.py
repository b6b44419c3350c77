"""The built-in tracker's issues, and what is known of their teams' states and labels."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import (
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import ColumnElement

from domain.principal import Principal
from persistence.tables import (
    api_keys,
    projects,
    sessions,
    tracker_issues,
    tracker_labels,
    tracker_states,
    workers,
)

MOST_LISTED: Final = 250
ECHO: Final = text("interval '10 minutes'")

RENAME_LABEL: Final = text("""
update tracker_issues i
   set labels = (
     select coalesce(jsonb_agg(
              case when l ->> 'id' = :id then l || jsonb_build_object('name', cast(:name as text))
                   else l end), '[]')
       from jsonb_array_elements(i.labels) l
      where cast(:name as text) is not null or l ->> 'id' <> :id)
 where i.org_id = :org and i.project_id = :project
   and i.labels @> jsonb_build_array(jsonb_build_object('id', cast(:id as text)))
""")


def _of(org_id: Any, project_id: Any, issue_id: Any) -> ColumnElement[bool]:
    return and_(
        tracker_issues.c.org_id == org_id,
        tracker_issues.c.project_id == project_id,
        tracker_issues.c.id == issue_id,
    )


_AWAITS: Final = func.coalesce(tracker_issues.c.awaited_until > func.now(), literal(value=False))
_LOCK: Final = (
    select(tracker_issues, _AWAITS.label("awaits"))
    .where(_of(bindparam("org"), bindparam("project"), bindparam("issue")))
    .with_for_update()
)


def _seen(columns: Any, org_id: str, visible: Collection[str] | None) -> ColumnElement[bool]:
    seen = true() if visible is None else columns.project_id.in_(visible)
    return and_(columns.org_id == org_id, seen)


async def is_alive(db: AsyncConnection, caller: Principal) -> bool:
    """Whether a worker's credential still is: its key, and its worker where it names one."""
    alive: ColumnElement[bool] = exists().where(
        api_keys.c.id == caller.registration_id,
        api_keys.c.org_id == caller.org_id,
        api_keys.c.revoked_at.is_(None),
    )
    if caller.worker_id is not None:
        alive &= exists().where(
            workers.c.id == caller.worker_id,
            workers.c.registration_id == caller.registration_id,
            workers.c.revoked_at.is_(None),
        )
    return bool(await db.scalar(select(alive)))


async def find(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, name: str
) -> Row[Any] | None:
    """A visible issue by its id or its identifier, beside its project's names of states and
    repository; None when none is known."""
    return (
        await db.execute(
            select(tracker_issues, projects.c.state_names, projects.c.repository)
            .join(projects, projects.c.id == tracker_issues.c.project_id)
            .where(
                _seen(tracker_issues.c, org_id, visible),
                or_(tracker_issues.c.id == name, tracker_issues.c.identifier == name),
                ~tracker_issues.c.gone,
            )
            .order_by(tracker_issues.c.id != name, tracker_issues.c.updated_at.desc())
            .limit(1)
        )
    ).one_or_none()


async def session_of(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, name: str
) -> Row[Any] | None:
    """The latest visible session of an issue, by the issue's id or identifier."""
    return (
        await db.execute(
            select(sessions)
            .where(
                _seen(sessions.c, org_id, visible),
                sessions.c.issue_id != "",
                or_(sessions.c.issue_id == name, sessions.c.issue_identifier == name),
            )
            .order_by(sessions.c.issue_id != name, sessions.c.created_at.desc())
            .limit(1)
        )
    ).one_or_none()


async def is_known(db: AsyncConnection, org_id: str, issue_id: str) -> bool:
    """Whether any project of the organization has or had an issue of this id."""
    known = exists().where(tracker_issues.c.org_id == org_id, tracker_issues.c.id == issue_id)
    return bool(await db.scalar(select(known)))


async def lock(db: AsyncConnection, org_id: str, project_id: str, issue_id: str) -> Row[Any] | None:
    """Hold an issue's row for a change; `awaits` says whether the tracker's word on what was sent
    to it is still to come."""
    place = {"org": org_id, "project": project_id, "issue": issue_id}
    return (await db.execute(_LOCK, place)).one_or_none()


async def add(db: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Note an issue; nothing changes when it is known."""
    await db.execute(upsert(tracker_issues).values(**values).on_conflict_do_nothing())


async def change(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str, values: Mapping[str, Any]
) -> None:
    """Write columns of an issue whose row is held."""
    await db.execute(
        update(tracker_issues)
        .where(_of(org_id, project_id, issue_id))
        .values({"updated_at": func.now(), **values})
    )


async def await_echo(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str, state: str
) -> None:
    """Note that the tracker will report a state because it was sent there."""
    still = case((tracker_issues.c.awaited_until > func.now(), tracker_issues.c.awaited))
    await db.execute(
        update(tracker_issues)
        .where(_of(org_id, project_id, issue_id))
        .values(
            awaited=func.array_append(still, state),
            awaited_until=func.now() + ECHO,
        )
    )


async def children(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str
) -> list[Row[Any]]:
    """The sub-issues of an issue, oldest first."""
    return list(
        await db.execute(
            select(tracker_issues, projects.c.state_names)
            .join(projects, projects.c.id == tracker_issues.c.project_id)
            .where(
                tracker_issues.c.org_id == org_id,
                tracker_issues.c.project_id == project_id,
                tracker_issues.c.parent_id == issue_id,
                ~tracker_issues.c.gone,
            )
            .order_by(tracker_issues.c.created_at, tracker_issues.c.id)
            .limit(MOST_LISTED)
        )
    )


async def of_project(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, name: str
) -> list[Row[Any]]:
    """The visible issues of a project of the tracker, by its name or id, newest first, each with
    the number of its sub-issues."""
    child = tracker_issues.alias("child")
    count = (
        select(func.count())
        .where(
            child.c.org_id == tracker_issues.c.org_id,
            child.c.project_id == tracker_issues.c.project_id,
            child.c.parent_id == tracker_issues.c.id,
            ~child.c.gone,
        )
        .scalar_subquery()
    )
    return list(
        await db.execute(
            select(tracker_issues, count.label("children"))
            .where(
                _seen(tracker_issues.c, org_id, visible),
                or_(
                    tracker_issues.c.tracker_project["name"].astext == name,
                    tracker_issues.c.tracker_project["id"].astext == name,
                ),
                ~tracker_issues.c.gone,
            )
            .order_by(tracker_issues.c.created_at.desc(), tracker_issues.c.id)
            .limit(MOST_LISTED)
        )
    )


async def repository(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, name: str
) -> str | None:
    """The repository of the project whose issues belong to a project of the tracker; that of the
    only project which is visible, or None, when no issue is known of it."""
    found = await db.scalar(
        select(projects.c.repository)
        .join(tracker_issues, tracker_issues.c.project_id == projects.c.id)
        .where(
            _seen(tracker_issues.c, org_id, visible),
            or_(
                tracker_issues.c.tracker_project["id"].astext == name,
                tracker_issues.c.tracker_project["name"].astext == name,
            ),
        )
        .limit(1)
    )
    if found is None and visible is not None and len(visible) == 1:
        found = await db.scalar(
            select(projects.c.repository).where(
                projects.c.org_id == org_id, projects.c.id.in_(visible)
            )
        )
    return found


async def team(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, name: str
) -> dict[str, str] | None:
    """A team by its id, key or name, as its visible issues tell of it."""
    found = await db.scalar(
        select(tracker_issues.c.team)
        .where(
            _seen(tracker_issues.c, org_id, visible),
            tracker_issues.c.team.is_not(None),
            or_(*(tracker_issues.c.team[each].astext == name for each in ("id", "key", "name"))),
        )
        .order_by(tracker_issues.c.updated_at.desc())
        .limit(1)
    )
    return None if found is None else dict(found)


async def states(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, team_id: str
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """A team's states, id -> (name, type), and what its project calls ours."""
    rows = (
        await db.execute(
            select(tracker_states, projects.c.state_names)
            .join(projects, projects.c.id == tracker_states.c.project_id)
            .where(_seen(tracker_states.c, org_id, visible), tracker_states.c.team_id == team_id)
        )
    ).all()
    known = {row.id: (row.name, row.type) for row in rows}
    return known, dict(rows[0].state_names) if rows else {}


async def note_state(
    db: AsyncConnection, org_id: str, project_id: str, team_id: str, state: Mapping[str, str]
) -> None:
    """Learn a team's state, or its new name."""
    adding = upsert(tracker_states).values(
        org_id=org_id, project_id=project_id, team_id=team_id, **state
    )
    new = {"name": adding.excluded.name, "type": adding.excluded.type}
    await db.execute(
        adding.on_conflict_do_update(
            index_elements=["org_id", "project_id", "team_id", "id"],
            set_=new,
            where=or_(
                tracker_states.c.name != adding.excluded.name,
                tracker_states.c.type != adding.excluded.type,
            ),
        )
    )


async def note_labels(
    db: AsyncConnection, org_id: str, project_id: str, labels: Collection[Mapping[str, str]]
) -> None:
    """Learn labels, or their new names."""
    rows = {
        each["id"]: {"org_id": org_id, "project_id": project_id, **each}
        for each in labels
        if each["id"]
    }
    if not rows:
        return
    adding = upsert(tracker_labels).values([rows[key] for key in sorted(rows)])
    await db.execute(
        adding.on_conflict_do_update(
            index_elements=["org_id", "project_id", "id"],
            set_={"name": adding.excluded.name},
            where=tracker_labels.c.name != adding.excluded.name,
        )
    )


async def rename_label(
    db: AsyncConnection, org_id: str, project_id: str, label_id: str, name: str | None
) -> None:
    """Give a label its new name wherever it stands; None takes it away."""
    of_it = {"org": org_id, "project": project_id, "id": label_id, "name": name}
    # The issues first, as reports of issues do: two events at once then never wait in a ring.
    await db.execute(RENAME_LABEL, of_it)
    if name is None:
        await db.execute(
            delete(tracker_labels).where(
                tracker_labels.c.org_id == org_id,
                tracker_labels.c.project_id == project_id,
                tracker_labels.c.id == label_id,
            )
        )
    else:
        await note_labels(db, org_id, project_id, [{"id": label_id, "name": name}])


async def labels(
    db: AsyncConnection, org_id: str, project_id: str, ids: list[str]
) -> list[dict[str, str]]:
    """The known labels of these ids, in their order."""
    if not ids:
        return []
    rows = await db.execute(
        select(tracker_labels.c.id, tracker_labels.c.name)
        .where(
            tracker_labels.c.org_id == org_id,
            tracker_labels.c.project_id == project_id,
            tracker_labels.c.id.in_(ids),
        )
        .order_by(case({each: n for n, each in enumerate(ids)}, value=tracker_labels.c.id))
    )
    return [{"id": row.id, "name": row.name} for row in rows]
