"""What is said of the built-in tracker's issues, and how they are related."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Row, and_, delete, func, insert, or_, select, text, true
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.tables import tracker_comments, tracker_issues, tracker_relations

MOST_LISTED: Final = 500
REPEAT: Final = text("interval '10 minutes'")


async def of_issue(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str
) -> list[Row[Any]]:
    """The latest comments on an issue, oldest first."""
    latest = await db.execute(
        select(tracker_comments)
        .where(
            tracker_comments.c.org_id == org_id,
            tracker_comments.c.project_id == project_id,
            tracker_comments.c.issue_id == issue_id,
        )
        .order_by(tracker_comments.c.created_at.desc(), tracker_comments.c.position.desc())
        .limit(MOST_LISTED)
    )
    return list(latest)[::-1]


async def repeated(
    db: AsyncConnection, org_id: str, project_id: str, issue_id: str, digest: bytes
) -> Row[Any] | None:
    """The comment that this one repeats: the same of the same author, within ten minutes."""
    return (
        await db.execute(
            select(tracker_comments)
            .where(
                tracker_comments.c.org_id == org_id,
                tracker_comments.c.project_id == project_id,
                tracker_comments.c.issue_id == issue_id,
                tracker_comments.c.digest == digest,
                tracker_comments.c.created_at > func.now() - REPEAT,
            )
            .order_by(tracker_comments.c.created_at.desc())
            .limit(1)
        )
    ).one_or_none()


async def add(db: AsyncConnection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a new comment."""
    made = await db.execute(
        insert(tracker_comments).values(**values).returning(*tracker_comments.c)
    )
    return made.one()


async def add_once(db: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Store a comment; False when there is one of its id already."""
    made = await db.execute(
        upsert(tracker_comments)
        .values(**values)
        .on_conflict_do_nothing()
        .returning(tracker_comments.c.id)
    )
    return made.one_or_none() is not None


async def report(db: AsyncConnection, values: Mapping[str, Any]) -> None:
    """Store a comment as the tracker tells of it."""
    adding = upsert(tracker_comments).values(**values)
    await db.execute(
        adding.on_conflict_do_update(
            index_elements=["org_id", "project_id", "id"],
            set_={
                "body": adding.excluded.body,
                "author": adding.excluded.author,
                "updated_at": func.now(),
            },
        )
    )


async def remove(db: AsyncConnection, org_id: str, project_id: str, comment_id: str) -> None:
    """Forget a comment that was taken away in the tracker."""
    await db.execute(
        delete(tracker_comments).where(
            tracker_comments.c.org_id == org_id,
            tracker_comments.c.project_id == project_id,
            tracker_comments.c.id == comment_id,
        )
    )


async def relate(db: AsyncConnection, values: Mapping[str, Any]) -> str:
    """Relate two issues; returns the id of the relation, the old one when there is one already."""
    adding = upsert(tracker_relations).values(**values)
    await db.execute(adding.on_conflict_do_nothing(constraint="tracker_relations_one"))
    found = await db.scalar(
        select(tracker_relations.c.id).where(
            tracker_relations.c.org_id == values["org_id"],
            tracker_relations.c.project_id == values["project_id"],
            tracker_relations.c.issue_id == values["issue_id"],
            tracker_relations.c.related_issue_id == values["related_issue_id"],
            tracker_relations.c.type == values["type"],
        )
    )
    return str(found)


async def unrelate(
    db: AsyncConnection, org_id: str, visible: Collection[str] | None, relation_id: str
) -> list[Row[Any]]:
    """Take a visible relation away and return it; one that is gone already is none the worse."""
    seen = true() if visible is None else tracker_relations.c.project_id.in_(visible)
    gone = await db.execute(
        delete(tracker_relations)
        .where(tracker_relations.c.org_id == org_id, seen, tracker_relations.c.id == relation_id)
        .returning(*tracker_relations.c)
    )
    return list(gone)


async def relations(
    db: AsyncConnection, org_id: str, project_id: str, issue_ids: Collection[str]
) -> list[Row[Any]]:
    """The relations that begin or end at these issues, with the identifiers of both ends."""
    one, other = tracker_issues.alias("one"), tracker_issues.alias("other")

    def at(issues: Any, column: Any) -> Any:
        return and_(
            issues.c.org_id == tracker_relations.c.org_id,
            issues.c.project_id == tracker_relations.c.project_id,
            issues.c.id == column,
        )

    return list(
        await db.execute(
            select(
                tracker_relations,
                one.c.identifier.label("identifier"),
                other.c.identifier.label("related_identifier"),
            )
            .outerjoin(one, at(one, tracker_relations.c.issue_id))
            .outerjoin(other, at(other, tracker_relations.c.related_issue_id))
            .where(
                tracker_relations.c.org_id == org_id,
                tracker_relations.c.project_id == project_id,
                or_(
                    tracker_relations.c.issue_id.in_(issue_ids),
                    tracker_relations.c.related_issue_id.in_(issue_ids),
                ),
            )
            .order_by(tracker_relations.c.created_at, tracker_relations.c.id)
            .limit(MOST_LISTED)
        )
    )
