"""What is past its time goes; what is young, or may still be needed, stays."""

import asyncio
import secrets
from dataclasses import replace

import pytest
from psycopg.errors import RaiseException

import settings
from jobs.deliver_events import deliver_events
from jobs.prune import prune
from persistence import activities, handover, idempotency, outbox, session_events, webhook_events
from tests import costs
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed

INGEST = "/api/webhooks/ingest/linear"
ENDED = ("completed", "failed", "stopped")
WORKING = ("pending", "claimed", "running", "finalizing")


async def event(make, status, age, **columns):
    """The id of an event that was settled, or came, so long ago."""
    times = {"received_at": "then", "next_try_at": "then"}
    if status not in webhook_events.WAITING:
        times["done_at"] = "then"
    event_id = await make.dead_event(status=status, **columns)
    changed = ", ".join(f"{name} = now() - %(age)s::interval" for name in times)
    await make.owner.execute(
        f"update webhook_events set {changed} where id = %(id)s", {"age": age, "id": event_id}
    )
    return event_id


async def events(make):
    rows = await make.owner.execute(
        "select id from webhook_events where org_id = %s", [make.org_id]
    )
    return {row.id for row in await rows.fetchall()}


async def told(make, status, age):
    """The number of a row of the outbox that was last tried so long ago."""
    rows = await make.owner.execute(
        "insert into outbox (org_id, project_id, issue_id, kind, payload, status, created_at,"
        " next_try_at) values (%s, %s, 'issue-1', 'comment', '{}', %s, now() - interval '9 years',"
        " now() - %s::interval) returning id",
        (make.org_id, make.project_id, status, age),
    )
    return (await rows.fetchone()).id


async def outbox_rows(make):
    rows = await make.owner.execute("select id from outbox where org_id = %s", [make.org_id])
    return {row.id for row in await rows.fetchall()}


# --- what goes, and what stays ---


async def test_settled_events_go_in_their_time_and_those_that_wait_never(make, run_job):
    gone = {await event(make, "done", "31 days"), await event(make, "dead", "91 days")}
    gone.add(await event(make, "parked", "91 days"))
    kept = {await event(make, "done", "29 days")}
    for status in ("dead", "parked"):
        kept.add(await event(make, status, "89 days"))
    for status in ("received", "failed"):
        kept.add(await event(make, status, "9 years"))
    before = await events(make)

    await run_job(prune)

    assert before == gone | kept
    assert await events(make) == kept


async def test_a_delivery_never_comes_in_again_however_long_its_event_is_gone(
    make, run_job, anonymous, owner
):
    created = linear_event(f"lin-{make.slug}")
    first = await anonymous.post(INGEST, **signed(LINEAR_SECRET, created, "delivery-1"))
    event_id = first.json()["eventId"]
    await run_job(deliver_events)
    await owner.execute(
        "update webhook_events set done_at = now() - interval '1 year' where id = %s", [event_id]
    )

    await run_job(prune)
    again = await anonymous.post(INGEST, **signed(LINEAR_SECRET, created, "delivery-1"))
    renamed = await anonymous.post(INGEST, **signed(LINEAR_SECRET, created, "delivery-2"))

    rows = await owner.execute("select 1 from webhook_events where id = %s", [event_id])
    assert await rows.fetchall() == []
    assert [answer.json().get("duplicate") for answer in (again, renamed)] == [True, True]


async def test_an_event_that_is_put_back_into_its_line_is_not_taken_from_it(make, run_job):
    dead = await event(make, "dead", "91 days")
    put_back = await event(make, "dead", "91 days")
    answer = await make.org.post(f"/api/webhooks/events/{put_back}/replay")
    assert answer.status_code in {200, 202}, answer.text

    await run_job(prune)

    assert dead not in await events(make)
    assert put_back in await events(make)


async def test_what_the_tracker_was_told_goes_and_what_it_is_to_be_told_stays(make, run_job):
    for status, age in (("sent", "25 hours"), ("dead", "91 days")):
        await told(make, status, age)
    kept = {await told(make, "sent", "23 hours"), await told(make, "dead", "89 days")}
    for status in ("waiting", "sending"):
        kept.add(await told(make, status, "9 years"))

    await run_job(prune)

    assert await outbox_rows(make) == kept


async def test_the_settings_say_how_long(make, run_job, given):
    done, parked = await event(make, "done", "2 hours"), await event(make, "parked", "4 hours")
    sent, waits = await told(make, "sent", "2 hours"), await event(make, "failed", "9 hours")
    settings.use(
        replace(
            given,
            webhooks_kept_seconds=3600.0,
            sent_kept_seconds=3600.0,
            trouble_kept_seconds=5 * 3600.0,
        )
    )

    try:
        await run_job(prune)
    finally:
        settings.use(given)

    assert await events(make) == {parked, waits}
    assert {done, sent} & {*await events(make), *await outbox_rows(make)} == set()


