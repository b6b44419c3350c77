"""The tasks that agents of other makers send here: JSON-RPC in the words of A2A's SDK."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any, Final

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    A2AError,
    ExtendedAgentCardNotConfiguredError,
    InvalidParamsError,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from contract import Request
from domain.a2a_cards import OLD, origin
from domain.a2a_tasks import statuses_of
from domain.principal import Principal
from domain.session_states import ENDED as SESSION_ENDED
from handlers.a2a_stream import KEEP_ALIVE_SECONDS, TaskView
from handlers.event_stream import EventStream
from handlers.following import Following
from handlers.replies import Reply
from persistence import a2a_push as configs
from persistence import a2a_tasks as stored
from persistence import audit, database
from persistence.ephemeral import nudges, session_news
from services import a2a_push, a2a_tasks, a2a_wire, session_feed, session_watch
from services.a2a_wire import Call
from services.tenancy import visible_projects

BLOCKING_SECONDS: Final = 4.0
"""How long a message that does not stream waits for its task: tasks take minutes, and the SDK's
client hangs up after five seconds."""

DEFAULT_PAGE: Final = 50
MOST_PAGE: Final = 100
CURSOR: Final = re.compile(r"[0-9]{1,16}_[A-Za-z0-9._:-]{1,200}")


class _Asked:
    """One call: what it asks, and of whose tasks it may be."""

    def __init__(
        self,
        call: Call,
        request: Request,
        user: Principal,
        projects: frozenset[str] | None,
        named: str | None,
    ) -> None:
        self.call = call
        self.params: Any = call.params
        self.request = request
        self.user = user
        self.projects = projects
        self.named = named


async def call_a2a(
    body: dict[str, Any],
    user: Principal,
    request: Request,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply | EventStream:
    """Answer one request of an agent, of either generation of the protocol."""
    projects = await visible_projects(user, x_rensei_org, x_rensei_project)
    named = x_rensei_project
    if projects is not None and named:
        (named,) = projects
    try:
        call = a2a_wire.read(body, request.headers.get("a2a-version"))
        answered = await _METHODS[call.method](_Asked(call, request, user, projects, named))
    except A2AError as problem:
        is_old = body.get("method") in a2a_wire.OLD_NAMES
        return a2a_wire.error(a2a_wire.id_of(body), problem, is_old=is_old), 200
    return answered if isinstance(answered, EventStream) else (a2a_wire.answer(call, answered), 200)


async def _send(asked: _Asked) -> pb.Task | pb.SendMessageResponse:
    row = await _begin(asked)
    settings = asked.params.configuration
    history = settings.history_length if settings.HasField("history_length") else None
    if not settings.return_immediately:
        row = await _wait(asked, row)
    async with database.statement() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, row.session_id)
        task = await a2a_tasks.task(db, row, history=history)
    return task if asked.call.generation == OLD else pb.SendMessageResponse(task=task)


async def _begin(asked: _Asked) -> Any:
    """Begin or continue the task of a message, and wake those who work."""
    settings = asked.params.configuration
    async with database.transaction() as db:
        row, is_new = await a2a_tasks.send(
            db, asked.user, asked.projects, asked.named, asked.params.message
        )
        if is_new and settings.HasField("task_push_notification_config"):
            await _put_push(db, asked, row, settings.task_push_notification_config)
    if is_new:
        session_news.tell_surely(row.org_id, row.session_id)
        await nudges.try_nudge(nudges.work(row.org_id, row.project_id))
    return row


async def _wait(asked: _Asked, row: Any) -> Any:
    """Wait a little for a task to end."""
    until = time.monotonic() + BLOCKING_SECONDS
    watch = session_watch.current()
    with watch.watching(session_feed.ACTIVITIES, row.org_id, row.session_id) as watcher:
        while row.status not in SESSION_ENDED and not watch.ending:
            watcher.seen = (row.activity_count, row.status)
            if (left := until - time.monotonic()) <= 0:
                break
            await watcher.wait(left)
            async with database.statement() as db:
                row = await a2a_tasks.found(db, asked.user, asked.projects, row.session_id)
    return row


async def _stream(asked: _Asked) -> EventStream:
    row = await _begin(asked)
    return await _follow(asked, row.session_id, None)


async def _subscribe(asked: _Asked) -> EventStream:
    place = asked.request.headers.get("last-event-id")
    after = session_feed.number_in(place) if place else None
    return await _follow(asked, asked.params.id, after)


async def _follow(asked: _Asked, task_id: str, after: int | None) -> EventStream:
    """The task as it is, then what comes; or what came after an event that the client has seen."""
    async with database.statement() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, task_id)
        shown = row.activity_count if after is None else min(after, row.activity_count)
        first = await a2a_tasks.task(db, row, until=shown)
    if row.status in SESSION_ENDED and after is not None:
        # The end is told after what led to it.
        first.status.CopyFrom(pb.TaskStatus(state=pb.TaskState.Value("TASK_STATE_WORKING")))
        del first.artifacts[:]
    view = TaskView(asked.call, asked.user, asked.projects, row, first, shown)
    following = Following(asked.request, asked.user, view, KEEP_ALIVE_SECONDS)
    return EventStream(following.events(), session_watch.current().ended)


async def _get(asked: _Asked) -> pb.Task:
    history = asked.params.history_length if asked.params.HasField("history_length") else None
    async with database.statement() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, asked.params.id)
        return await a2a_tasks.task(db, row, history=history)


async def _list(asked: _Asked) -> pb.ListTasksResponse:
    params = asked.params
    size = params.page_size if params.HasField("page_size") else DEFAULT_PAGE
    if not 1 <= size <= MOST_PAGE:
        raise InvalidParamsError(f"pageSize: must be 1 to {MOST_PAGE}")
    if params.page_token and not CURSOR.fullmatch(params.page_token):
        raise InvalidParamsError("pageToken: is none that was given")
    wanted = statuses_of(a2a_wire.state_name(params.status)) if params.status else None
    since = params.status_timestamp_after
    async with database.statement() as db:
        page, total = await stored.list_page(
            db,
            str(asked.user.org_id),
            asked.projects,
            context_id=params.context_id or None,
            statuses=wanted,
            since=since.ToDatetime(UTC) if params.HasField("status_timestamp_after") else None,
            limit=size,
            cursor=params.page_token or None,
        )
        ids = [row.session_id for row in page.rows] if params.include_artifacts else []
        results = await stored.results(db, str(asked.user.org_id), ids)
    answer = pb.ListTasksResponse(
        next_page_token=page.next_cursor or "", page_size=size, total_size=total
    )
    for row in page.rows:
        texts = results.get(row.session_id, [])
        answer.tasks.append(a2a_tasks.head(row, texts, artifacts=params.include_artifacts))
    return answer


async def _cancel(asked: _Asked) -> pb.Task:
    async with database.transaction() as db:
        row = await a2a_tasks.cancel(db, asked.user, asked.projects, asked.params.id)
        task = await a2a_tasks.task(db, row)
    session_news.tell_surely(row.org_id, row.session_id)
    await nudges.try_nudge(nudges.PARKED)
    await nudges.try_nudge(nudges.work(row.org_id, row.project_id))
    return task


async def _set_push(asked: _Asked) -> pb.TaskPushNotificationConfig:
    async with database.transaction() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, asked.params.task_id)
        return await _put_push(db, asked, row, asked.params)


async def _put_push(
    db: AsyncConnection, asked: _Asked, row: Any, config: pb.TaskPushNotificationConfig
) -> pb.TaskPushNotificationConfig:
    made = await a2a_push.put(db, row, config, asked.call.generation)
    # Of the address only who is told: the rest of it may be a secret.
    about = {"id": made.id, "host": (origin(made.url) or ("", None))[1]}
    task = ("session", str(row.session_id))
    await audit.append(db, row.org_id, asked.user, "a2a.notifications_set", task, about)
    return made


async def _get_push(asked: _Asked) -> pb.TaskPushNotificationConfig:
    async with database.statement() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, asked.params.task_id)
        return await a2a_push.get(db, row, asked.params.id)


async def _list_push(asked: _Asked) -> pb.ListTaskPushNotificationConfigsResponse:
    async with database.statement() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, asked.params.task_id)
        return await a2a_push.list_all(db, row)


async def _delete_push(asked: _Asked) -> None:
    async with database.transaction() as db:
        row = await a2a_tasks.found(db, asked.user, asked.projects, asked.params.task_id)
        await configs.remove(db, row.org_id, row.session_id, asked.params.id)
        task, about = ("session", str(row.session_id)), {"id": asked.params.id}
        await audit.append(db, row.org_id, asked.user, "a2a.notifications_removed", task, about)


async def _no_extended_card(asked: _Asked) -> None:
    raise ExtendedAgentCardNotConfiguredError("The public card is all there is")


_METHODS: Final[dict[str, Callable[[_Asked], Awaitable[Any]]]] = {
    "SendMessage": _send,
    "SendStreamingMessage": _stream,
    "GetTask": _get,
    "ListTasks": _list,
    "CancelTask": _cancel,
    "SubscribeToTask": _subscribe,
    "CreateTaskPushNotificationConfig": _set_push,
    "GetTaskPushNotificationConfig": _get_push,
    "ListTaskPushNotificationConfigs": _list_push,
    "DeleteTaskPushNotificationConfig": _delete_push,
    "GetExtendedAgentCard": _no_extended_card,
}
