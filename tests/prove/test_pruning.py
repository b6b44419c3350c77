"""A backlog of months is pruned by two processes, one of which is killed again and again."""

import asyncio
import os
import secrets
import signal
import time
from contextlib import suppress

import pytest

import settings
from bench.tenants import Tenant
from jobs.prune import prune
from persistence import database

pytestmark = pytest.mark.prove

FULL = 20_000
KILLS = 20
FRAMES = 20
KEPT = 500
"""Of each kind, and young."""

FILL = """
insert into webhook_events (id, correlation_id, provider, verified_by, body, org_id, status,
                            done_at)
select %(mark)s || n, 'c', 'linear', %(org)s, 'x', %(org)s, 'done',
       now() - case when n > %(count)s then interval '1 hour' else interval '90 days' end
  from generate_series(1, %(count)s + %(kept)s) n;
insert into webhook_deliveries
select 'linear', %(org)s, 'id', %(mark)s || n, %(mark)s || n from generate_series(1, %(count)s) n;
insert into outbox (org_id, project_id, issue_id, kind, payload, status, next_try_at)
select %(org)s, %(project)s, 'i', 'comment', '{}', 'sent',
       now() - case when n > %(count)s then interval '1 hour' else interval '9 days' end
  from generate_series(1, %(count)s + %(kept)s) n;
insert into outbox (org_id, project_id, issue_id, kind, payload, next_try_at)
select %(org)s, %(project)s, 'held', 'comment', '{}', now() + interval '1 day'
  from generate_series(1, %(kept)s);
insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier, work_type,
                      priority, status, finished_at, activity_count)
select %(org)s, 's-' || n, %(project)s, lpad(to_hex(n), 16, '0'), 'i-' || n, 'I-' || n, 'qa', 3,
       'completed', now() - interval '40 days', %(frames)s
  from generate_series(1, %(few)s) n;
insert into activities (org_id, session_id, seq, type, activity)
select %(org)s, 's-' || n, a, 'thought', '{}'
  from generate_series(1, %(few)s) n, generate_series(1, %(frames)s) a;
insert into interviews (org_id, id, session_id, request_hash)
select %(org)s, 'int-' || n, 's-' || n, '' from generate_series(1, %(few)s) n;
insert into interview_turns (org_id, session_id, number, claimed_at, turn_id, begun_at)
select %(org)s, 's-' || n, 1, now(), 'turn-0', now() - interval '40 days'
  from generate_series(1, %(few)s) n;
insert into interview_frames (org_id, session_id, turn, index, text, done)
select %(org)s, 's-' || n, 1, f, 'x', false
  from generate_series(1, %(few)s) n, generate_series(1, %(frames)s) f
"""

LEFT = """
select (select count(*) from webhook_events where done_at < now() - interval '31 days')
     + (select count(*) from outbox
        where status = 'sent' and next_try_at < now() - interval '2 days')
     + (select count(*) from activities) + (select count(*) from interview_frames) as old,
       (select count(*) from webhook_events) as events, (select count(*) from outbox) as outbox,
       (select count(*) from webhook_deliveries) as deliveries,
       (select count(*) from sessions) as sessions,
       (select count(*) from sessions where activities_pruned_at is null) as unpruned
"""

HALF = """
select t.session_id from interview_turns t
  left join interview_frames f on f.org_id = t.org_id and f.session_id = t.session_id
 group by t.org_id, t.session_id, t.number
having count(f.index) not in (0, %(frames)s)
    or (count(f.index) = 0) <> (max(t.pruned_to) is not null)
union all
select s.id from sessions s where s.activities_pruned_at is not null
   and exists (select 1 from activities a where a.org_id = s.org_id and a.session_id = s.id)
"""
"""Turns that have lost some frames and not all, and sessions said to have no activities that do."""


async def kill_jobs(server, kills, killed, until):
    """Kill the job process again and again, soon after each start."""
    while len(killed) < kills and not until.done():
        await asyncio.sleep(0.2)
        with suppress(LookupError, ProcessLookupError):
            os.kill(server.jobs().pid, signal.SIGKILL)
            killed.append(time.monotonic())


async def test_a_backlog_goes_whole_whoever_is_killed_and_what_is_kept_stays(
    serve, connect, scaled, capsys, monkeypatch
):
    count = scaled(FULL, 2000)
    server = serve(RENSEI_ACTIVITIES_KEPT_SECONDS="2592000")
    owner = await connect(server.owner_url)
    tenant = await Tenant.make(server.port, f"prune-{secrets.token_hex(4)}")
    values = {"org": tenant.org_id, "project": tenant.project_id, "mark": secrets.token_hex(4)}
    values |= {"count": count, "kept": KEPT, "few": count // FRAMES, "frames": FRAMES}
    async with owner.transaction():  # a job that runs meanwhile sees all of it, or nothing
        for statement in FILL.split(";"):
            await owner.execute(statement, values)
    kept = {"RENSEI_ACTIVITIES_KEPT_SECONDS": "2592000"}
    monkeypatch.setattr(settings, "_current", settings.Settings.from_environment(kept))
    here = database.Database(server.owner_url)
    await here.open()
    begun, cpu, killed, halves = time.monotonic(), time.process_time(), [], []

    async def prune_here():
        while (await (await owner.execute(LEFT)).fetchone()).old:
            with database.using(here):
                await prune()
            rows = await owner.execute(HALF, values)
            halves.extend(await rows.fetchall())

    pruning = asyncio.create_task(prune_here())
    killing = asyncio.create_task(kill_jobs(server, scaled(KILLS, 3), killed, pruning))
    try:
        await asyncio.wait_for(pruning, 120 + count / 50)
    finally:
        await killing
        await here.close()
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    row = await (await owner.execute(LEFT)).fetchone()

    with capsys.disabled():
        print(
            f"\n{4 * count:,} old rows pruned in {seconds:.1f} s ({cpu:.1f} s CPU here),"
            f" {len(killed)} kills"
        )
    assert killed
    assert halves == []
    assert (row.events, row.outbox) == (KEPT, 2 * KEPT)
    assert (row.deliveries, row.sessions) == (count, count // FRAMES)
    assert row.unpruned == 0
