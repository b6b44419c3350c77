"""Linear's issues, comments and labels: the built-in tracker follows them."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import tracker_events
from jobs.processors.event import Event
from persistence import tracker_comments, tracker_issues
from services import issue_reports


async def issue_reported(db: AsyncConnection, event: Event) -> str:
    """Take over an issue as the tracker tells of it."""
    reported = tracker_events.issue(event.envelope.data)
    return (await issue_reports.take(db, event.org_id, event.project_id, reported)).words


async def issue_removed(db: AsyncConnection, event: Event) -> str:
    """Show an issue no longer."""
    issue_id = tracker_events.removed(event.envelope.data)
    await tracker_issues.change(db, event.org_id, event.project_id, issue_id, {"gone": True})
    return f"issue {issue_id} is gone"


async def comment_reported(db: AsyncConnection, event: Event) -> str:
    """Take over a comment; one that was written here is the same one, by its id."""
    said = tracker_events.comment(event.envelope.data)
    if said is None:
        return "a comment on something else than an issue"
    values: dict[str, Any] = {
        "org_id": event.org_id,
        "project_id": event.project_id,
        "id": said.id,
        "issue_id": said.issue_id,
        "body": said.body,
        "author": said.author,
    }
    if said.created_at is not None:
        values["created_at"] = said.created_at
    await tracker_comments.report(db, values)
    return f"comment {said.id} on issue {said.issue_id}"


async def comment_removed(db: AsyncConnection, event: Event) -> str:
    """Forget a comment."""
    comment_id = tracker_events.removed(event.envelope.data)
    await tracker_comments.remove(db, event.org_id, event.project_id, comment_id)
    return f"comment {comment_id} is gone"


async def label_reported(db: AsyncConnection, event: Event) -> str:
    """Learn a label, or its new name."""
    label_id, name = tracker_events.label(event.envelope.data)
    await tracker_issues.rename_label(db, event.org_id, event.project_id, label_id, name)
    return f"label {label_id} is {name}"


async def label_removed(db: AsyncConnection, event: Event) -> str:
    """Take a label from every issue."""
    label_id = tracker_events.removed(event.envelope.data)
    await tracker_issues.rename_label(db, event.org_id, event.project_id, label_id, None)
    return f"label {label_id} is gone"
