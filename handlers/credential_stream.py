"""Rotations as they happen, for the worker of a session."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from domain.credentials import Scope
from domain.errors import NotFound
from domain.principal import Principal
from domain.session_states import ENDED
from domain.times import iso
from handlers.event_stream import KEEP_ALIVE, EventStream, event
from persistence import credential_streams
from persistence.credential_streams import Subscriber
from services import credential_watch
from services.credential_watch import Subscription, Update
from services.session_feed import number_in

KEEP_ALIVE_SECONDS: Final = 15.0
RECONNECT: Final = b"retry: 2000\n"


async def credential_rotate_stream(
    session_id: str,
    env_name: str,
    user: Principal,
    request: Any,
    last_event_id: str | None,
) -> EventStream:
    """Follow the rotations that concern a session, from the one last seen on."""
    org_id = str(user.org_id)
    subscriber = Subscriber(org_id, session_id, user.worker_id, user.registration_id)
    (row,) = await credential_streams.standing([subscriber])
    refusal = credential_watch.why_not(row)
    if row.alive and (row.project_id is None or not user.sees(row.project_id)):
        refusal = NotFound("Session not found")
    if refusal is not None:
        raise refusal
    place = request.headers.get("last-event-id") or last_event_id
    number = min(number_in(place), row.last_number) if place else row.last_number
    scope = Scope(org_id, row.project_id, env_name)
    subscription = Subscription(subscriber, scope, user.expires_at, number)
    if row.status in ENDED:
        subscription.finish("end", {"status": row.status})
    return EventStream(_events(subscription), credential_watch.current().ended)


async def _events(subscription: Subscription) -> AsyncGenerator[bytes]:
    """Yield updates until the stream, the session or the process ends."""
    watch = credential_watch.current()
    # Whoever connects again without having heard of anything still misses nothing.
    head = RECONNECT + b"id: %d\n\n" % subscription.number
    with watch.following(subscription):
        yield head
        while not watch.ending:
            if updates := subscription.take():
                yield b"".join(map(_update, updates))
            if subscription.over is not None:
                yield event(*subscription.over)
                return
            if not await subscription.wait(KEEP_ALIVE_SECONDS):
                yield KEEP_ALIVE


def _update(update: Update) -> bytes:
    data = {"kind": update.kind, "env": update.env, "rotatedAt": iso(update.rotated_at)}
    return event("UPDATE", data, update.number)
