"""What is past its time goes; what is young, or may still be needed, stays."""

import asyncio
import secrets
from dataclasses import replace

import pytest
from psycopg.errors import RaiseException

import settings
from jobs.deliver_events import deliver_events
from jobs.prune import prune
from persistence import handover, idempotency, outbox, webhook_events
from tests import costs
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed

INGEST = "/api/webhooks/ingest/linear"


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


async def test_a_run_costs_the_same_however_much_is_kept(make, run_job):
    await run_job(prune)
    pages = {}
    try:
        for count in (200, 5000):
            await fill(make, count)
            await costs.vacuum(make, *STATEMENTS)
            for name, asked in STATEMENTS.items():
                plan, pages[count, name] = await costs.explained(make.owner, *asked)
                assert count < 5000 or costs.scanned(plan) == set(), name
    finally:
        for table in STATEMENTS:
            await make.owner.execute(f"delete from {table} where org_id = %s", [make.org_id])

    for name in STATEMENTS:
        assert pages[5000, name] <= pages[200, name] + 3, (name, pages)


async def test_removing_costs_a_few_pages_a_row(make, run_job):
    await run_job(prune)
    await fill(make, 2000)
    await many_events(make, 400)
    await costs.vacuum(make, "webhook_events")

    plan, pages = await costs.explained(make.owner, *STATEMENTS["webhook_events"])
    left = await events(make)
    for table in STATEMENTS:
        await make.owner.execute(f"delete from {table} where org_id = %s", [make.org_id])

    assert costs.scanned(plan) == set()
    assert len(left) == 4000
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
