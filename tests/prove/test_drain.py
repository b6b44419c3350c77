"""A full queue is emptied: nothing is lost, nothing is done twice, whoever is killed meanwhile."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress

import pytest

from bench.tenants import Tenant
from tests.prove.fleet import drain, epochs, recorded

pytestmark = pytest.mark.prove

FULL = 10_000
KILLED_AT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


async def test_ten_thousand_sessions_are_each_delivered_and_completed_exactly_once(
    shared_server, connect, scaled, capsys
):
    count = scaled(FULL, enough=300)
    server = shared_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "drain")
    await tenant.queue(owner, count, "ses-")
    everything = Counter(f"ses-{n}" for n in range(1, count + 1))

    drained = await drain(
        tenant, owner, count=count, beat_seconds=10, at_most_seconds=60 + count / 20
    )

    with capsys.disabled():
        print(f"\n{count:,} sessions in {drained.seconds:.1f} s: {count / drained.seconds:.0f}/s")
    assert drained.ledger.unexpected == []
    assert drained.ledger.taken_away == []
    assert drained.ledger.delivered == everything
    assert drained.ledger.completed == everything
    assert drained.ended == {"completed": count}
    assert await recorded(owner, tenant.org_id, "session.claimed") == everything
    assert await recorded(owner, tenant.org_id, "session.completed") == everything
    rows = await owner.execute(
        "select count(*), min(seq), max(seq) from activities where org_id = %s",
        (tenant.org_id,),
    )
    assert tuple(await rows.fetchone()) == (count, 1, 1)


async def test_killed_web_and_job_processes_lose_no_session_and_complete_none_twice(
    hasty_server, connect, scaled, capsys
):
    count = scaled(FULL, enough=400)
    moments = KILLED_AT[:: len(KILLED_AT) // scaled(len(KILLED_AT), 2)]
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "killed")
    await tenant.queue(owner, count, "ses-")
    everything = Counter(f"ses-{n}" for n in range(1, count + 1))
    killed: Counter[str] = Counter()

    async def kill(done) -> None:
        for share in moments:
            while done() < count * share:
                await asyncio.sleep(0.02)
            for name, find in (("web", lambda: server.web_processes()[0]), ("jobs", server.jobs)):
                # One that was killed a moment ago may not have been started again yet.
                with suppress(LookupError):
                    os.kill(find().pid, signal.SIGKILL)
                    killed[name] += 1

    drained = await drain(
        tenant,
        owner,
        count=count,
        beat_seconds=1,
        at_most_seconds=150 + count / 15,
        meanwhile=kill,
    )

    held = await epochs(owner, tenant.org_id)
    with capsys.disabled():
        print(
            f"\n{count:,} sessions in {drained.seconds:.1f} s with {killed.total()} kills: "
            f"{len(held) - count} claims came back, {drained.ledger.offered_again} offered again, "
            f"{len(drained.ledger.taken_away)} refused late"
        )
    assert drained.ledger.unexpected == []
    assert killed["web"] > 1
    assert killed["jobs"] > 1
    assert drained.ended == {"completed": count}
    assert await recorded(owner, tenant.org_id, "session.completed") == everything
    assert max(Counter(held).values()) == 1, "two holders of one lease epoch"
    delivered = Counter((session, epoch) for session, epoch, _ in drained.ledger.deliveries)
    assert max(delivered.values()) == 1, "one lease epoch was delivered twice"
    assert set(delivered) <= {(session, int(epoch)) for session, epoch in held}
    assert all(times == 1 for times in drained.ledger.completed.values())
