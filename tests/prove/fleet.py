"""Daemons as they behave: they poll, work, report, send heartbeats, and try again."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bench.connections import Answer, Caller
from bench.tenants import Tenant, Worker

EMPTY_PAUSE_SECONDS = 0.05


@dataclass
class Ledger:
    """What the fleet has seen, over all its workers."""

    deliveries: list[tuple[str, int, str]] = field(default_factory=list)
    """(session, lease epoch, worker) of every poll answer."""
    completed: Counter[str] = field(default_factory=Counter)
    offered_again: int = 0
    """Times that a worker was offered what it still held and had said nothing about yet."""
    taken_away: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> Counter[str]:
        return Counter(session for session, _, _ in self.deliveries)


class Daemon:
    """One worker with several connections, each of which works on one session at a time."""

    def __init__(self, tenant: Tenant, worker: Worker, ledger: Ledger, beat_seconds: float) -> None:
        self.worker = worker
        self.holding: set[tuple[str, int]] = set()
        """(session, lease epoch) of what it works on."""
        self._port = tenant.port
        self._ledger = ledger
        self._beat_seconds = beat_seconds

    async def run(self, connections: int, done: asyncio.Event) -> None:
        """Work until `done` is set."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(done))
            for _ in range(connections):
                group.create_task(self._work(done))

    async def _beat(self, done: asyncio.Event) -> None:
        caller = Caller(self._port, self.worker.token)
        while not done.is_set():
            # A heartbeat that is lost is followed by the next one anyway.
            with suppress(OSError):
                await caller.post(
                    f"/api/workers/{self.worker.id}/heartbeat",
                    {"activeCount": len({session for session, _ in self.holding})},
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), self._beat_seconds)
        caller.close()

    async def _work(self, done: asyncio.Event) -> None:
        caller = Caller(self._port, self.worker.token)
        while not done.is_set():
            # What an answer lost on its way offered is offered again: a daemon knows what it holds.
            offered = await self._poll(caller)
            work = [each for each in offered if _held(each) not in self.holding]
            self._ledger.offered_again += len(offered) - len(work)
            for each in work:
                self.holding.add(_held(each))
                self._ledger.deliveries.append((*_held(each), self.worker.id))
            for each in work:
                await self._finish(caller, each)
                self.holding.discard(_held(each))
            if not offered:
                await asyncio.sleep(EMPTY_PAUSE_SECONDS)
        caller.close()

    async def _poll(self, caller: Caller) -> list[dict[str, Any]]:
        """One poll, not repeated by itself: its answer, with what it gave, may be lost."""
        try:
            answer = await caller.get(f"/api/workers/{self.worker.id}/poll")
        except OSError:
            return []
        if answer.status == 503:
            return []
        self._note(answer, "poll")
        return list(answer.json()["work"]) if answer.status == 200 else []

    async def _finish(self, caller: Caller, work: dict[str, Any]) -> None:
        """A session from start to end; whoever hears that it is another's stops there."""
        session_id, epoch = work["sessionId"], work["leaseEpoch"]
        common = {"workerId": self.worker.id, "leaseEpoch": epoch}
        activity = {"type": "thought", "content": "Reading", "timestamp": "2026-07-01T09:00:00Z"}
        for path, body in (
            ("status", {"status": "running"}),
            ("activity", {"activity": activity}),
            ("completion", {"summary": f"Mended {session_id}."}),
            ("status", {"status": "completed"}),
        ):
            answer = await caller.insist(
                "POST", f"/api/sessions/{session_id}/{path}", common | body
            )
            if answer.status == 403:
                self._ledger.taken_away.append(session_id)
                return
            self._note(answer, path)
            if answer.status != 200:
                return
        self._ledger.completed[session_id] += 1

    def _note(self, answer: Answer, what: str) -> None:
        if answer.status != 200:
            self._ledger.unexpected.append(f"{what}: {answer.status} {answer.body.decode()}")


def _held(work: dict[str, Any]) -> tuple[str, int]:
    return work["sessionId"], work["leaseEpoch"]


@dataclass(frozen=True)
class Drain:
    """What came of emptying a queue."""

    ledger: Ledger
    seconds: float
    ended: Counter[str]
    """How many sessions ended in which status."""


async def drain(
    tenant: Tenant,
    owner: Any,
    *,
    count: int,
    beat_seconds: float,
    at_most_seconds: float,
    meanwhile: Any = None,
) -> Drain:
    """Two workers at sixteen connections empty the queue of `count` sessions.

    `meanwhile`, a coroutine function, gets a function that says how many sessions are done.
    """
    ledger = Ledger()
    workers = [await tenant.worker(capacity=1_000_000) for _ in range(2)]
    daemons = [Daemon(tenant, worker, ledger, beat_seconds) for worker in workers]
    done = asyncio.Event()
    begun = time.monotonic()
    ended: Counter[str] = Counter()
    async with asyncio.timeout(at_most_seconds), asyncio.TaskGroup() as group:
        for daemon in daemons:
            group.create_task(daemon.run(8, done))
        if meanwhile is not None:
            group.create_task(meanwhile(lambda: len(ledger.completed)))
        while ended.total() < count:
            await asyncio.sleep(0.05 if len(ledger.completed) > count * 0.9 else 0.5)
            if len(ledger.completed) > count * 0.9:
                ended = await _ended(owner, tenant)
        seconds = time.monotonic() - begun
        done.set()
    return Drain(ledger, seconds, ended)


async def _ended(owner: Any, tenant: Tenant) -> Counter[str]:
    rows = await owner.execute(
        "select status, count(*) as count from sessions where org_id = %s"
        " and status in ('completed', 'failed', 'stopped') group by status",
        (tenant.org_id,),
    )
    return Counter({row.status: row.count for row in await rows.fetchall()})


async def recorded(owner: Any, org_id: str, event_type: str) -> Counter[str]:
    """How many audit events of a type there are of each entity, sealed or not."""
    return Counter(row.entity_id for row in await _events(owner, org_id, event_type))


async def epochs(owner: Any, org_id: str) -> list[tuple[str, str]]:
    """(session, lease epoch) of every time that a worker became a session's holder."""
    rows = [
        row
        for event_type in ("session.claimed", "session.taken_back")
        for row in await _events(owner, org_id, event_type)
    ]
    return [(row.entity_id, row.epoch) for row in rows]


async def _events(owner: Any, org_id: str, event_type: str) -> list[Any]:
    # One statement, and so one instant: a row that is being sealed is in one of the two.
    query = " union all ".join(
        "select entity_id, payload::jsonb ->> 'leaseEpoch' as epoch"
        f" from {table} where {column} = %(org)s and event_type = %(type)s"
        for table, column in (("audit_pending", "org_id"), ("audit_events", "workspace_id"))
    )
    rows = await owner.execute(query, {"org": org_id, "type": event_type})
    return list(await rows.fetchall())
