"""Failures that a project wants looked into become work."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain.ids import public_session_id
from domain.linear_events import DEFAULT_PRIORITY
from domain.repositories import place
from domain.session_links import Failure
from jobs.processors.event import Event, Processor
from jobs.processors.linking import Read, link, linked_to
from persistence import issues, project_settings, session_links
from services.dispatch import enqueue

ReadFailure = Callable[[Mapping[str, Any]], Failure | None]


def scanned(read: Read, failure_of: ReadFailure, work_type: str, switch: str) -> Processor:
    """The processor that links what `read` finds, and queues work for a failure where the
    project's column `switch` says so."""

    async def process(db: AsyncConnection, event: Event) -> str:
        payload = event.envelope.data
        outcome = linked_to(await link(db, event, read(payload)))
        failure = failure_of(payload)
        if failure is None:
            return outcome
        project = await project_settings.get(db, event.org_id, None, event.project_id)
        if not getattr(project, switch) or work_type in project.disabled_work_types:
            return outcome
        return f"{outcome}; {await _scan(db, event, failure, work_type, project)}"

    return process


async def _scan(
    db: AsyncConnection, event: Event, failure: Failure, work_type: str, project: Any
) -> str:
    """Queue a session that looks into a failure, once.

    Of one workflow on one branch one failure is looked into at a time, and no more in a day than
    the project allows tries: what a scanner changes may fail again.
    """
    digest = hashlib.sha256(f"{work_type} {event.project_id} {failure.key}".encode()).hexdigest()
    session_id = f"scan-{digest[:32]}"
    issue_id = f"scan {work_type} {event.project_id} {failure.of}"[:300]
    await issues.take_turn(db, event.org_id, issue_id)
    today = await session_links.scans_today(
        db, event.org_id, event.project_id, failure.place, issue_id, but=session_id
    )
    if today >= project.tries_per_work_type:
        return f"{today} scans of it today already"
    salt = keyring.current().master.derive("public session ids")
    became = await enqueue(
        db,
        {
            "org_id": event.org_id,
            "id": session_id,
            "project_id": event.project_id,
            "public_id": public_session_id(session_id, salt),
            "issue_id": issue_id,
            "issue_identifier": failure.place,
            "issue_title": failure.text[:200],
            "project_name": project.name,
            "work_type": work_type,
            "priority": DEFAULT_PRIORITY,
            "work": {
                "title": failure.text[:200],
                "promptContext": failure.text,
                **_where(failure, project),
            },
            "correlation_id": event.envelope.correlation_id,
        },
        has_turn=True,
    )
    return f"session {session_id} {'is known already' if became == 'known' else became}"


def _where(failure: Failure, project: Any) -> dict[str, str]:
    """The project's own URL of the repository it failed in, and the branch."""
    urls = [project.repository, *(each["cloneUrl"] for each in project.other_repositories)]
    named = [url for url in urls if url and str(place(url)).endswith(f"/{failure.repository}")]
    if not failure.repository or not named:
        return {}
    return {"repository": named[0], **({"ref": failure.branch} if failure.branch else {})}
