"""What follows when an issue moves: work that starts by itself, and sessions that move issues."""

import hashlib
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain import issue_rules, vercel_events
from domain.ids import public_session_id
from domain.principal import Principal
from domain.work_types import for_agent_session
from persistence import (
    audit,
    issue_history,
    issues,
    project_settings,
    tracker_comments,
    tracker_issues,
)
from services import issue_writes, steering
from services.dispatch import enqueue

DEFAULT_PRIORITY = 3
AUTHOR = {"id": "rensei", "name": "Rensei"}


async def move(db: AsyncConnection, issue: Any, state: str, actor: Principal | None) -> bool:
    """Move an issue that is held to one of our states; False when it is there already."""
    if issue.state == state:
        return False
    place = (issue.org_id, issue.project_id, issue.id)
    await tracker_issues.change(db, *place, {"state": state})
    if await issue_writes.state(db, issue, state, issue.state_names):
        await tracker_issues.await_echo(db, *place, state)
    await audit.append(
        db,
        issue.org_id,
        actor,
        "issue.moved",
        ("issue", issue.id),
        {"from": issue.state, "to": state},
    )
    await follow(db, issue, issue.state, state)
    return True


async def follow(db: AsyncConnection, issue: Any, before: str | None, after: str) -> str:
    """Drop what was parked for the state before, and start what is next; says what came of it.

    `issue` is held and was moved just now, once: a state that is stored already never comes here.
    """
    place = (issue.org_id, issue.project_id, issue.id)
    for session in await issue_history.parked(db, *place):
        await steering.stop(db, session, actor=None)
    project = await project_settings.get(db, issue.org_id, None, issue.project_id)
    counts, was_worked_on = await issue_history.counts(db, *place)
    # Deployments say nothing about the other steps, and few issues have come this far.
    failed = issue_rules.STARTS.get(after) == "qa" and (
        await issue_history.last_deployment(db, *place) == vercel_events.FAILED
    )
    found = issue_rules.next_work(
        before,
        after,
        [label["name"] for label in issue.labels],
        is_child=issue.parent_id is not None,
        rules=_rules(project),
        past=issue_rules.Past(counts, was_worked_on, failed),
    )
    if found.question is not None:
        await _ask(db, issue, found.question, issue_rules.STARTS[after])
        return f"a person is asked: {found.question}"
    if found.work_type is not None:
        await _start(db, issue, found.work_type)
    return found.why


async def assigned(db: AsyncConnection, org_id: str, project_id: str, issue_id: str) -> bool:
    """Start the work of an issue that a person has given to the agent, as an agent session would;
    False when there is nothing to be done. The issue is held."""
    issue = await tracker_issues.find(db, org_id, [project_id], issue_id)
    if issue is None or issue.state in issue_rules.CLOSED:
        return False
    project = await project_settings.get(db, org_id, None, project_id)
    work_type = for_agent_session(issue.state, issue.description)
    if work_type in project.disabled_work_types:
        return False
    await _start(db, issue, work_type)
    return True


def _rules(project: Any) -> issue_rules.Rules:
    kinds = ("development", "qa", "acceptance", "refinement")
    return issue_rules.Rules(
        automatic=frozenset(kind for kind in kinds if getattr(project, f"auto_{kind}")),
        disabled=frozenset(project.disabled_work_types),
        excluded_labels=frozenset(project.excluded_labels),
        tries=project.tries_per_work_type,
        sessions=project.sessions_per_issue,
    )


async def _start(db: AsyncConnection, issue: Any, work_type: str) -> None:
    # An id of this form says that no agent session of the tracker stands behind it.
    session_id = f"governor-{uuid4()}"
    work: dict[str, Any] = {"title": issue.title}
    if issue.description:
        work["body"] = issue.description
    work |= await _context(db, issue, work_type)
    salt = keyring.current().master.derive("public session ids")
    project = issue.tracker_project
    await enqueue(
        db,
        {
            "org_id": issue.org_id,
            "id": session_id,
            "project_id": issue.project_id,
            "public_id": public_session_id(session_id, salt),
            "issue_id": issue.id,
            "issue_identifier": issue.identifier,
            "issue_title": issue.title,
            "project_name": project and project["name"],
            "work_type": work_type,
            "priority": issue.priority or DEFAULT_PRIORITY,
            "work": work,
        },
        has_turn=True,
    )


async def _context(db: AsyncConnection, issue: Any, work_type: str) -> dict[str, Any]:
    """What the session is to look at: the work that qa checks, the failure that is refined."""
    place = (issue.org_id, issue.project_id, issue.id)
    if work_type == "qa":
        source = await issue_history.latest(db, *place, "development", "inflight", "security")
        return {"sourceSessionId": source.id} if source else {}
    if work_type == "refinement":
        source = await issue_history.latest(db, *place, "qa", "acceptance")
        if source is not None:
            context = {"promptContext": source.summary} if source.summary else {}
            return {"sourceSessionId": source.id, **context}
    return {}


async def _ask(db: AsyncConnection, issue: Any, reason: str, work_type: str) -> None:
    """Comment on the issue, once for each reason."""
    text = issue_rules.question(reason, work_type)
    digest = hashlib.sha256(f"{issue.org_id}\n{issue.project_id}\n{issue.id}\n{text}".encode())
    values = {
        "org_id": issue.org_id,
        "project_id": issue.project_id,
        "id": str(UUID(bytes=digest.digest()[:16], version=4)),
        "issue_id": issue.id,
        "body": text,
        "author": AUTHOR,
    }
    if await tracker_comments.add_once(db, values):
        await issue_writes.comment(db, issue, values["id"], text)


async def begun(db: AsyncConnection, session: Any) -> bool:
    """Move the issue when work on it begins; False when nothing moves.

    It begins when an agent is there, not when a worker takes the session up: real clients read the
    issue in between, and take a Started one for work that somebody else has begun.
    """
    if session.work_type != "development" or not session.issue_id:
        return False
    return await _move(db, session, lambda state: issue_rules.begun(session.work_type, state))


async def concluded(db: AsyncConnection, session: Any) -> bool:
    """Move the issue as the result of a completed session says; False when nothing moves.

    The text with the result and the report that the session is completed come in either order.
    """
    if session.status != "completed" or not session.issue_id:
        return False
    text = await issue_history.conclusion(db, session.org_id, session.id, session.lease_epoch)
    outcome = issue_rules.result(text) if text else None
    if outcome is None:
        return False
    return await _move(
        db, session, lambda state: issue_rules.concluded(session.work_type, outcome, state)
    )


async def _move(db: AsyncConnection, session: Any, target: Any) -> bool:
    await issues.take_turn(db, session.org_id, session.issue_id)
    issue = await tracker_issues.find(db, session.org_id, [session.project_id], session.issue_id)
    state = None if issue is None else target(issue.state)
    return state is not None and await move(db, issue, state, None)
