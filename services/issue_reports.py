"""What the tracker tells of an issue enters the built-in one."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import issue_states
from domain.tracker_events import ReportedIssue
from persistence import audit, issues, project_settings, tracker_issues


async def take(db: AsyncConnection, org_id: str, project_id: str, reported: ReportedIssue) -> str:
    """Store a report; what is older than the last one changes nothing."""
    await issues.take_turn(db, org_id, reported.id)
    known = await tracker_issues.lock(db, org_id, project_id, reported.id)
    if known is not None and _is_late(known, reported):
        return f"issue {reported.id} is known as it became later"
    project = await project_settings.get(db, org_id, None, project_id)
    state = _state(known, reported, project.state_names)
    columns = {**reported.columns, "state": state, "gone": False}
    if known is None:
        values = {"org_id": org_id, "project_id": project_id, "id": reported.id, **columns}
        await tracker_issues.add(db, values)
    else:
        await tracker_issues.change(db, org_id, project_id, reported.id, columns)
    await _learn(db, org_id, project_id, columns)
    before = None if known is None else known.state
    if state == before:
        return f"issue {reported.id} is stored"
    await audit.append(
        db, org_id, None, "issue.moved", ("issue", reported.id), {"from": before, "to": state}
    )
    return f"issue {reported.id} is {state}"


def _is_late(known: Any, reported: ReportedIssue) -> bool:
    if known.reported_at is None:
        return False
    # What a session's event tells of its issue has no time, and is less than is known.
    return reported.at is None or reported.at < known.reported_at


def _state(known: Any, reported: ReportedIssue, names: dict[str, str]) -> str | None:
    """Our state after a report: what the tracker says, when it says something new.

    An issue may be in a state that its team lacks; it stays there while the team's is the same.
    """
    present: str | None = None if known is None else known.state
    told = reported.columns.get("reported_state")
    if told is None or (known is not None and known.state and known.reported_state == told):
        return present
    return issue_states.ours(told["name"], told["type"], names) or present


async def _learn(
    db: AsyncConnection, org_id: str, project_id: str, columns: dict[str, Any]
) -> None:
    """Note the team's state and the labels that a report names."""
    state, team = columns.get("reported_state"), columns.get("team")
    if state and team and state["id"]:
        await tracker_issues.note_state(db, org_id, project_id, team["id"], state)
    await tracker_issues.note_labels(db, org_id, project_id, columns.get("labels", []))
