"""Sessions as tasks of A2A: how they look, and how they are begun, continued and ended."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import orjson
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.ext.asyncio import AsyncConnection

from auth import keyring
from domain.a2a_cards import ORG_SKILLS
from domain.a2a_tasks import ENDED, STATES
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id, public_session_id
from domain.principal import Principal
from domain.session_states import pending_reason
from persistence import a2a_tasks, sessions
from services import steering
from services.dispatch import enqueue
from services.tenancy import one_project

MOST_HISTORY: Final = 200
MOST_TEXT_CHARACTERS: Final = 100_000
MOST_ID_CHARACTERS: Final = 200
TITLE_CHARACTERS: Final = 120
PRIORITY: Final = 3
DEFAULT_WORK_TYPE: Final = "development"
WORK_TYPES: Final = frozenset(
    {
        "development", "research", "qa", "security", "inflight", "acceptance", "refinement",
        "backlog-creation",
    }
)  # fmt: skip

SKILLS: Final = tuple(skill["id"] for skill in ORG_SKILLS)
"""What the card offers; each is the work type of its name."""


async def found(
    db: AsyncConnection, user: Principal, projects: frozenset[str] | None, task_id: str
) -> Any:
    """The row of a task that the caller owns; raises `TaskNotFoundError`."""
    row = await a2a_tasks.find(db, str(user.org_id), projects, task_id)
    if row is None:
        raise TaskNotFoundError(f"There is no task {task_id[:MOST_ID_CHARACTERS]}")
    return row


async def task(
    db: AsyncConnection, row: Any, *, history: int | None = None, until: int | None = None
) -> pb.Task:
    """A task with its artefacts and what was said last; nothing of the agent's after `until`."""
    org_id, id_ = row.org_id, row.session_id
    results = await a2a_tasks.results(db, org_id, [id_])
    shown = head(row, results.get(id_, []))
    most = MOST_HISTORY if history is None else min(history, MOST_HISTORY)
    if most > 0:
        last = row.activity_count if until is None else min(until, row.activity_count)
        told = [
            (each.created_at, ParseDict(orjson.loads(each.message), pb.Message()))
            for each in await a2a_tasks.messages(db, org_id, id_, most)
        ]
        done = [
            (each.stored_at, said(row, each.seq, each.activity))
            for each in await a2a_tasks.said(db, org_id, id_, last, most)
        ]
        ordered = sorted(told + done, key=lambda each: each[0])[-most:]
        shown.history.extend(message for _, message in ordered)
    return shown


def head(row: Any, results: Sequence[str], *, artifacts: bool = True) -> pb.Task:
    """A task without what was said."""
    shown = pb.Task(id=row.session_id, context_id=row.context_id, status=status(row))
    if artifacts:
        shown.artifacts.extend(made(row, results))
    tokens = (row.input_tokens or 0) + (row.output_tokens or 0)
    about: dict[str, Any] = {"sessionId": row.public_id}
    if tokens:
        about["costTokens"] = tokens
    shown.metadata.update(about)
    return shown


def status(row: Any) -> pb.TaskStatus:
    """Where a task stands, and why where that can be said."""
    shown = pb.TaskStatus(state=state(row.status))
    shown.timestamp.FromDatetime(row.updated_at)
    why = (
        row.failure_reason if row.status == "failed" else pending_reason(row.status, row.waits_for)
    )
    if why:
        shown.message.CopyFrom(_agents(row, "status", why))
    return shown


def state(session_status: str) -> Any:
    return pb.TaskState.Value(f"TASK_STATE_{STATES[session_status].upper()}")


def made(row: Any, results: Sequence[str]) -> list[pb.Artifact]:
    """The artefacts of a task: the texts that conclude it, and the links shown beside it."""
    artifacts = [
        pb.Artifact(artifact_id=f"result-{number}", name="Result", parts=[pb.Part(text=summary)])
        for number, summary in enumerate(results, 1)
    ]
    if row.external_urls:
        links = pb.Artifact(artifact_id="links", name="Links")
        for each in row.external_urls:
            links.parts.append(pb.Part(text=f"{each['label']}: {each['url']}"))
        artifacts.append(links)
    return artifacts


def said(row: Any, seq: int, activity: dict[str, Any]) -> pb.Message:
    """One thing that the agent did, as a message of its."""
    message = _agents(row, str(seq), str(activity.get("content", "")))
    about = {"activity": activity.get("type"), "toolName": activity.get("toolName")}
    message.metadata.update({name: each for name, each in about.items() if each is not None})
    return message


def _agents(row: Any, place: str, text: str) -> pb.Message:
    return pb.Message(
        message_id=f"{row.session_id}-{place}",
        task_id=row.session_id,
        context_id=row.context_id,
        role=pb.Role.ROLE_AGENT,
        parts=[pb.Part(text=text)],
    )