async def test_a_hundred_years_is_for_good(make, run_job, given):
    old = await event(make, "done", "20 years")
    settings.use(replace(given, webhooks_kept_seconds=float(settings.A_HUNDRED_YEARS)))

    try:
        await run_job(prune)
    finally:
        settings.use(given)

    assert old in await events(make)


async def test_browser_sessions_go_when_their_time_is_over(make, run_job, owner):
    over, living = await make.browser(), await make.browser()
    rows = await owner.execute(
        "select token_hash from browser_sessions where org_id = %s order by created_at",
        [make.org_id],
    )
    first = (await rows.fetchone()).token_hash
    await owner.execute(
        "update browser_sessions set expires_at = now() - interval '1 second'"
        " where token_hash = %s",
        [first],
    )

    await run_job(prune)

    rows = await owner.execute(
        "select token_hash from browser_sessions where org_id = %s", [make.org_id]
    )
    assert first not in {row.token_hash for row in await rows.fetchall()}
    assert (await living.get("/api/public/sessions")).status_code == 200
    assert (await over.get("/api/public/sessions")).status_code == 401


async def test_a_nack_is_forgotten_when_it_has_long_lost_its_effect(make, run_job, owner):
    session_id = await make.session()
    for name, age in (("wkr-old", "61 minutes"), ("wkr-new", "59 minutes")):
        await owner.execute(
            "insert into session_nacks (org_id, session_id, worker_id, nacked_at)"
            " values (%s, %s, %s, now() - %s::interval)",
            (make.org_id, session_id, name, age),
        )

    await run_job(prune)

    rows = await owner.execute(
        "select worker_id from session_nacks where org_id = %s", [make.org_id]
    )
    assert [row.worker_id for row in await rows.fetchall()] == ["wkr-new"]


# --- activities, where they are not kept for good ---


async def ended(make, age, count=3, status="completed", **columns):
    """The id of a session that ended so long ago, with some activities."""
    session_id = await make.session(status=status, activity_count=count, **columns)
    await make.owner.execute(
        "update sessions set created_at = now() - interval '1 year',"
        " claimed_at = now() - interval '1 year',"
        " finished_at = case when %s then now() - %s::interval end where org_id = %s and id = %s",
        (status in ENDED, age, make.org_id, session_id),
    )
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity, stored_at)"
        """ select %s, %s, n, 'thought', '{"type": "thought", "content": "x"}',"""
        " now() - interval '1 year' from generate_series(1, %s) n",
        (make.org_id, session_id, count),
    )
    return session_id


async def left(make, session_id):
    answer = await make.org.get(f"/api/public/session-activities?sessionId={session_id}")
    assert answer.status_code == 200, answer.text
    return [int(each["id"]) for each in answer.json()["activities"]]


@pytest.fixture
def month(given):
    """Activities are kept for thirty days."""
    settings.use(replace(given, activities_kept_seconds=30 * 86400.0))
    yield
    settings.use(given)


async def test_nothing_that_was_done_goes_unless_the_server_is_set_so(make, run_job):
    old = await ended(make, "9 years")

    await run_job(prune)

    assert await left(make, old) == [1, 2, 3]


async def test_activities_go_when_their_session_has_been_over_for_so_long(make, run_job, month):
    gone = [await ended(make, "31 days", status=status) for status in ENDED]
    young = await ended(make, "29 days")
    working = [await ended(make, "1 day", status=status) for status in WORKING]

    await run_job(prune)

    assert [await left(make, each) for each in gone] == [[], [], []]
    assert [await left(make, each) for each in (young, *working)] == [[1, 2, 3]] * 5


async def test_a_session_without_its_activities_is_the_session_it_was(make, run_job, month, owner):
    session_id = await ended(make, "31 days", count=7, total_cost_usd=2.5)
    row = await make.stored(session_id)
    listed = f"/api/public/sessions/{row.public_id}"
    before = (await make.org.get(listed)).json()
    numbers = (await make.org.get("/api/public/stats")).json()

    await run_job(prune)
    after = (await make.org.get(listed)).json()

    page = await (await make.browser()).get(f"/fleet/sessions/{row.public_id}")
    assert await left(make, session_id) == []
    assert "Not kept any more." in page.text
    assert after["session"] == before["session"]
    assert (await make.stored(session_id)).activity_count == 7
    same = (await make.org.get("/api/public/stats")).json()
    assert {**same, "timestamp": None} == {**numbers, "timestamp": None}


