"""Leases end while the job process is killed: no packet is missing, and none is there twice."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from bench.tenants import Tenant

pytestmark = pytest.mark.prove

FULL = 5_000
BOUND_SECONDS = 240

LOSE_ALL = """
update sessions s set status = 'running', worker_id = %(worker)s, slot_worker_id = %(worker)s,
       lease_epoch = 1, last_call_at = now() - interval '1 hour'
 where org_id = %(org)s
"""
LEFT = """
select s.status, s.attempts, count(p.id) as packets,
       bool_and(p.id is not distinct from s.recovery_packet_id) as rides
  from sessions s
  left join recovery_packets p on p.org_id = s.org_id and p.session_id = s.id
 where s.org_id = %s group by s.id, s.status, s.attempts
"""


async def test_kill_9_between_a_lease_and_its_packet_leaves_both_or_none(
    hasty_server, connect, scaled, capsys
):
    count = scaled(FULL, 500)
    server = hasty_server
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, "recovery")
    worker = await tenant.worker(capacity=count)
    await tenant.queue(owner, count, "ses-")
    await owner.execute(LOSE_ALL, {"worker": worker.id, "org": tenant.org_id})
    killed, left = 0, count

    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            found = await owner.execute(
                "select count(*) as held from sessions where org_id = %s and status = 'running'",
                (tenant.org_id,),
            )
            held = (await found.fetchone()).held
            if held == 0:
                break
            if held < left:
                # One that was killed a moment ago may not have been started again yet.
                with suppress(LookupError):
                    os.kill(server.jobs().pid, signal.SIGKILL)
                    killed, left = killed + 1, held
            await asyncio.sleep(0.05)

    rows = await (await owner.execute(LEFT, (tenant.org_id,))).fetchall()
    with capsys.disabled():
        print(f"\n{len(rows):,} leases ended under {killed} kills of the job process")
    assert killed > 1
    assert len(rows) == count
    assert {tuple(row) for row in rows} == {("pending", 1, 1, True)}
