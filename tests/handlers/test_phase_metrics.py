"""How issues go through their phases, in numbers, and what they cost to read."""

import asyncio
import os

import pytest

from jobs.fold_phases import fold_phases
from persistence import phase_metrics
from tests import costs

URL = "/api/public/phase-metrics"
SHARE = float(os.environ.get("PROVE_SHARE", "1"))
NOTHING = {"avgCycleTimeMs": 0, "avgCostUsd": 0, "avgAttempts": 0, "totalRecords": 0}


async def metrics(caller, time_range=None, **headers):
    query = {} if time_range is None else {"timeRange": time_range}
    answer = await caller.get(URL, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ended(make, issue, work_type, minutes=1, status="completed", project_id=None, **columns):
    """A session of an issue that ended so many minutes after its claim."""
    session_id = await make.session(
        project_id,
        issue_id=issue,
        work_type=work_type,
        status=status,
        claimed_at="2026-01-01T00:00:00Z",
        **columns,
    )
    await make.owner.execute(
        "update sessions set finished_at = claimed_at + make_interval(secs => %s) where id = %s",
        (minutes * 60, session_id),
    )
    return session_id


async def test_an_empty_organization_has_every_phase_and_no_number(make):
    said = await metrics(make.org)

    del said["timestamp"]
    assert said == {
        "timeRange": "30d",
        "phases": dict.fromkeys(("development", "qa", "refinement", "acceptance"), NOTHING),
        "reworkRate": 0,
        "escalationDistribution": {
            "normal": 0,
            "context-enriched": 0,
            "decompose": 0,
            "escalate-human": 0,
        },
        "issueCount": 0,
    }


async def test_sessions_are_counted_by_their_phase(make, run_job):
    await ended(make, "a", "development", 10, total_cost_usd=1)
    await ended(make, "a", "development", 5, total_cost_usd=0.5)
    await ended(make, "b", "development", 6)
    await make.session(issue_id="c", work_type="development")
    await ended(make, "a", "acceptance", 1, total_cost_usd=0.12346)
    await ended(make, "d", "research", 60, total_cost_usd=60)
    await ended(make, "", "qa", 60, total_cost_usd=60)
    await run_job(fold_phases)

    said = await metrics(make.org)

    assert said["phases"] == {
        "development": {
            "avgCycleTimeMs": 420_000,
            "avgCostUsd": 0.375,
            "avgAttempts": 1.3333,
            "totalRecords": 4,
        },
        "qa": NOTHING,
        "refinement": NOTHING,
        "acceptance": {
            "avgCycleTimeMs": 60_000,
            "avgCostUsd": 0.1235,
            "avgAttempts": 1,
            "totalRecords": 1,
        },
    }
    assert said["issueCount"] == 4


async def test_a_worker_s_reports_reach_the_numbers(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker, work_type="qa")
    await run_job(fold_phases)
    before = await metrics(make.org)
    for call, body in (
        ("status", {"status": "running"}),
        ("completion", {"summary": "The refund is wrong.\n\nWORK_RESULT:failed"}),
        ("status", {"status": "completed", "totalCostUsd": 0.25}),
    ):
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/{call}", json={"workerId": worker.id, **body}
        )
        assert answer.status_code < 300, answer.text
    await run_job(fold_phases)

    after = await metrics(make.org)

    assert before["phases"]["qa"] == {**NOTHING, "avgAttempts": 1, "totalRecords": 1}
    assert before["reworkRate"] == 0
    assert after["phases"]["qa"].pop("avgCycleTimeMs") > 0
    assert after["phases"]["qa"] == {"avgCostUsd": 0.25, "avgAttempts": 1, "totalRecords": 1}
    assert after["reworkRate"] == 1


async def test_failed_tests_of_an_issue_s_work_escalate_it(make, run_job):
    for issue, failures in (("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4), ("f", 5)):
        await ended(make, issue, "qa")
        for _ in range(failures):
            await ended(make, issue, "qa", status="failed")
    await ended(make, "a", "development", status="failed")
    await run_job(fold_phases)

    said = await metrics(make.org)

    assert said["escalationDistribution"] == {
        "normal": 2,
        "context-enriched": 1,
        "decompose": 1,
        "escalate-human": 2,
    }
    assert said["reworkRate"] == round(15 / 21, 4)


async def test_an_issue_belongs_to_the_day_of_its_first_session(make, run_job):
    today = (await (await make.owner.execute("select now() as now")).fetchone()).now
    for days in (0, 6, 7, 29, 30, 89, 90):
        row = await make.owner.execute("select %s - make_interval(days => %s) as at", (today, days))
        at = (await row.fetchone()).at
        await ended(make, f"i{days}", "qa", created_at=at)
        await ended(make, f"i{days}", "development")  # today, of that issue all the same
    await run_job(fold_phases)

    def seen(said):
        phases = said["phases"]
        records = {phases["qa"]["totalRecords"], phases["development"]["totalRecords"]}
        return said["timeRange"], said["issueCount"], records

    assert seen(await metrics(make.org, "7d")) == ("7d", 2, {2})
    assert seen(await metrics(make.org, "30d")) == ("30d", 4, {4})
    assert seen(await metrics(make.org, "90d")) == ("90d", 6, {6})
    assert seen(await metrics(make.org, "1y")) == ("30d", 4, {4})


async def test_projects_are_counted_apart(make, run_job):
    other = await make.project()
    await ended(make, "a", "qa")
    await ended(make, "a", "qa", project_id=other)
    await ended(make, "b", "qa", project_id=other)
    await run_job(fold_phases)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))
    stranger = make.client(await make.key(await make.organization()))

    async def issues(caller, **headers):
        return (await metrics(caller, **headers))["issueCount"]

    assert await issues(narrow) == 1
    assert await issues(make.org, **{"X-Rensei-Project": other}) == 2
    assert await issues(make.org) == 3
    assert await issues(stranger) == 0
    assert (await narrow.get(URL, headers={"X-Rensei-Project": other})).status_code == 404
    assert (await make.org.get(URL, headers={"X-Rensei-Org": "another"})).status_code == 404


