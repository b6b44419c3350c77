"""Tools about the session itself and its project: look, report, reserve files, hand work on, stop.

Each does what an operation of the REST API does, through the same functions.
"""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain import tracker_messages
from domain.errors import Conflict, NotFound
from domain.file_paths import normalized
from domain.ids import new_id, public_session_id
from domain.session_states import ENDED, pending_reason, public_status
from domain.times import iso
from persistence import activities, agents, database, files, public_sessions, sessions
from persistence.ephemeral import nudges, session_news
from services import steering, tracker
from services.dispatch import FOLLOW_UP_PRIORITY, enqueue
from services.once import once
from services.tools.tool import Agent, Always, Json, Tool, gives, takes

MOST_SUBMITTED: Final = 20
DEEPEST_SUBMISSION: Final = 5
MOST_PATHS: Final = 500
DEFAULT_TTL_SECONDS: Final = 3600

NOT_AT_WORK: Final = "The session is not at work any more"

_TEXT: Final[Json] = {"type": "string"}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_PATHS: Final[Json] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 4096},
    "minItems": 1,
    "maxItems": MOST_PATHS,
    "description": "Paths from the root of the repository, such as `src/app.py`.",
}


async def _status(agent: Agent, arguments: Json) -> Json:
    async with database.statement() as db:
        row = await public_sessions.find_by_id(
            db, agent.org_id, frozenset({agent.project_id}), agent.session_id
        )
    if row is None:
        raise NotFound("Session not found")
    reserved = await agents.files(agent.org_id, agent.session_id)
    optional = {
        "issueTitle": row.issue_title,
        "startedAt": iso(row.claimed_at) if row.claimed_at else None,
        "finishedAt": iso(row.finished_at) if row.finished_at else None,
        "costUsd": row.total_cost_usd,
        "waitsBecause": pending_reason(row.status, row.waits_for),
    }
    return {
        **_summary(row),
        "reservedFiles": reserved,
        "unconfirmedMessages": [each["text"] for each in row.unconfirmed or ()],
        **{name: value for name, value in optional.items() if value is not None},
    }


def _summary(row: Any) -> Json:
    return {
        "id": row.public_id,
        "issue": row.issue_identifier,
        "status": public_status(row.status, row.waits_for),
        "workType": row.work_type,
        "queuedAt": iso(row.queued_at),
    }


async def _list(agent: Agent, arguments: Json) -> Json:
    async with database.statement() as db:
        page = await public_sessions.list_page(
            db,
            agent.org_id,
            frozenset({agent.project_id}),
            arguments.get("limit", 20),
            arguments.get("cursor"),
        )
    return {
        "sessions": [_summary(row) for row in page.rows],
        "nextCursor": page.next_cursor,
    }


async def _progress(agent: Agent, arguments: Json) -> Json:
    holder = await _holder(agent)
    reason = await tracker.not_sent_because(
        agent.org_id, agent.session_id, holder.provider_session_id
    )
    activity = {"type": "progress", "content": arguments["message"]}
    if "milestone" in arguments:
        activity["milestone"] = arguments["milestone"]
    stored = await activities.store(
        agent.org_id,
        agent.session_id,
        holder.worker_id,
        holder.registration_id,
        holder.lease_epoch,
        activity,
        None,
        told=None if reason else tracker_messages.thought(arguments["message"]),
    )
    if stored is None:
        raise Conflict(NOT_AT_WORK)
    session_news.tell_soon(agent.org_id, agent.session_id)
    if reason is None:
        await nudges.try_nudge(nudges.OUTBOX)
    return {"posted": True, "forwarded": reason is None}


async def _reserve(agent: Agent, arguments: Json) -> Json:
    wanted = _normalized(arguments["paths"])
    settled = await files.reserve(
        await _call(agent),
        wanted,
        arguments.get("reason"),
        arguments.get("ttlSeconds", DEFAULT_TTL_SECONDS),
    )
    if settled is None:
        raise Conflict(NOT_AT_WORK)
    mine = {row.path for row in settled if row.session_id == agent.session_id}
    # Who the others are is not said: they may belong to other projects.
    return {
        "reserved": [path for path in wanted if path in mine],
        "conflicts": [
            {"path": row.path, "since": iso(row.reserved_at)}
            for row in sorted(settled, key=lambda row: str(row.path))
            if row.path not in mine
        ],
    }


async def _release(agent: Agent, arguments: Json) -> Json:
    paths = _normalized(arguments["paths"]) if "paths" in arguments else None
    released = await files.release(await _call(agent), paths)
    if released is None:
        raise Conflict(NOT_AT_WORK)
    return {"released": released}