async def send(
    db: AsyncConnection,
    user: Principal,
    projects: frozenset[str] | None,
    named_project: str | None,
    message: pb.Message,
) -> tuple[Any, bool]:
    """Begin a task with a message, or continue the one that it names; once, however often it is
    sent. Returns the task's row, and whether workers should look. Raises `A2AError`."""
    text = _read(message)
    stored = orjson.dumps(MessageToDict(message), option=orjson.OPT_SORT_KEYS)
    message_hash = hashlib.sha256(stored).digest()
    org_id = str(user.org_id)
    await a2a_tasks.take_turn(db, org_id, user.id, message.message_id)
    known = await a2a_tasks.find_sent(db, org_id, user.id, message.message_id, message_hash)
    if known is not None:
        return await found(db, user, projects, known), False
    if message.task_id:
        task_id = await _continue(db, user, projects, message, text)
    else:
        task_id = await _begin(db, user, named_project, message, text)
    await a2a_tasks.add_message(
        db, org_id, task_id, user.id, message.message_id, message_hash, stored.decode()
    )
    return await found(db, user, None, task_id), True


async def _begin(
    db: AsyncConnection, user: Principal, named_project: str | None, message: pb.Message, text: str
) -> str:
    org_id, about = str(user.org_id), MessageToDict(message.metadata)
    named = about.get("projectId", named_project)
    try:
        project_id = await one_project(db, user, named if isinstance(named, str) else None)
    except (Invalid, NotFound) as refusal:
        raise InvalidParamsError(
            f"message.metadata.projectId, or X-Rensei-Project: {refusal.text}"
        ) from None
    work_type = about.get("workType", DEFAULT_WORK_TYPE)
    if not isinstance(work_type, str) or work_type not in WORK_TYPES:
        raise InvalidParamsError(
            f"message.metadata.workType: is none of {', '.join(sorted(WORK_TYPES))}"
        )
    if "workType" not in about and about.get("skillId") in SKILLS:
        work_type = str(about["skillId"])
    session_id = new_id("a2a").replace("_", "-")
    salt = keyring.current().master.derive("public session ids")
    await enqueue(
        db,
        {
            "org_id": org_id,
            "id": session_id,
            "project_id": project_id,
            "public_id": public_session_id(session_id, salt),
            "issue_id": session_id,
            "issue_identifier": session_id,
            "issue_title": text[:TITLE_CHARACTERS],
            "work_type": work_type,
            "priority": PRIORITY,
            "work": {"title": text[:TITLE_CHARACTERS], "prompt": text},
        },
        actor=user,
    )
    context_id = message.context_id or str(uuid4())
    await a2a_tasks.create(db, org_id, session_id, project_id, context_id)
    return session_id


async def _continue(
    db: AsyncConnection,
    user: Principal,
    projects: frozenset[str] | None,
    message: pb.Message,
    text: str,
) -> str:
    row = await found(db, user, projects, message.task_id)
    if message.context_id and message.context_id != row.context_id:
        raise InvalidParamsError("message.contextId: is not that of the task")
    session = await sessions.lock_by_id(db, row.org_id, row.session_id)
    if session is None or STATES[session.status] in ENDED:
        raise UnsupportedOperationError(
            "The task has ended; send a message without taskId to begin another in its context"
        )
    key = f"a2a:{user.id}:{message.message_id}"
    try:
        await steering.prompt(db, session, text, actor=user, idempotency_key=key)
    except steering.InboxFull as full:
        raise UnsupportedOperationError(full.text) from None
    except Conflict:
        raise InvalidParamsError("message.messageId: was used for another message") from None
    return str(row.session_id)


async def cancel(
    db: AsyncConnection, user: Principal, projects: frozenset[str] | None, task_id: str
) -> Any:
    """End a task; one that is cancelled already stays so. Raises `A2AError`."""
    row = await found(db, user, projects, task_id)
    session = await sessions.lock_by_id(db, row.org_id, row.session_id)
    try:
        await steering.stop(db, session, actor=user)
    except Conflict as refusal:
        raise TaskNotCancelableError(refusal.text) from None
    return await found(db, user, projects, task_id)


def _read(message: pb.Message) -> str:
    """What a message asks, as a text; raises `A2AError` for what no agent here can read."""
    if not message.message_id or len(message.message_id) > MOST_ID_CHARACTERS:
        raise InvalidParamsError(
            f"message.messageId: must have 1 to {MOST_ID_CHARACTERS} characters"
        )
    if len(message.context_id) > MOST_ID_CHARACTERS or len(message.task_id) > MOST_ID_CHARACTERS:
        raise InvalidParamsError(f"an id has at most {MOST_ID_CHARACTERS} characters")
    texts = []
    for part in message.parts:
        kind = part.WhichOneof("content")
        if kind == "text":
            texts.append(part.text)
        elif kind == "data":
            texts.append(orjson.dumps(MessageToDict(part.data)).decode())
        elif kind == "url":
            texts.append(f"{part.filename or 'File'}: {part.url}")
        else:
            raise ContentTypeNotSupportedError("files are taken by their URL only")
    text = "\n\n".join(each for each in texts if each.strip())
    if not text:
        raise InvalidParamsError("message.parts: say nothing")
    if len(text) > MOST_TEXT_CHARACTERS:
        raise InvalidParamsError(f"message.parts: more than {MOST_TEXT_CHARACTERS} characters")
    return text
