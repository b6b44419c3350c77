"""Webhooks come in by the thousand, some twice, while the job process is killed again and again."""

import asyncio
import json
import os
import secrets
import signal
import time
from collections import Counter
from contextlib import suppress

import pytest

from bench.connections import Caller, Connection, request
from bench.servers import LINEAR_SECRET, SYSTEM_KEY
from bench.tenants import Tenant
from tests import provider_payloads
from tests.factories import linear_event, signed
from tests.prove.fleet import recorded

pytestmark = pytest.mark.prove

FULL = 10_000
SENDERS = 8  # of two connections each
TWICE = 40  # of so many, two come twice: one of GitHub's and one of Linear's
WAYS = ("same id", "new id", "at once", "a day later")
KILLS = 40  # after every few seconds of its work
FLOOD = 2_000
SINGLES = 5
REPOSITORY = "acme/billing"
WORKSPACE = "lin-of-the-flood"


def message(provider, given):
    """A delivery as it goes over the wire."""
    headers = {k: v for k, v in given["headers"].items() if k != "Content-Type"}
    return request(
        "POST", f"/api/webhooks/ingest/{provider}", body=given["content"], headers=headers
    )


def delivery(number):
    """A delivery, and the same body under another id. By turns Linear's and GitHub's."""
    if number % 2:
        event = json.dumps(
            linear_event(WORKSPACE, f"flood-{number}", identifier=f"FLOOD-{number}")
        ).encode()
        return [message("linear", signed(LINEAR_SECRET, event)) for _ in range(2)]
    payload = provider_payloads.merged(
        REPOSITORY, number=number + 1, title=f"ENG-{number // 2 + 1}", head={"ref": "x"}
    )
    body = json.dumps(payload).encode()
    return [
        message("github", provider_payloads.delivered("github", body, event="pull_request"))
        for _ in range(2)
    ]


async def map_workspaces(tenant, workspaces=(("linear", WORKSPACE), ("github", REPOSITORY))):
    system = Caller(tenant.port, SYSTEM_KEY)
    for provider, workspace in workspaces:
        mapping = {"provider": provider, "workspaceId": workspace, "projectId": tenant.project_id}
        answer = await system.post(f"/api/org/{tenant.org_id}/workspaces", mapping)
        assert answer.status == 201, answer.body
    system.close()


