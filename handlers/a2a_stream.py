"""A task of A2A as it happens."""

from typing import Any, Final

import orjson
from a2a.types import a2a_pb2 as pb

from domain.principal import Principal
from domain.session_states import ENDED
from persistence import a2a_tasks, database
from persistence.session_activities import Feed, Size
from services import session_feed
from services.a2a_tasks import found, made, said, state, status
from services.a2a_wire import Call, answer
from services.session_watch import Watcher

PORTION: Final = Size(activities=200, bytes=250_000)
KEEP_ALIVE_SECONDS: Final = 4.0
"""The SDK's client hangs up after five seconds of silence."""


class TaskView:
    """A task, as one client sees it: itself first, then what the agent does, then how it ended.

    The id of each event is the number of the last activity that it tells of.
    """

    kind = session_feed.ACTIVITIES
    due_seconds = None

    def __init__(
        self,
        call: Call,
        user: Principal,
        projects: frozenset[str] | None,
        row: Any,
        first: pb.Task,
        shown: int,
    ) -> None:
        """`first` tells of everything up to the activity `shown`; what comes after it is news."""
        self.key = (row.org_id, row.session_id)
        self._call = call
        self._user = user
        self._projects = projects
        self._row = row
        self._shown = shown
        self._told = pb.TaskState.Value("TASK_STATE_UNSPECIFIED")
        self._first: pb.Task | None = first
        self._feed = Feed(row.org_id, row.session_id, "", shown, ())
        self._results: list[str] = []
        self._is_read = False

    def news(self) -> bytes:
        """What the last reading brought, as events."""
        parts = []
        if self._first is not None:
            parts.append(self._event(pb.StreamResponse(task=self._first)))
            self._told = self._first.status.state
            self._first = None
        for each in self._feed.activities:
            self._shown = each.seq
            now = pb.TaskStatus(state=pb.TaskState.Value("TASK_STATE_WORKING"))
            now.timestamp.FromDatetime(each.stored_at)
            now.message.CopyFrom(said(self._row, each.seq, orjson.loads(each.activity)))
            parts.append(self._update(now))
            self._told = now.state
        if self._is_read and not self._feed.activities:
            self._shown = max(self._shown, self._feed.count)  # what is gone will not come
        if self._is_whole and self._feed.status not in ENDED:
            here = state(self._row.status)
            if here != self._told and not self._is_later(here):
                parts.append(self._update(status(self._row)))
                self._told = here
        return b"".join(parts)

    def end(self) -> bytes | None:
        """The artefacts and the final state of a task that has ended."""
        if self._feed.status not in ENDED:
            return None
        events = [
            self._event(
                pb.StreamResponse(
                    artifact_update=pb.TaskArtifactUpdateEvent(
                        task_id=self._row.session_id,
                        context_id=self._row.context_id,
                        artifact=artifact,
                        last_chunk=True,
                    )
                )
            )
            for artifact in made(self._row, self._results)
        ]
        return b"".join([*events, self._update(status(self._row))])

    @property
    def seen(self) -> tuple[int, str] | None:
        """Number of activities and status, when all of them are shown."""
        return (self._feed.count, self._feed.status) if self._is_whole else None

    async def read(self, watcher: Watcher) -> None:
        """Read on after the last activity shown; raises what ends the stream."""
        feed = await session_feed.read(
            self._user, self._projects, self.key[1], self._shown, PORTION
        )
        async with database.statement() as db:
            self._row = await found(db, self._user, self._projects, self.key[1])
            if self._row.status in ENDED:
                results = await a2a_tasks.results(db, self.key[0], [self.key[1]])
                self._results = results.get(self.key[1], [])
        self._feed = feed or self._feed
        self._is_read = True

    @property
    def _is_whole(self) -> bool:
        return self._is_read and self._shown >= self._feed.count

    def _is_later(self, here: int) -> bool:
        """Whether the agent has been heard since the state that is stored: reports overtake."""
        return bool(here == pb.TaskState.Value("TASK_STATE_SUBMITTED") and self._told)

    def _update(self, now: pb.TaskStatus) -> bytes:
        return self._event(
            pb.StreamResponse(
                status_update=pb.TaskStatusUpdateEvent(
                    task_id=self._row.session_id, context_id=self._row.context_id, status=now
                )
            )
        )

    def _event(self, event: pb.StreamResponse) -> bytes:
        return b"id: %d\ndata: %s\n\n" % (self._shown, orjson.dumps(answer(self._call, event)))