async def test_a_worker_and_nobody_read_no_metrics(make, anonymous):
    worker = await make.worker()

    assert (await worker.client.get(URL)).status_code == 403
    assert (await anonymous.get(URL)).status_code == 401


# --- the counts ---


async def kept(make):
    """What the counts hold of each kind, without those that came to nothing."""
    rows = await make.owner.execute(
        "select day::text, kind, sum(issues)::int as a, sum(records)::int as b,"
        " sum(finished)::int as c, sum(failed)::int as d, sum(cycle_ms)::float8 as e,"
        " sum(cost_usd)::float8 as f from phase_counts"
        " where org_id = %s group by day, kind having sum(issues) <> 0 order by day, kind",
        (make.org_id,),
    )
    return [tuple(row) for row in await rows.fetchall()]


async def test_whatever_changes_a_session_the_counts_are_those_of_the_rows(make, run_job):
    sessions = [
        await ended(make, issue, work_type, total_cost_usd=1)
        for issue in ("a", "b")
        for work_type in ("development", "qa", "qa")
    ]
    await run_job(fold_phases)
    begun_again = "status = 'pending', finished_at = null"
    for number, change in enumerate(
        (begun_again, "status = 'failed'", "total_cost_usd = 7", "work_type = 'refinement'")
    ):
        await make.owner.execute(f"update sessions set {change} where id = %s", (sessions[number],))
    await make.owner.execute("update sessions set issue_id = 'c' where id = %s", (sessions[4],))
    await make.owner.execute("delete from sessions where id = %s", (sessions[5],))
    await run_job(fold_phases)
    changed = await kept(make)

    # Counted from nothing, they are the same.
    for table in ("phase_counts", "issue_phases"):
        await make.owner.execute(f"delete from {table} where org_id = %s", (make.org_id,))
    await make.owner.execute(
        "insert into phase_changes (org_id, project_id, issue_id)"
        " select distinct org_id, project_id, issue_id from sessions where org_id = %s",
        (make.org_id,),
    )
    await run_job(fold_phases)

    assert [row[1:4] for row in changed] == [
        ("development", 1, 1),
        ("normal", 3, 0),
        ("qa", 2, 3),
        ("refinement", 1, 1),
    ]
    assert changed == await kept(make)


async def test_jobs_that_fold_at_once_count_everything_once(make, run_job):
    async def change():
        for number in range(20):
            await ended(make, f"i{number % 3}", "qa")
            await asyncio.gather(run_job(phase_metrics.fold), run_job(phase_metrics.fold))

    await change()
    await run_job(fold_phases)

    said = await metrics(make.org)
    assert (said["issueCount"], said["phases"]["qa"]["totalRecords"]) == (3, 20)


async def test_activities_note_nothing(make, run_job):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await run_job(fold_phases)

    for number in range(3):
        await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": "thought", "content": f"{number}"}},
        )

    noted = await make.owner.execute(
        "select count(*) as n from phase_changes where org_id = %s", (make.org_id,)
    )
    assert (await noted.fetchone()).n == 0


# --- the cost ---


async def assert_flat(make, run_job, many, activities):
    touched = []
    for count in (1000, many):
        await costs.completed_sessions(make, count, activities=10 if activities else 0)
        await run_job(fold_phases)
        await costs.vacuum(make, "sessions", "activities", "phase_counts", "phase_changes")
        assert (await metrics(make.org))["phases"]["qa"]["totalRecords"] == count
        for projects in (None, [make.project_id]):
            plan, pages = await costs.explained(
                make.owner,
                phase_metrics.READ,
                {"org": make.org_id, "projects": projects, "days": 90},
            )
            assert costs.scanned(plan).isdisjoint({"sessions", "activities", "issue_phases"})
            touched.append(pages)
        await costs.forget_completed(make)
        await run_job(fold_phases)
    print(f"\n1,000 sessions: {touched[:2]} pages\n{many} sessions: {touched[2:]} pages")
    assert max(touched[2:]) <= max(touched[:2]) + 10


async def test_phases_do_not_read_the_past(make, run_job):
    await assert_flat(make, run_job, 5000, activities=False)


@pytest.mark.prove
async def test_phases_of_a_hundred_thousand_sessions_cost_what_a_thousand_do(make, run_job):
    await assert_flat(make, run_job, int(100_000 * SHARE), activities=True)
