"""Workers that are killed and stopped: nothing lost, nothing started twice, nobody robbed."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest

from bench.tenants import Tenant
from demo.crew import Crew
from demo.ledger import ACCEPTED, COMPLETED, DELIVERED, REFUSED, Line
from tests.factories import HAPPENED
from tests.prove.shared import LEASE_SECONDS

pytestmark = pytest.mark.prove

SESSIONS = 2_000
WORKERS = 16
PAUSES = 100
PAUSED_AT_ONCE = 3

PAUSE_SECONDS = (1.0, 3.0)
HIRE_SECONDS = 0.2
SEED = 20


@dataclass(frozen=True)
class Event:
    """One audit event of a session."""

    type: str
    session: str
    worker: str
    epoch: int | None
    at: float


async def test_workers_killed_every_second_and_stopped_inside_their_lease(
    hasty_server, connect, folder, scaled, capsys
):
    count, pauses = scaled(SESSIONS, 200), scaled(PAUSES, 10)
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "fleet")
    await tenant.queue(owner, count, "ses-")
    crew = Crew(server.port, tenant.worker_key, folder, capacity=4, step_seconds=0.25)
    begun = time.monotonic()

    try:
        async with asyncio.timeout(90 + count / 5):
            await work_through(crew, tenant, owner, count, pauses)
    finally:
        await asyncio.to_thread(crew.dismiss)
    seconds = time.monotonic() - begun
    crew.read()
    events = await happened(owner, tenant)
    back = sorted(await seconds_to_come_back(owner, crew.lines, events))

    killed = {each.worker_id for each in crew.members if each.killed}
    robbed = [each for each in events if each.type == "lease_ended" and each.worker not in killed]
    with capsys.disabled():
        print(
            f"\n{count:,} sessions in {seconds:.0f} s under {crew.kills['killed']} kill -9 and"
            f" {crew.kills['paused']} pauses: {len(back)} leases ended, back in the queue after"
            f" p50 {percentile(back, 50):.2f} s, p99 {percentile(back, 99):.2f} s"
        )
    assert crew.kills["paused"] >= pauses
    assert crew.kills["killed"] >= scaled(30, 5)
    assert await statuses(owner, tenant) == {"completed": count}
    assert Counter(each.session for each in events if each.type == "completed") == Counter(
        f"ses-{n}" for n in range(1, count + 1)
    )
    assert twice_at_once(events) == []
    assert stale_writes(crew.lines) == []
    assert robbed == []
    assert back, "no lease ended, so nothing was proved"
    assert percentile(back, 99) <= 5


async def work_through(crew, tenant, owner, count, pauses):
    """Let the crew empty the queue while one is killed each second and others stand still."""
    chance = random.Random(SEED)
    crew.hire(WORKERS)
    while sum(bool(each.worker_id) for each in crew.alive) < WORKERS:
        await asyncio.sleep(0.1)
        crew.read()
    ended = asyncio.Event()

    async def kill():
        while not ended.is_set():
            await asyncio.sleep(1)
            crew.read()
            if member := crew.pick(chance):
                crew.kill(member)
                crew.hire()

    async def pause():
        while not ended.is_set():
            member = crew.pick(chance)
            if member is None:
                await asyncio.sleep(HIRE_SECONDS)
                continue
            crew.pause(member)
            await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))
            crew.resume(member)
            await asyncio.sleep(HIRE_SECONDS)

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        for _ in range(PAUSED_AT_ONCE):
            group.create_task(pause())
        while (await statuses(owner, tenant)).get("completed", 0) < count:
            await asyncio.sleep(0.5)
        while crew.kills["paused"] < pauses:
            await asyncio.sleep(0.1)
        ended.set()


async def statuses(owner, tenant):
    rows = await owner.execute(
        "select status, count(*) as count from sessions where org_id = %s group by status",
        (tenant.org_id,),
    )
    return {row.status: row.count for row in await rows.fetchall()}


async def happened(owner, tenant):
    """What the audit log says of the sessions, in its order."""
    rows = await owner.execute(
        "select event_type, entity_id, coalesce(payload ->> 'workerId', actor_id) as worker,"
        " (payload ->> 'leaseEpoch')::integer as epoch, extract(epoch from occurred_at) as at"
        f" from ({HAPPENED}) as happened where org_id = %s and entity_type = 'session'"
        " order by place",
        (tenant.org_id,),
    )
    return [
        Event(
            row.event_type.removeprefix("session."),
            row.entity_id,
            row.worker,
            row.epoch,
            float(row.at),
        )
        for row in await rows.fetchall()
    ]


def twice_at_once(events):
    """Claims of a session that somebody held at that time."""
    holder, found = {}, []
    for event in sorted(events, key=lambda each: each.session):
        if event.type == "claimed":
            if event.session in holder:
                found.append(event)
            holder[event.session] = event.worker
        elif event.type in {"lease_ended", "completed"}:
            holder.pop(event.session, None)
    return found


def stale_writes(lines):
    """Writes of a worker that were sent after another had been given the session, and accepted."""
    deliveries = defaultdict(list)
    for line in lines:
        if line.what == DELIVERED:
            deliveries[line.session].append(line)
    return [
        line
        for line in lines
        if line.what == ACCEPTED
        and any(
            later.epoch > line.epoch and later.worker != line.worker and later.at < line.at
            for later in deliveries[line.session]
        )
    ]


async def seconds_to_come_back(owner, lines, events):
    """From the end of each lease to the session's return to the queue."""
    rows = await owner.execute("select id, extract(epoch from covered_at) as at from workers")
    covered = {row.id: float(row.at) for row in await rows.fetchall()}
    touched: dict[tuple[str, str], float] = {}
    for each in (*lines, *(event for event in events if event.type == "claimed")):
        if isinstance(each, Event) or each.what == ACCEPTED:
            known = touched.get((each.worker, each.session), 0.0)
            touched[each.worker, each.session] = max(known, each.at)
    return [
        event.at - max(covered[event.worker], touched[event.worker, event.session]) - LEASE_SECONDS
        for event in events
        if event.type == "lease_ended"
    ]


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def test_the_checks_find_what_they_look_for():
    good = [
        Event("claimed", "s", "a", 1, 1.0),
        Event("lease_ended", "s", "a", 1, 2.0),
        Event("claimed", "s", "b", 2, 3.0),
        Event("completed", "s", "b", 2, 4.0),
    ]
    assert twice_at_once(good) == []
    assert twice_at_once([good[0], *good[2:]]) == [good[2]]
    lines = [
        Line(1.0, DELIVERED, "a", "s", 1),
        Line(1.5, ACCEPTED, "a", "s", 1),
        Line(3.0, DELIVERED, "b", "s", 2),
        Line(3.5, REFUSED, "a", "s", 1),
        Line(4.0, COMPLETED, "b", "s", 2),
    ]
    assert stale_writes(lines) == []
    late = Line(3.2, ACCEPTED, "a", "s", 1)
    assert stale_writes([*lines, late]) == [late]