async def test_who_follows_such_a_session_is_told_what_is_missing(make, run_job, month):
    session_id = await ended(make, "31 days", count=7)
    await run_job(prune)

    answer = await make.org.get(f"/api/sessions/{session_id}/stream")

    assert '"from":1,"to":7' in answer.text.replace(" ", "")
    assert "event: end" in answer.text


async def test_a_session_that_begins_again_goes_on_counting_and_is_pruned_again(
    make, run_job, month, owner
):
    session_id = await ended(make, "31 days", count=5)
    await run_job(prune)
    await owner.execute(
        "update sessions set status = 'pending', finished_at = null, priority = 1,"
        " queued_at = now() where org_id = %s and id = %s",
        (make.org_id, session_id),
    )
    worker = await make.worker()
    polled = await worker.client.get(f"/api/workers/{worker.id}/poll")
    assert polled.json()["claimedSessionIds"] == [session_id]

    answer = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": "again"}},
    )
    await run_job(prune)
    during = await left(make, session_id)
    await owner.execute(
        "update sessions set status = 'completed', finished_at = now(), slot_worker_id = null"
        " where org_id = %s and id = %s",
        (make.org_id, session_id),
    )
    await run_job(prune)
    young = await left(make, session_id)
    await owner.execute(
        "update sessions set finished_at = now() - interval '31 days',"
        " activities_pruned_at = now() - interval '62 days' where org_id = %s and id = %s",
        (make.org_id, session_id),
    )
    await run_job(prune)

    assert answer.status_code == 200, answer.text
    assert (during, young) == ([6], [6])
    assert await left(make, session_id) == []


async def test_many_activities_of_many_sessions_go_batch_by_batch(make, run_job, month):
    ids = [await ended(make, "31 days", count=450) for _ in range(12)]

    counts = await asyncio.gather(run_job(prune), run_job(prune))
    counts.append(await run_job(prune))

    assert sum(counts) >= len(ids)
    assert [await left(make, each) for each in ids] == [[]] * len(ids)
    assert await run_job(prune) == 0


# --- how it goes ---


async def many_events(make, count, age="31 days", status="done"):
    """Events and deliveries by the hundred; the oldest has the lowest number."""
    mark = secrets.token_hex(4)
    await make.owner.execute(
        "insert into webhook_events (id, correlation_id, provider, verified_by, body, org_id,"
        " status, done_at) select %(mark)s || '-' || n, 'c', 'linear', %(org)s, 'x', %(org)s,"
        " %(status)s, now() - %(age)s::interval - make_interval(secs => %(count)s - n)"
        " from generate_series(1, %(count)s) n",
        {"mark": mark, "org": make.org_id, "status": status, "age": age, "count": count},
    )
    return mark


async def test_two_processes_at_once_remove_everything_once(make, run_job):
    await run_job(prune)
    count = 3 * webhook_events.MOST_PRUNED
    await many_events(make, count)
    kept = await event(make, "done", "1 day")

    counts = await asyncio.gather(*(run_job(prune) for _ in range(2)))

    # Whoever finds all of a kind taken goes home; the next run finds what is left.
    counts.append(await run_job(prune))
    assert sum(counts) == count
    assert await events(make) == {kept}


async def test_what_fails_is_left_whole_and_stops_nothing_else(make, run_job, owner):
    mark = await many_events(make, 10)
    sent = await told(make, "sent", "2 days")
    await owner.execute(
        "create function refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'no'; end $$"
    )
    await owner.execute(
        "create trigger refuse before delete on webhook_events for each row"
        f" when (old.id = '{mark}-7') execute function refuse()"
    )

    try:
        with pytest.raises(ExceptionGroup) as refused:
            await run_job(prune)
    finally:
        await owner.execute("drop function refuse cascade")
    during = await events(make)
    await run_job(prune)

    assert refused.group_contains(RaiseException)
    assert len(during) == 10
    assert sent not in await outbox_rows(make)
    assert await events(make) == set()


async def test_a_replay_at_the_same_moment_and_pruning_do_not_wait_for_each_other(make, run_job):
    held, free = await event(make, "dead", "91 days"), await event(make, "dead", "91 days")

    async with make.owner.transaction():
        await make.owner.execute("select 1 from webhook_events where id = %s for update", [held])
        await run_job(prune)
        during = await events(make)
    await run_job(prune)

    assert during == {held}
    assert await events(make) == set()
    assert free not in during


