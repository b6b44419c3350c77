"""What the tracker tells of an issue enters the built-in one."""

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import issue_states
from domain.tracker_events import ReportedIssue
from persistence import assignments, audit, issues, project_settings, tracker_issues
from services import automation

ASSIGNING: Final = frozenset({"assigneeId", "delegateId"})


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a report, in words, and how the issue is now."""

    words: str
    state: str | None
    description: str | None


async def learn(db: AsyncConnection, org_id: str, project_id: str, reported: ReportedIssue) -> None:
    """Store an issue that was asked for: nothing is to follow from how it is."""
    await take(db, org_id, project_id, replace(reported, assignees=frozenset()))


async def take(db: AsyncConnection, org_id: str, project_id: str, reported: ReportedIssue) -> Taken:
    """Store a report; what is older than the last one changes nothing. The issue's turn is held
    from here on."""
    await issues.take_turn(db, org_id, reported.id)
    known = await tracker_issues.lock(db, org_id, project_id, reported.id)
    if known is not None and _is_late(known, reported):
        words = f"issue {reported.id} is known as it became later"
        return Taken(words, None if known.gone else known.state, known.description)
    description = known and known.description
    description = reported.columns.get("description", description)
    state, words = await _store(db, org_id, project_id, reported, known)
    return Taken(words, state, description)


async def _store(
    db: AsyncConnection, org_id: str, project_id: str, reported: ReportedIssue, known: Any
) -> tuple[str | None, str]:
    """Write a report down and let follow what is to follow; returns the state and the words."""
    names = {}
    if reported.columns.get("reported_state"):
        names = (await project_settings.get(db, org_id, None, project_id)).state_names
    state, awaited = _state(known, reported, names)
    columns = {**reported.columns, "state": state, "awaited": awaited, "gone": False}
    if known is None:
        values = {"org_id": org_id, "project_id": project_id, "id": reported.id, **columns}
        await tracker_issues.add(db, values)
    else:
        await tracker_issues.change(db, org_id, project_id, reported.id, columns)
    await _learn(db, org_id, project_id, columns)
    await _note_assignment(db, org_id, project_id, reported, is_new=known is None)
    before = None if known is None else known.state
    if state is None or state == before:
        return state, f"issue {reported.id} is stored"
    await audit.append(
        db, org_id, None, "issue.moved", ("issue", reported.id), {"from": before, "to": state}
    )
    if reported.at is None or (before is None and "stateId" not in reported.changed):
        return state, f"issue {reported.id} is {state}"  # learned, not moved
    issue = await tracker_issues.find(db, org_id, [project_id], reported.id)
    became = await automation.follow(db, issue, before, state)
    return state, f"issue {reported.id} is {state}; {became}"


async def _note_assignment(
    db: AsyncConnection, org_id: str, project_id: str, reported: ReportedIssue, *, is_new: bool
) -> None:
    """Note that the issue was given to the agent just now, or taken from it."""
    if reported.changed & ASSIGNING or (is_new and reported.assignees):
        if await assignments.is_agent(db, org_id, reported.assignees):
            await assignments.add(db, org_id, project_id, reported.id)
        else:
            await assignments.drop(db, org_id, project_id, reported.id)


def _is_late(known: Any, reported: ReportedIssue) -> bool:
    if known.reported_at is None:
        return False
    # What a session's event tells of its issue has no time, and is less than is known.
    return reported.at is None or reported.at < known.reported_at


def _state(
    known: Any, reported: ReportedIssue, names: dict[str, str]
) -> tuple[str | None, list[str]]:
    """Our state after a report, and what of our own is still to be reported.

    The tracker moves the issue when its word is a new one. An issue may be in a state that its team
    lacks, and stays there while the team's is the same. What was sent from here comes back, maybe
    after the issue has moved on here: that moves nothing.
    """
    present: str | None = None if known is None else known.state
    awaited = list(known.awaited) if known is not None and known.awaits else []
    told = reported.columns.get("reported_state")
    if told is None or (known is not None and known.state and known.reported_state == told):
        return present, awaited
    state = issue_states.ours(told["name"], told["type"], names)
    if state in awaited:
        return present, awaited[awaited.index(state) + 1 :]
    return state or present, awaited


async def _learn(
    db: AsyncConnection, org_id: str, project_id: str, columns: dict[str, Any]
) -> None:
    """Note the team's state and the labels that a report names."""
    state, team = columns.get("reported_state"), columns.get("team")
    if state and team and state["id"]:
        await tracker_issues.note_state(db, org_id, project_id, team["id"], state)
    await tracker_issues.note_labels(db, org_id, project_id, columns.get("labels", []))
