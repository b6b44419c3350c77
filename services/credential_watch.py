"""Spreads rotations to the streams of this process.

Redis says that an organization rotated something, and no more. What was rotated, and what its
values are now, each process reads by itself: once for all its streams, after it has looked whose
credential and session still allow it. Without Redis the look that is taken once a second finds the
rotation. Nobody waits for a slow reader: a stream keeps the last update of each kind until its
client takes it.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from auth import credentials as sealed_credentials
from auth import keyring, tokens
from auth.sealing import WrongMasterKey
from domain.credentials import Credential, Environment, Scope, concerns, environment
from domain.errors import Forbidden, NotFound, Refusal
from domain.ids import new_id
from domain.session_states import ENDED
from persistence import credential_streams, credentials
from persistence.credential_streams import Subscriber
from persistence.ephemeral import nudges
from services import watching
from services.ownership import OWNED_BY_ANOTHER, credential_ended

CHECK_SECONDS: Final = 5.0
"""How long a stream may outlive its credential, its worker or its session."""

TELL_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Update:
    """What the streams of one scope hear of a rotation."""

    number: int
    kind: str
    rotated_at: datetime
    env: dict[str, str] = field(repr=False)


class Subscription(watching.Watcher):
    """One stream: for whom it is, how far it has got, and what it has yet to send."""

    def __init__(
        self, subscriber: Subscriber, scope: Scope, expires_at: int | None, number: int
    ) -> None:
        super().__init__()
        self.subscriber = subscriber
        self.scope = scope
        self.expires_at = expires_at
        self.number = number
        self.over: tuple[str, dict[str, str]] | None = None
        self._updates: dict[str, Update] = {}

    def add(self, update: Update) -> None:
        """Keep an update until the client takes it; a later one of its kind takes its place."""
        self._updates.pop(update.kind, None)
        self._updates[update.kind] = update

    def take(self) -> list[Update]:
        """What there is to send, in the order of the rotations."""
        taken, self._updates = list(self._updates.values()), {}
        return taken

    def finish(self, kind: str, data: dict[str, str]) -> None:
        """End the stream with this event; what it has not sent yet it will not send."""
        self.over = kind, data
        self._updates = {}
        self.wake()


class Watch(watching.Watch[Subscription]):
    """All streams of one process."""

    def __init__(self) -> None:
        super().__init__()
        self.process_id: Final = new_id("proc")
        self._check_at = 0.0
        self._told: Counter[Scope] | None = Counter()
        self._tell_at = 0.0

    @contextmanager
    def following(self, subscription: Subscription) -> Iterator[None]:
        """Give a stream its updates while the block runs."""
        name = nudges.credentials(subscription.scope.org_id)
        with self.attending(name, subscription):
            self.look_soon()
            yield

    def heard(self, name: str) -> None:
        """Something was rotated; the look finds what, and whom it concerns."""
        self.look_soon()

    def count(self, org_id: str, places: Sequence[tuple[str | None, str | None]]) -> int:
        """How many streams of this process a credential for one of these places reaches."""
        return sum(
            subscription.over is None and reaches(subscription.scope, org_id, places)
            for subscription in self.everyone()
        )

    async def look(self) -> None:
        """End the streams that must end, and give the others what was rotated since they began."""
        now = time.time()
        streams = [each for each in self.everyone() if each.over is None]
        for each in streams:
            if each.expires_at is not None and each.expires_at <= now:
                each.finish("error", {"error": tokens.RUNTIME.expired})
        streams = [each for each in streams if each.over is None]
        if streams:
            last = await credential_streams.last_numbers(
                list({each.scope.org_id for each in streams})
            )
            behind = [each for each in streams if each.number < last.get(each.scope.org_id, 0)]
            await self._check(streams, behind)
            await _spread([each for each in behind if each.over is None])
        await self._tell(streams)

    async def leave(self) -> None:
        """Say that this process has no stream any more."""
        await self._tell([])

    async def _check(self, streams: list[Subscription], behind: list[Subscription]) -> None:
        """Look at every stream now and then, and always before a secret is sent."""
        begun = time.monotonic()
        due = streams if begun >= self._check_at else behind
        if not due:
            return
        rows = await credential_streams.standing([each.subscriber for each in due])
        for each, row in zip(due, rows, strict=True):
            refusal = why_not(row)
            if refusal is not None:
                each.finish("error", {"error": refusal.text})
            elif row.status in ENDED:
                each.finish("end", {"status": row.status})
        if due is streams:
            self._check_at = begun + CHECK_SECONDS

    async def _tell(self, streams: list[Subscription]) -> None:
        counts = Counter(each.scope for each in streams if each.over is None)
        if counts != self._told or (counts and time.monotonic() >= self._tell_at):
            # Whether it was told is unknown until the answer is there.
            self._told = None
            await credential_streams.tell(self.process_id, counts)
            self._told, self._tell_at = counts, time.monotonic() + TELL_SECONDS


def why_not(row: Any) -> Refusal | None:
    """The refusal for a subscriber who stands so; None for one who may follow."""
    if not row.alive:
        return credential_ended()
    if row.project_id is None:
        return NotFound("Session not found")
    return None if row.holds else Forbidden(OWNED_BY_ANOTHER)


def reaches(scope: Scope, org_id: str, places: Iterable[tuple[str | None, str | None]]) -> bool:
    """Whether a credential for one of these projects and environments concerns the scope."""
    return scope.org_id == org_id and any(concerns(*place, scope) for place in places)


async def _spread(behind: list[Subscription]) -> None:
    """Give streams what was rotated since; values are read and opened once for all of them."""
    if not behind:
        return
    after: dict[str, int] = {}
    for each in behind:
        org_id = each.scope.org_id
        after[org_id] = min(each.number, after.get(org_id, each.number))
    rotations = await credentials.rotated(after)
    values = _Values(await credentials.present(list({each.scope for each in behind})))
    for each in behind:
        for rotation in rotations:
            if rotation.org_id == each.scope.org_id and rotation.number > each.number:
                each.number = rotation.number
                if update := values.update(each.scope, rotation):
                    each.add(update)
        each.wake()


class _Values:
    """The present values of some organizations' credentials, scope by scope."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._open: dict[str, list[Credential]] = {}
        self._shut: list[Any] = []
        self._scopes: dict[Scope, Environment] = {}
        self._updates: dict[tuple[Scope, str], Update | None] = {}
        master = keyring.current().master
        for row in rows:
            try:
                opened = sealed_credentials.unseal(master, row)
            except WrongMasterKey:
                _log.exception("a credential does not open; its kind is left out")
                self._shut.append(row)
            else:
                self._open.setdefault(row.org_id, []).append(opened)

    def update(self, scope: Scope, rotation: Any) -> Update | None:
        """What a scope hears of a rotation; None when it has nothing of that kind."""
        key = scope, rotation.kind
        if key not in self._updates:
            self._updates[key] = self._make(scope, rotation)
        return self._updates[key]

    def _make(self, scope: Scope, rotation: Any) -> Update | None:
        if any(
            row.kind == rotation.kind
            and reaches(scope, row.org_id, [(row.project_id, row.env_name)])
            for row in self._shut
        ):
            return None
        if scope not in self._scopes:
            self._scopes[scope] = environment(self._open.get(scope.org_id, ()), scope)
        env = self._scopes[scope].of_kind(rotation.kind)
        return Update(rotation.number, rotation.kind, rotation.rotated_at, env) if env else None


_watch: Watch | None = None


def open_watch() -> Watch:
    """Make the watch of this process, from the event loop that will use it."""
    global _watch
    _watch = Watch()
    return _watch


def current() -> Watch:
    """The watch of this process; `open_watch` comes first."""
    if _watch is None:
        raise RuntimeError("no watch: call services.credential_watch.open_watch() at start-up")
    return _watch