STATEMENTS = {
    "webhook_events": (webhook_events.PRUNE, {"done": 2_592_000.0, "trouble": 7_776_000.0}),
    "outbox": (outbox.PRUNE, {"sent": 86_400.0, "trouble": 7_776_000.0}),
    "session_events": (session_events.PRUNE, {"kept": 604_800.0}),
    "sessions": (activities.PRUNE, {"kept": 2_592_000.0}),
    "session_nacks": (handover.PRUNE_NACKS, {}),
    "idempotency_keys": (idempotency.PRUNE, {}),
}


async def fill(make, count):
    """What is young and what waits, of every kind, however old some of it is."""
    await many_events(make, count, "1 day")
    await many_events(make, count, "60 days", "parked")
    values = {"org": make.org_id, "project": make.project_id, "count": count}
    for status, age in (("sent", "1 hour"), ("waiting", "1 year"), ("dead", "2 days")):
        await make.owner.execute(
            "insert into outbox (org_id, project_id, issue_id, kind, payload, status, next_try_at)"
            " select %(org)s, %(project)s, 'i', 'comment', '{}', %(status)s,"
            " now() - %(age)s::interval from generate_series(1, %(count)s)",
            {**values, "status": status, "age": age},
        )
    for age, pruned in (("1 day", None), ("1 year", "now")):
        await make.owner.execute(
            "insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier,"
            " work_type, priority, status, finished_at, activities_pruned_at)"
            " select %(org)s, u, %(project)s, u, u, 'I-1', 'qa', 3, 'completed',"
            " now() - %(age)s::interval, %(pruned)s"
            " from generate_series(1, %(count)s / 2) n,"
            " lateral md5(concat(%(count)s::int, %(age)s::text, n)) u",
            {**values, "age": age, "pruned": pruned},
        )
    await make.owner.execute(
        "insert into session_events (org_id, project_id, session_id, public_id, issue_identifier,"
        " work_type, status, seq) select %(org)s, %(project)s, 's', 's', 'I-1', 'qa', 'queued', n"
        " from generate_series(%(count)s + 1, 2 * %(count)s) n",
        values,
    )
    await make.owner.execute(
        "insert into event_feeds values (%(org)s, 2 * %(count)s) on conflict (org_id)"
        " do update set last_seq = excluded.last_seq",
        values,
    )
    session_id = await make.session()
    await make.owner.execute(
        "insert into session_nacks (org_id, session_id, worker_id)"
        " select %(org)s, %(session)s, 'w' || n from generate_series(1, %(count)s) n",
        {**values, "session": session_id},
    )
    await make.owner.execute(
        "insert into idempotency_keys (org_id, caller_id, operation_id, key, request_hash, status,"
        " answer) select %(org)s, 'c', 'o', gen_random_uuid()::text, '', 200, '{}'"
        " from generate_series(1, %(count)s)",
        values,
    )


async def empty(make):
    for table in STATEMENTS.keys() - {"sessions"}:
        await make.owner.execute(f"delete from {table} where org_id = %s", [make.org_id])


async def test_a_run_costs_the_same_however_much_is_kept(make, run_job):
    await run_job(prune)
    pages = {}
    try:
        for count in (100, 2000):
            await fill(make, count)
            await costs.vacuum(make, *STATEMENTS)
            for name, asked in STATEMENTS.items():
                plan, pages[count, name] = await costs.explained(make.owner, *asked)
                assert count < 2000 or name not in costs.scanned(plan), name
    finally:
        await empty(make)

    for name in STATEMENTS:
        assert pages[2000, name] <= pages[100, name] + 3, (name, pages)


async def test_removing_costs_a_few_pages_a_row(make, run_job):
    await run_job(prune)
    await fill(make, 1000)
    await many_events(make, 400)
    await costs.vacuum(make, "webhook_events")

    plan, pages = await costs.explained(make.owner, *STATEMENTS["webhook_events"])
    kept = await events(make)
    await empty(make)

    assert costs.scanned(plan) == set()
    assert len(kept) == 2000
    assert pages < 400 * 8, pages


async def test_the_owners_function_takes_few_and_only_what_is_over(make, run_job, owner):
    await run_job(prune)
    for _ in range(3):
        await make.browser()
    await owner.execute(
        "update browser_sessions set expires_at = now() - interval '1 hour' where org_id = %s",
        [make.org_id],
    )
    living = await make.browser()

    counts = []
    for _ in range(3):
        rows = await owner.execute("select prune_browser_sessions(2) as count")
        counts.append((await rows.fetchone()).count)

    assert counts == [2, 1, 0]
    assert (await living.get("/api/public/sessions")).status_code == 200