def _normalized(paths: list[str]) -> list[str]:
    return list(dict.fromkeys(normalized(path) for path in paths))


async def _call(agent: Agent) -> files.Call:
    holder = await _holder(agent)
    return files.Call(
        agent.org_id,
        agent.session_id,
        holder.registration_id,
        holder.worker_id,
        holder.lease_epoch,
    )


async def _holder(agent: Agent) -> Any:
    """The worker that holds the session: what its agent reports is what that worker would."""
    holder = await agents.holder(agent.org_id, agent.session_id)
    if holder is None:
        raise Conflict(NOT_AT_WORK)
    return holder


async def _submit(agent: Agent, arguments: Json) -> Json:
    async with database.transaction() as db:
        # Held first, so that agents of one session that submit at once are counted.
        parent = await sessions.lock_by_id(db, agent.org_id, agent.session_id)
        if parent is None:
            raise NotFound("Session not found")
        request = {name: each for name, each in arguments.items() if name in _SUBMISSION}
        answer, _ = await once(
            db,
            agent.user,
            f"task_submit/{agent.session_id}",
            arguments.get("idempotencyKey"),
            request,
            lambda: _enqueue(db, agent, parent, request),
        )
    await nudges.try_nudge(nudges.work(agent.org_id, agent.project_id))
    return answer


async def _enqueue(db: AsyncConnection, agent: Agent, parent: Any, task: Json) -> tuple[Json, int]:
    if parent.submission_depth >= DEEPEST_SUBMISSION:
        raise Conflict(
            f"This session is follow-up number {DEEPEST_SUBMISSION} of a chain; ask a person to "
            "submit more work"
        )
    if await agents.count_submitted(db, agent.org_id, agent.session_id) >= MOST_SUBMITTED:
        raise Conflict(f"A session may submit {MOST_SUBMITTED} tasks and this one has")
    session_id = new_id("ses")
    of_issue = task.get("sameIssue", True) and parent.issue_id != ""
    salt = keyring.current().master.derive("public session ids")
    public_id = public_session_id(session_id, salt)
    became = await enqueue(
        db,
        {
            "org_id": agent.org_id,
            "id": session_id,
            "project_id": agent.project_id,
            "public_id": public_id,
            "issue_id": parent.issue_id if of_issue else "",
            "issue_identifier": parent.issue_identifier if of_issue else "",
            "issue_title": task["title"],
            "project_name": parent.project_name,
            "work_type": task.get("workType", parent.work_type),
            "priority": task.get("priority", FOLLOW_UP_PRIORITY),
            "submitted_by": agent.session_id,
            "submission_depth": parent.submission_depth + 1,
            "work": {
                "title": task["title"],
                "prompt": task["prompt"],
                "sourceSessionId": agent.session_id,
                **(
                    {"repository": parent.work["repository"]} if "repository" in parent.work else {}
                ),
            },
        },
        actor=agent.user,
    )
    return {"id": public_id, "status": became}, 201


async def _stop(agent: Agent, arguments: Json) -> Json:
    async with database.transaction() as db:
        session = await sessions.lock_by_id(db, agent.org_id, agent.session_id)
        if session is None:
            raise NotFound("Session not found")
        if session.status in ENDED - {"stopped"}:
            raise Conflict(f"Session is {session.status} and cannot be stopped")
        stopped = await steering.stop(db, session, actor=agent.user)
    session_news.tell_surely(stopped.org_id, stopped.id)
    await nudges.try_nudge(nudges.PARKED)
    await nudges.try_nudge(nudges.work(stopped.org_id, stopped.project_id))
    return {"stopped": True, "previousStatus": public_status(session.status, session.waits_for)}


_SUMMARY: Final[Json] = {
    "id": {"type": "string", "description": "Public id of the session, as people see it."},
    "issue": _TEXT,
    "status": {
        "type": "string",
        "enum": ["queued", "parked", "working", "completed", "failed", "stopped"],
    },
    "workType": _TEXT,
    "queuedAt": _TIME,
}

_SUBMISSION: Final[dict[str, Json]] = {
    "title": {"type": "string", "minLength": 1, "maxLength": 300, "pattern": r"\S"},
    "prompt": {
        "type": "string",
        "minLength": 1,
        "maxLength": 50_000,
        "pattern": r"\S",
        "description": "What is to be done, complete: whoever takes it knows nothing of this "
        "session but what stands here.",
    },
    "workType": {
        "type": "string",
        "minLength": 1,
        "maxLength": 100,
        "description": "Such as development, qa, research. This session's own when absent.",
    },
    "priority": {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "description": "Lower is sooner; 2 when absent.",
    },
    "sameIssue": {
        "type": "boolean",
        "description": "True, the default: the task belongs to this session's issue and starts "
        "when this session has ended; a later one of the same work type replaces it while it "
        "waits. False: it belongs to no issue and may start at once.",
    },
}