class Senders:
    """Sixteen connections, and what came back over them."""

    def __init__(self, port):
        self._port = port
        self.new = 0
        self.repeats = 0
        self.waits = []
        self.unexpected = []

    async def send(self, work):
        """Send all that is in `work`; a pair goes out in one moment, over two connections."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send(work))

    async def _send(self, work):
        ends = [await Connection.open(self._port) for _ in range(2)]
        for together in work:
            await asyncio.gather(
                *(self._ask(end, each) for end, each in zip(ends, together, strict=False))
            )
        for end in ends:
            end.close()

    async def _ask(self, end, each):
        begun = time.perf_counter()
        answer = await end.ask(each)
        self.waits.append(time.perf_counter() - begun)
        if answer.status != 200:
            self.unexpected.append((answer.status, answer.body))
        elif answer.json().get("duplicate"):
            self.repeats += 1
        else:
            self.new += 1

    def wait(self, share):
        return sorted(self.waits)[int(len(self.waits) * share)] * 1000


async def kill_jobs(server, events, count, kills, killed):
    """Kill the job process again and again, each time in the midst of its work."""
    for number in range(1, kills + 1):
        while (await events.outcomes())["done", 1] < count * number / (kills + 1):
            await asyncio.sleep(0.05)
        # One that was killed a moment ago may not have been started again yet.
        with suppress(LookupError, ProcessLookupError):
            os.kill(server.jobs().pid, signal.SIGKILL)
            killed.append(number)


class Events:
    """What the server has stored since this began."""

    def __init__(self, owner, first):
        self._owner = owner
        self._first = first

    @classmethod
    async def begin(cls, owner):
        rows = await owner.execute("select coalesce(max(position), 0) as at from webhook_events")
        return cls(owner, (await rows.fetchone()).at)

    async def outcomes(self):
        """How many events there are in which state after how many tries."""
        rows = await self._owner.execute(
            "select status, attempts, count(*) as n from webhook_events where position > %s"
            " group by status, attempts",
            (self._first,),
        )
        return Counter({(row.status, row.attempts): row.n for row in await rows.fetchall()})

    async def become_older(self):
        """A day goes by."""
        await self._owner.execute(
            "update webhook_events set received_at = received_at - interval '1 day',"
            " next_try_at = next_try_at - interval '1 day', done_at = done_at - interval '1 day'"
            " where position > %s",
            (self._first,),
        )


async def waiting(owner):
    rows = await owner.execute(
        "select count(*) as n from webhook_events where status in ('received', 'failed')"
    )
    return (await rows.fetchone()).n


async def test_every_webhook_is_done_once_however_often_it_comes_and_whoever_is_killed(
    shared_server, connect, scaled, capsys
):
    count = scaled(FULL, enough=400) // 2 * 2
    server = shared_server
    owner, other = [await connect(server.owner_url) for _ in range(2)]
    events, seen_by_the_killer = [await Events.begin(each) for each in (owner, other)]
    tenant = await Tenant.make(server.port, f"flood-{secrets.token_hex(4)}")
    await map_workspaces(tenant)
    await tenant.queue(owner, count // 2, "made-")
    await owner.execute(
        "update sessions set status = 'completed', provider = 'claude', lease_epoch = 1"
        " where org_id = %s",
        (tenant.org_id,),
    )
    singles, late = [], []
    for number in range(count):
        first, renamed = delivery(number)
        way = WAYS[number // TWICE % len(WAYS)] if number % TWICE in {0, 21} else None
        singles.append((first, first) if way == "at once" else (first,))
        if way == "same id":
            singles.append((first,))
        elif way == "new id":
            singles.append((renamed,))
        elif way == "a day later":
            late.append((first if number % 2 else renamed,))
    # Two at a time on each sender's two connections, but for those that come at once anyway.
    pairs = [each for each in singles if len(each) == 2]
    ones = [each[0] for each in singles if len(each) == 1]
    work = [*pairs, *(tuple(ones[n : n + 2]) for n in range(0, len(ones), 2))]
    senders, killed = Senders(server.port), []
    begun = time.monotonic()

    killing = asyncio.create_task(
        kill_jobs(server, seen_by_the_killer, count, scaled(KILLS, enough=3), killed)
    )
    await senders.send(iter(work))
    acknowledged = time.monotonic() - begun
    deadline = begun + 200 + count / 15
    while (so_far := await events.outcomes()) != {("done", 1): count}:
        assert time.monotonic() < deadline, (so_far, len(killed))
        await asyncio.sleep(0.5)
    seconds = time.monotonic() - begun
    await killing
    await events.become_older()
    await senders.send(iter(late))

    with capsys.disabled():
        print(
            f"\n{count:,} webhooks and {senders.repeats:,} repeats: acknowledged in "
            f"{acknowledged:.1f} s (p50 {senders.wait(0.5):.1f} ms, p99 {senders.wait(0.99):.1f} ms"
            f" at 16 connections), done in {seconds:.1f} s with {len(killed)} kills"
        )
    assert senders.unexpected == []
    assert (senders.new, senders.repeats) == (count, len(singles) + len(pairs) + len(late) - count)
    assert len(killed) > 1
    assert await events.outcomes() == {("done", 1): count}
    made = Counter(f"flood-{number}" for number in range(1, count, 2))
    earned = Counter(f"made-{number}" for number in range(1, count // 2 + 1))
    assert await recorded(owner, tenant.org_id, "session.queued") == made
    assert await recorded(owner, tenant.org_id, "session.routing_feedback") == earned
    assert await recorded(owner, tenant.org_id, "session.linked") == earned
    rows = await owner.execute(
        "select observations, alpha from routing_arms where org_id = %s", (tenant.org_id,)
    )
    (arm,) = await rows.fetchall()
    assert arm.observations == count // 2


async def test_a_flood_of_one_organization_holds_up_no_other(serve, connect, scaled, capsys):
    count = scaled(FLOOD, 400)
    server = serve()
    owner = await connect(server.owner_url)
    flooding, quiet = [
        await Tenant.make(server.port, f"{name}-{secrets.token_hex(4)}") for name in ("a", "b")
    ]
    await map_workspaces(flooding, [("linear", WORKSPACE)])
    await map_workspaces(quiet, [("linear", "lin-of-the-quiet")])
    flood = [linear_event(WORKSPACE, f"flood-{number}") for number in range(count)]
    senders = Senders(server.port)
    os.kill(server.jobs().pid, signal.SIGSTOP)
    await senders.send(iter([(message("linear", signed(LINEAR_SECRET, each)),) for each in flood]))
    os.kill(server.jobs().pid, signal.SIGCONT)

    waits = []
    for number in range(SINGLES):
        single = linear_event("lin-of-the-quiet", f"single-{number}")
        await senders.send(iter([(message("linear", signed(LINEAR_SECRET, single)),)]))
        begun = time.monotonic()
        while (await recorded(owner, quiet.org_id, "session.queued")).total() == number:
            assert time.monotonic() < begun + 60
            await asyncio.sleep(0.01)
        waits.append(time.monotonic() - begun)
    left = await waiting(owner)

    with capsys.disabled():
        print(
            f"\n{SINGLES} events beside a flood of {count:,}: done after "
            f"{', '.join(f'{wait * 1000:.0f}' for wait in waits)} ms; {left:,} of it were left"
        )
    assert senders.unexpected == []
    assert left > count / 2
