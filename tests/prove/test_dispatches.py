"""Tasks go out to a peer while the job process is killed again and again."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from bench.tenants import Tenant
from tests.sdk_peer import sdk_peer

pytestmark = pytest.mark.prove

FULL = 400
BOUND_SECONDS = 240

# What the killed process had in hand is due at once, not after its time.
TIME_IS_OVER = """
update a2a_dispatches set next_try_at = now()
 where status in ('pending', 'running') and next_try_at > now() + interval '40 seconds'
"""


async def test_kill_9_of_the_sender_loses_nothing_and_doubles_nothing(
    shared_server, connect, scaled, capsys
):
    count, kills = scaled(FULL, 30), scaled(10, 1)
    async with sdk_peer() as peer:

        async def briefly(asked):
            await asyncio.sleep(0.2)

        peer.after = briefly
        server = shared_server
        owner = await connect(server.owner_url)
        tenant = await Tenant.make(server.port, "dispatches")
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{server.port}",
            headers={"Authorization": f"Bearer {tenant.org_key}"},
            timeout=30,
        ) as org:
            made = await org.post("/api/a2a/agents", json={"url": peer.url})
            assert made.status_code == 201, made.text
            path = f"/api/a2a/agents/{made.json()['agent']['id']}/dispatches"
            for _ in range(count):
                sent = await org.post(path, json={"text": "review"})
                assert sent.status_code == 201, sent.text
        killed = 0
        async with asyncio.timeout(BOUND_SECONDS):
            while await completed(owner, tenant) < count:
                # While messages are on their way, which is when most can go wrong.
                share = len(peer.reviewer.asked) / count
                if killed < kills and share >= (killed + 1) / (kills + 1):
                    with suppress(LookupError, ProcessLookupError):
                        os.kill(server.jobs().pid, signal.SIGKILL)
                        killed += 1
                        await owner.execute(TIME_IS_OVER)
                await asyncio.sleep(0.02)
        asked = Counter(each.context_id for each in peer.reviewer.asked)
        again = peer.methods().count("ListTasks")

    with capsys.disabled():
        print(f"\n{count:,} dispatches under {killed} kills, {again} looked for before a repeat")
    assert killed == kills
    assert again > 0
    assert len(asked) == count
    assert set(asked.values()) == {1}


async def completed(owner, tenant):
    rows = await owner.execute(
        "select count(*) as n from a2a_dispatches where status = 'completed' and org_id = %s",
        (tenant.org_id,),
    )
    return (await rows.fetchone()).n