TOOLS: Final = (
    Tool(
        name="session_status",
        title="Status of this session",
        description="Read the state of the session you are working in: its status, issue, cost, "
        "the files it has reserved, and messages that nobody has confirmed. Takes no arguments.",
        takes=takes(),
        gives=gives(
            ("issueTitle", "startedAt", "finishedAt", "costUsd", "waitsBecause"),
            **_SUMMARY,
            reservedFiles={"type": "array", "items": _TEXT},
            unconfirmedMessages={"type": "array", "items": _TEXT},
            issueTitle=_TEXT,
            startedAt=_TIME,
            finishedAt=_TIME,
            costUsd={"type": "number"},
            waitsBecause=_TEXT,
        ),
        act=_status,
        changes=False,
    ),
    Tool(
        name="session_list",
        title="Sessions of the project",
        description="List the sessions of your project, newest first: what others work on, what "
        "waits, how things ended. Use it before you submit a task that somebody may be doing.",
        takes=takes(
            limit={"type": "integer", "minimum": 1, "maximum": 100, "description": "Default 20."},
            cursor={
                "type": "string",
                "pattern": "^[0-9]{1,16}_[A-Za-z0-9._:-]{1,200}$",
                "description": "The `nextCursor` of the page before.",
            },
        ),
        gives=gives(
            sessions={"type": "array", "items": gives(**_SUMMARY)},
            nextCursor={"type": ["string", "null"]},
        ),
        act=_list,
        changes=False,
    ),
    Tool(
        name="session_progress",
        title="Post progress",
        description="Tell the people who watch this session what you have done or are about to do, "
        "in a sentence or two. Post at milestones, not at every step.",
        takes=takes(
            ["message"],
            message={"type": "string", "minLength": 1, "maxLength": 10_000, "pattern": r"\S"},
            milestone={
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "A short name, such as `tests pass`.",
            },
        ),
        gives=gives(
            posted={"type": "boolean"},
            forwarded={
                "type": "boolean",
                "description": "Whether the issue tracker is told as well.",
            },
        ),
        act=_progress,
    ),
    Tool(
        name="files_reserve",
        title="Reserve files",
        description="Reserve files before you change them, so that no other session changes them "
        "at the same time. Answers which you got; leave the files under `conflicts` alone, or wait "
        "and ask again. Repeating it renews what you hold.",
        takes=takes(
            ["paths"],
            paths=_PATHS,
            reason={"type": "string", "maxLength": 1000, "description": "Shown to who asks."},
            ttlSeconds={
                "type": "integer",
                "minimum": 1,
                "maximum": 86_400,
                "description": "How long the reservation holds; an hour when absent.",
            },
        ),
        gives=gives(
            reserved={"type": "array", "items": _TEXT},
            conflicts={"type": "array", "items": gives(path=_TEXT, since=_TIME)},
        ),
        act=_reserve,
    ),
    Tool(
        name="files_release",
        title="Release files",
        description="Give reserved files back as soon as your change is done. Without `paths`, "
        "everything that this session has reserved.",
        takes=takes(paths=_PATHS),
        gives=gives(released={"type": "integer"}),
        act=_release,
    ),
    Tool(
        name="task_submit",
        title="Submit a follow-up task",
        description="Hand on work that does not belong into this session: it becomes a session of "
        "its own in the same project, for another agent. The task says that it came from you. A "
        f"session may submit {MOST_SUBMITTED} tasks, and follow-ups of follow-ups end at "
        f"{DEEPEST_SUBMISSION}.",
        takes=takes(
            ["title", "prompt"],
            **_SUBMISSION,
            idempotencyKey={
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "description": "Send the same again with the same key and nothing is done twice.",
            },
        ),
        gives=gives(
            id={"type": "string", "description": "Public id of the new session."},
            status={"type": "string", "enum": ["queued", "parked"]},
        ),
        act=_submit,
    ),
    Tool(
        name="session_stop",
        title="Stop this session",
        description="Stop the session you are working in, for good: its files and its issue are "
        "free at once, and your own access ends with this call. Only when the work should not go "
        "on; a session whose work is done ends by itself.",
        takes=takes(),
        gives=gives(stopped={"type": "boolean"}, previousStatus=_TEXT),
        act=_stop,
    ),
)

PROVIDER: Final = Always(TOOLS)
