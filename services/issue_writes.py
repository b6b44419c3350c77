"""What was done to an issue here goes out to the tracker, in the order in which it was done.

Rows of one issue stand in one line of the outbox. Whoever adds one holds the issue's turn.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import issue_states
from persistence import outbox, tracker_issues
from services import issue_shapes
from services.linear_access import has_credential


async def comment(db: AsyncConnection, issue: Any, comment_id: str, text: str) -> None:
    """Say there what was said here, under the same id, so that its event is known again."""
    await _add(db, issue, "comment", {"id": comment_id, "issueId": issue.id, "body": text})


async def change(db: AsyncConnection, issue: Any, members: Mapping[str, Any]) -> None:
    """Change members of the issue, in the tracker's words."""
    if members:
        await _add(db, issue, "issue_update", {"issueId": issue.id, "input": dict(members)})


async def state(db: AsyncConnection, issue: Any, state: str, names: Mapping[str, str]) -> bool:
    """Move the issue there too; False when the team lacks the state, or nothing can be sent."""
    team = issue_shapes.team(issue)
    if team is None or not await has_credential(issue.org_id):
        return False
    known, _ = await tracker_issues.states(db, issue.org_id, [issue.project_id], team["id"])
    state_id = issue_states.theirs(state, known, names)
    if state_id is None:
        return False
    await change(db, issue, {"stateId": state_id})
    return True


async def _add(db: AsyncConnection, issue: Any, kind: str, payload: Mapping[str, Any]) -> None:
    if await has_credential(issue.org_id):
        await outbox.add_of_issue(db, issue.org_id, issue.project_id, issue.id, kind, payload)
