"""What GitHub and Vercel say is written beside the sessions it belongs to."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

import settings
from domain.repositories import full_name, host_of_api
from domain.session_links import WRITING, Found
from jobs.processors.event import Event, Processor
from persistence import audit, routing, session_links, sessions

Read = Callable[[Mapping[str, Any]], Found]

REWARDS: Final = {"merged": 1.0, "closed": 0.0}
"""What the end of a pull request earns for the session that made it."""


def linked(read: Read) -> Processor:
    """The processor that links what `read` finds in a payload."""

    async def process(db: AsyncConnection, event: Event) -> str:
        return linked_to(await link(db, event, read(event.envelope.data)))

    return process


async def link(db: AsyncConnection, event: Event, found: Found) -> list[Row[Any]]:
    """Link something to all sessions that it belongs to, and return them, newest first."""
    rows = await session_links.sessions_of(db, event.org_id, event.project_id, found.hints)
    rows = [row for row in rows if _is_there(row, found.hints.repository)]
    if rows:
        received_at = datetime.fromisoformat(event.envelope.time)
        new = await session_links.put(
            db, event.org_id, [row.id for row in rows], found.link, received_at
        )
        for session_id in new:
            await audit.append(
                db,
                event.org_id,
                None,
                "session.linked",
                ("session", session_id),
                {
                    "kind": found.link.kind,
                    "url": found.link.url,
                    "correlationId": event.envelope.correlation_id,
                },
            )
    return rows


def ended(read: Read) -> Processor:
    """The processor that links a pull request that has ended, and lets routing learn from that."""

    async def process(db: AsyncConnection, event: Event) -> str:
        found = read(event.envelope.data)
        rows = await link(db, event, found)
        state, learned = str(found.link.state), 0
        if state in REWARDS:
            # In one order, so that two events at once wait for each other and never in a ring.
            for row in sorted(_authors(rows), key=attrgetter("work_type", "provider", "id")):
                learned += await _learn(db, event, row.id, state)
        return f"{linked_to(rows)}; routing learned from {learned}"

    return process


def linked_to(rows: Sequence[Row[Any]]) -> str:
    """What came of linking, in words."""
    return f"linked to {len(rows)} session{'' if len(rows) == 1 else 's'}"


def _is_there(row: Row[Any], repository: str) -> bool:
    """Whether a session may work in a repository: it does not say that it works in another."""
    if not row.repository or not repository:
        return True
    name = full_name(row.repository, host_of_api(settings.current().github_api_url))
    return name is None or name.lower() == repository


def _authors(rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """The sessions that made a pull request: those that named it, or else the latest that wrote."""
    able = [row for row in rows if row.provider and row.lease_epoch]
    return [row for row in able if row.by_url] or [row for row in able if row.work_type in WRITING][
        :1
    ]


async def _learn(db: AsyncConnection, event: Event, session_id: str, state: str) -> bool:
    """Let routing learn what became of a session's work, once a session and outcome."""
    session = await sessions.lock_by_id(db, event.org_id, session_id)
    outcome = f"pull-request.{state}"
    if session is None or await routing.knows_outcome(db, event.org_id, session_id, outcome):
        return False
    observed = {
        "provider": session.provider,
        "work_type": session.work_type,
        "reward": REWARDS[state],
        "issue_identifier": session.issue_identifier or None,
        "task_completed": state == "merged",
        "pr_created": True,
    }
    digest = hashlib.sha256(f"{session_id} {outcome}".encode()).digest()
    recorded = await routing.learn(db, session, digest, observed, outcome)
    if recorded is not routing.Learned.NOW:
        return False
    await audit.append(
        db,
        event.org_id,
        None,
        "session.routing_feedback",
        ("session", session_id),
        {
            "provider": session.provider,
            "workType": session.work_type,
            "reward": REWARDS[state],
            "outcome": outcome,
            "correlationId": event.envelope.correlation_id,
        },
    )
    return True
