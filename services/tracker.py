"""What the tracker is told of a session, and why not. Nothing is sent here: each function puts a
row in the outbox, inside the transaction of what it tells of, and `jobs/send_outbox.py` sends it.

`session` is a row of the session, held for writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import interviews, tracker_messages
from persistence import outbox
from services.linear_access import has_credential

NO_CREDENTIAL: Final = "no Linear credential is configured for the organization"
NOT_BOUND: Final = "the session is not bound to Linear"
NO_ISSUE: Final = "the session has no issue"


async def tells(org_id: str, session_id: str) -> bool:
    """Whether the tracker may be told of a session, now or once a worker has bound it."""
    return not session_id.startswith(interviews.SESSION) and await has_credential(org_id)


async def not_sent_because(
    org_id: str, session_id: str, provider_session_id: str | None
) -> str | None:
    """Why the tracker is not told of a session, in words for people; None when it is told."""
    if not await has_credential(org_id):
        return NO_CREDENTIAL
    if tracker_messages.agent_session_of(session_id, provider_session_id) is None:
        return NOT_BOUND
    return None


async def say(db: AsyncConnection, session: Any, content: dict[str, Any]) -> str | None:
    """Add an activity to the agent session; returns why not, or None when it is accepted."""
    reason = await _reason(session)
    if reason is None:
        await outbox.add(db, session.org_id, session.id, "activity", {"content": content})
    return reason


async def think(db: AsyncConnection, session: Any, text: str) -> str | None:
    """Add a thought, which keeps an agent session alive; returns why not, or None."""
    return await say(db, session, tracker_messages.thought(text))


async def acknowledge(db: AsyncConnection, org_id: str, session_id: str, became: str) -> None:
    """Tell the agent session that its work is `queued` or `parked`: Linear wants a sign of life
    within ten seconds. The session was made in this transaction."""
    if await not_sent_because(org_id, session_id, None) is None:
        content = tracker_messages.received(became)
        await outbox.add(db, org_id, session_id, "activity", {"content": content})


async def close(db: AsyncConnection, session: Any) -> str | None:
    """End the agent session of a session that has just ended; returns why not, or None."""
    content = tracker_messages.closing(session.status, session.failure_reason)
    return await say(db, session, content)


@dataclass(frozen=True, slots=True)
class Posted:
    """Comments accepted for sending, what is wrong with the rest, or why there are none."""

    count: int
    errors: list[str] = field(default_factory=list)
    reason: str | None = None


async def completion(session: Any, summary: str, plan_items: Sequence[Any] | None) -> Posted:
    """What `comment` does with a completion; asking again, for a repeat, answers the same."""
    reason = await _reason(session) or (None if session.issue_id else NO_ISSUE)
    if reason is not None:
        return Posted(0, reason=reason)
    parts, left = tracker_messages.comments(tracker_messages.completion(summary, plan_items))
    error = f"{left} characters are beyond what {len(parts)} comments hold"
    return Posted(len(parts), [error] if left else [])


async def comment(
    db: AsyncConnection, session: Any, summary: str, plan_items: Sequence[Any] | None
) -> None:
    """Comment on the session's issue, in as many parts as it takes."""
    if not (await completion(session, summary, plan_items)).count:
        return
    parts, _ = tracker_messages.comments(tracker_messages.completion(summary, plan_items))
    for part in parts:
        await outbox.add(
            db, session.org_id, session.id, "comment", {"issueId": session.issue_id, "body": part}
        )


async def show_urls(
    db: AsyncConnection, session: Any, external_urls: list[dict[str, str]]
) -> str | None:
    """Replace the links of the agent session; returns why not, or None."""
    reason = await _reason(session)
    if reason is None:
        await outbox.add(
            db, session.org_id, session.id, "external_urls", {"externalUrls": external_urls}
        )
    return reason


async def no_issue_because(session: Any, context: dict[str, Any]) -> str | None:
    """Why `report_tool_error` opens no issue; None when it does."""
    return await _reason(session) or (None if _beside(session, context) else NO_ISSUE)


def _beside(session: Any, context: dict[str, Any]) -> str:
    return str(context.get("issueIdentifier") or session.issue_id or session.issue_identifier or "")


async def report_tool_error(
    db: AsyncConnection,
    session: Any,
    tool_name: str,
    error_message: str,
    context: dict[str, Any],
) -> None:
    """Open an issue about a broken tool in the team of the session's, or of the one named."""
    if await no_issue_because(session, context) is None:
        title, description = tracker_messages.tool_error(
            tool_name,
            error_message,
            {
                "Tool": tool_name,
                "Session": session.id,
                "Worker": session.worker_id,
                "Issue": context.get("issueIdentifier") or session.issue_identifier,
                "Context": context.get("additionalContext"),
            },
        )
        await outbox.add(
            db,
            session.org_id,
            session.id,
            "issue",
            {
                "besideIssueId": _beside(session, context),
                "title": title,
                "description": description,
            },
        )


async def _reason(session: Any) -> str | None:
    return await not_sent_because(session.org_id, session.id, session.provider_session_id)
