"""What the fleet page costs: little, and no more after years than on the first day."""

import os
import time

import pytest

from jobs.fold_counts import fold_counts
from pages.fleet.charts import SPANS
from persistence import fleet
from persistence.fleet import STATES, View
from tests import costs

SHARE = float(os.environ.get("PROVE_SHARE", "1"))
READ = ("who", "workers", "queue", "states", "charts", "feed", "sessions", "webhooks")
TABLES = ("sessions", "session_events", "session_counts", "session_count_changes", "webhook_events")

SESSIONS = """
insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier, issue_title,
  work_type, priority, status, holds_issue, queued_at, claimed_at, finished_at, worker_id,
  slot_worker_id, total_cost_usd, updated_at)
select %(org)s, %(name)s || n, %(project)s, substr(md5(%(org)s || %(name)s || n), 1, 16),
  %(name)s || n, 'ENG-' || n, 'Keep the currency of refund ' || n, 'development', 1 + n %% 5,
  %(status)s, %(status)s in ('pending', 'running'),
  now() - %(age)s * interval '1 second' * n - %(before)s * interval '1 day',
  case when %(status)s <> 'pending'
    then now() - %(age)s * interval '0.9 second' * n - %(before)s * interval '1 day' end,
  case when %(status)s not in ('pending', 'running')
    then now() - %(age)s * interval '0.5 second' * n - %(before)s * interval '1 day' end,
  w.id, case when %(status)s = 'running' then w.id end, 0.25,
  now() - %(before)s * interval '1 day'
from generate_series(1, %(count)s) n
left join (select id, row_number() over () as place, count(*) over () as all_of_them
             from workers where org_id = %(org)s) w
  on %(status)s <> 'pending' and w.place = 1 + n %% w.all_of_them
"""

WORKERS = """
insert into workers (id, org_id, project_id, registration_id, hostname, capacity, version, region)
select 'wkr_' || substr(md5(%(org)s || n), 1, 16), %(org)s, %(project)s, k.id, 'forge-' || n, 8,
  '1.4.2', 'eu-north-1'
from generate_series(1, %(count)s) n, (select id from api_keys where org_id = %(org)s limit 1) k
"""

EVENTS = """
insert into webhook_events (id, correlation_id, provider, verified_by, body, org_id, status, type,
  received_at)
select 'evt_' || substr(md5(%(org)s || n || %(status)s), 1, 16), 'c', 'linear', %(org)s, '{}',
  %(org)s, %(status)s, 'linear.issue.updated', now() - n * interval '1 minute'
from generate_series(1, %(count)s) n
"""


async def sessions(make, count, status, *, name, age=1.0, before=0):
    await make.owner.execute(
        SESSIONS,
        {
            "org": make.org_id,
            "project": make.project_id,
            "count": count,
            "status": status,
            "name": name,
            "age": age,
            "before": before,
        },
    )


async def explained(make, view, projects=None):
    values = fleet.values(make.org_id, projects, "no-key", 50, view)
    return await costs.explained(make.owner, fleet.statement(READ, view), values)


async def test_the_page_reads_the_past_no_more_than_it_shows_it(make, run_job):
    await make.worker()
    for status in ("pending", "running", "completed"):
        await sessions(make, 20, status, name=status)
    views = [View(SPANS[1].seconds, SPANS[1].column_seconds, state) for state in ("", *STATES)]
    await sessions(make, 300, "completed", name="few-", before=30)
    await make.owner.execute(EVENTS, {"org": make.org_id, "count": 300, "status": "done"})
    await run_job(fold_counts)
    await costs.vacuum(make, *TABLES)
    few = [(await explained(make, view))[1] for view in views]

    await sessions(make, 3000, "completed", name="many-", before=30)
    await run_job(fold_counts)
    await costs.vacuum(make, *TABLES)

    for projects in (None, [make.project_id]):
        for view, before in zip(views, few, strict=True):
            plan, pages = await explained(make, view, projects)
            # Few webhooks are here, and a small table is read as a whole with good reason.
            assert costs.scanned(plan).isdisjoint({"sessions", "session_events"})
            assert pages <= before + 60, (view, before, pages)


async def test_a_page_is_two_round_trips_beside_the_credential(make):
    browser = await make.browser()
    await browser.get("/fleet")

    with costs.sent() as said:
        await browser.get("/fleet")

    # The credential; the two others, of the page and of the audit log, go past the toolkit.
    assert len(said) == 1


@pytest.mark.prove
async def test_a_thousand_workers_and_ten_thousand_sessions_stay_quick(make, run_job):
    workers, many = max(50, round(1_000 * SHARE)), max(500, round(10_000 * SHARE))
    ids = {"org": make.org_id, "project": make.project_id}
    await make.owner.execute(WORKERS, {**ids, "count": workers})
    for status, share in (
        ("pending", 0.2),
        ("running", 0.3),
        ("completed", 0.45),
        ("failed", 0.05),
    ):
        await sessions(make, round(many * share), status, name=status, age=5.0)
    for status in ("done", "dead", "parked"):
        await make.owner.execute(
            EVENTS, {"org": make.org_id, "count": many // 10, "status": status}
        )
    await run_job(fold_counts)
    await costs.vacuum(make, *TABLES, "workers")
    browser = await make.browser()
    for address in ("/fleet", "/fleet?span=24h&state=completed", "/fleet/parts?parts=glance,feed"):
        spent = []
        for _ in range(12):
            began = time.perf_counter()
            answer = await browser.get(address)
            spent.append(time.perf_counter() - began)
            assert answer.status_code == 200
        print(f"\n{address}: {min(spent) * 1e3:.1f} ms, {len(answer.content) / 1024:.0f} KiB")
        assert min(spent) < 0.25
        assert len(answer.content) < 120 * 1024
