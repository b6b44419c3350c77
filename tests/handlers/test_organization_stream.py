"""What becomes of all sessions of an organization, over real sockets."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import psycopg
import pytest

import settings
from domain.session_states import public_status
from handlers import following as handlers_following
from handlers import organization_stream
from jobs.number_events import number_events
from jobs.prune import prune
from persistence import session_events
from tests.streams import eventually, opened, watched

PATH = "/api/public/events/stream"


@asynccontextmanager
async def following(address, caller, query=None, **headers):
    async with opened(address, caller, PATH, query, **headers) as stream:
        yield stream


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def shown(caller, after="0", **headers):
    """The events after a place, from a stream that ends at once."""
    answer = await caller.get(
        PATH, params={"lastEventId": after, "waitSeconds": 0}, headers=headers
    )
    assert answer.status_code == 200, answer.text
    lines = [line.partition(": ")[::2] for line in answer.text.splitlines()]
    found, event = [], {}
    for name, value in lines:
        event[name] = value
        if name == "data":
            found.append((event["event"], json.loads(value), event.get("id")))
            event = {}
    return found


def told(events):
    return [
        (data["sessionId"], data.get("previousStatus"), data["status"])
        for kind, data, _ in events
        if kind == "session"
    ]


def numbers(events):
    return [int(number) for kind, _, number in events if kind == "session"]


# --- what comes ---


async def test_every_change_of_every_session_comes_once_and_in_order(make, address):
    worker = await make.worker()
    async with following(address, make.org) as stream:
        kind, data, place = await stream.next()
        assert (kind, data) == ("start", {"lastEventId": place})
        first = await make.session()
        second = await make.session(waits_for="issue")
        events = [await stream.next(), await stream.next()]
        await worker.client.get(f"/api/workers/{worker.id}/poll")
        events.append(await stream.next())
        # To people that is `working` as before: no event.
        await report(worker, first, "running")
        await report(worker, first, "completed")
        events.append(await stream.next())

    assert told(events) == [
        (first, None, "queued"),
        (second, None, "parked"),
        (first, "queued", "working"),
        (first, "working", "completed"),
    ]
    row = await make.stored(first)
    _, data, _ = events[-1]
    assert data.pop("at")
    assert data == {
        "id": row.public_id,
        "sessionId": first,
        "projectId": make.project_id,
        "identifier": row.issue_identifier,
        "workType": "development",
        "status": "completed",
        "previousStatus": "working",
    }
    begin = int(place) + 1
    assert numbers(events) == list(range(begin, begin + 4))
    await eventually(lambda: watched() == 0)


async def test_a_change_that_a_worker_reports_is_told_at_once(make, address):
    """Not by the look once a second: the nudge over Redis tells of it."""
    worker = await make.worker(capacity=20)
    sessions = [await make.session() for _ in range(8)]
    for _ in range(2):
        await worker.client.get(f"/api/workers/{worker.id}/poll")
    waited = []
    async with following(address, make.org) as stream:
        await stream.next()
        await asyncio.sleep(1.2)  # the subscription, and who is listened to
        for session_id in sessions[:5]:
            begun = asyncio.get_running_loop().time()
            await report(worker, session_id, "completed")
            await stream.next()
            waited.append(asyncio.get_running_loop().time() - begun)

    assert sorted(waited)[2] < 0.4


async def test_a_stream_that_was_cut_off_goes_on_where_it_was(make):
    sessions = [await make.session() for _ in range(5)]
    events = await shown(make.org)
    assert events[-1][0] == "end"

    header = await make.org.get(
        PATH, params={"waitSeconds": 0}, headers={"Last-Event-ID": events[2][2]}
    )
    again = await shown(make.org, after=events[2][2])

    assert [session for session, _, _ in told(events)] == sessions
    assert [session for session, _, _ in told(again)] == sessions[3:]
    assert header.text.count("event: session") == 2
    # Numbers beyond the last one begin with what is there.
    assert [kind for kind, _, _ in await shown(make.org, after="999999")] == ["start", "end"]


async def test_a_stream_that_waits_ends_when_its_time_has_passed(make, address):
    async with following(address, make.org, {"waitSeconds": 0.2}) as stream:
        kinds = [kind for kind, _, _ in await stream.rest()]

    assert kinds == ["start", "end"]


# --- the order of commits ---


async def test_whoever_commits_late_is_numbered_late_and_missed_by_nobody(make, stores):
    """Two transactions that overlap: the one that began first ends last."""
    first, second = await make.session(), await make.session()
    await number_of_events(make)
    change = "update sessions set status = 'stopped' where org_id = %s and id = %s"
    async with await psycopg.AsyncConnection.connect(stores.owner_url) as slow:
        await slow.execute(change, (make.org_id, first))
        await make.owner.execute(change, (make.org_id, second))
        early = await shown(make.org)
        await slow.commit()
    late = await shown(make.org, after=early[-1][2])

    assert told(early)[2:] == [(second, "queued", "stopped")]
    assert told(late) == [(first, "queued", "stopped")]
    assert numbers(early + late) == list(range(1, 5))


async def number_of_events(make):
    return len(numbers(await shown(make.org)))


async def test_sixteen_writers_and_four_that_number_at_once_leave_no_hole(make, stores, run_job):
    """Readers follow meanwhile, each from its own place: all see the same, in the same order."""
    sessions = [await make.session() for _ in range(8)]
    done = asyncio.Event()

    async def write(number):
        async with await psycopg.AsyncConnection.connect(stores.owner_url) as connection:
            for turn in range(10):
                await connection.execute(
                    "update sessions set status = case status when 'stopped' then 'pending' else"
                    " 'stopped' end where org_id = %s and id = %s",
                    (make.org_id, sessions[(number + turn) % 8]),
                )
                await asyncio.sleep(0.001 * (number % 4))
                await connection.commit()

    async def read():
        seen, place = [], "0"
        while True:
            last_round = done.is_set()
            events = await shown(make.org, after=place)
            assert all(kind in {"session", "end"} for kind, _, _ in events)
            seen += [(number, data["sessionId"], data["status"]) for _, data, number in events[:-1]]
            place = events[-1][2]
            if last_round:
                return seen
            await run_job(number_events)

    async def write_all():
        await asyncio.gather(*(write(number) for number in range(16)))
        done.set()

    _, *readings = await asyncio.gather(write_all(), *(read() for _ in range(4)))

    assert [int(number) for number, _, _ in readings[0]] == list(range(1, 8 + 160 + 1))
    assert all(reading == readings[0] for reading in readings)
    for session_id in sessions:
        turns = [status for _, session, status in readings[0] if session == session_id]
        assert turns == ["queued", "stopped"] * (len(turns) // 2) + ["queued"] * (len(turns) % 2)


# --- who sees what ---


async def test_another_organization_is_never_seen(make, address):
    elsewhere = await make.organization()
    project = await make.project(elsewhere)
    stranger = make.client(await make.key(elsewhere))
    async with following(address, stranger) as stream:
        await stream.next()
        await make.session()
        ours = await make.owner.execute(
            "insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier,"
            " work_type, priority) values (%s, 'theirs', %s, 'feedfeedfeedfeed', 'i', 'X-1', 'qa',"
            " 1) returning id",
            (elsewhere, project),
        )
        assert (await ours.fetchone()).id == "theirs"
        kind, data, number = await stream.next()

    assert (kind, data["sessionId"], number) == ("session", "theirs", "1")


async def test_a_credential_of_some_projects_sees_only_theirs(make):
    other = await make.project()
    bound = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))
    hidden = await make.session(project_id=other)
    seen = await make.session()
    await make.session(project_id=other)

    events = await shown(bound)
    chosen = await shown(make.org, **{"X-Rensei-Project": other})
    refused = await bound.get(PATH, headers={"X-Rensei-Project": other})

    assert told(events) == [(seen, None, "queued")]
    # The place moves on beyond what is hidden, so nothing is looked through twice.
    assert events[-1][2] == "3"
    assert told(chosen)[0] == (hidden, None, "queued")
    assert len(told(chosen)) == 2
    assert refused.status_code == 404


async def test_a_revoked_key_ends_its_stream(make, address, monkeypatch):
    monkeypatch.setattr(handlers_following, "CREDENTIAL_SECONDS", 0.2)
    key = await make.key_answer()
    async with following(address, make.client(key["fullKey"])) as stream:
        await stream.next()
        await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
        kind, _, _ = await stream.next()

    assert kind == "error"


# --- what is not kept ---


async def test_old_events_go_and_a_gap_says_so(make, run_job, given):
    for _ in range(4):
        await make.session()
    events = await shown(make.org)
    await make.owner.execute(
        "update session_events set at = at - interval '1 day' where org_id = %s and seq <= 3",
        (make.org_id,),
    )

    settings.use(replace(given, events_kept_seconds=3600.0))
    try:
        await run_job(prune)
    finally:
        settings.use(given)
    left = await shown(make.org)
    await make.owner.execute("delete from session_events where org_id = %s", (make.org_id,))
    nothing_left = await shown(make.org, after="1")
    await make.session()
    went_on = await shown(make.org, after="4")

    assert numbers(events) == [1, 2, 3, 4]
    assert left[0] == ("gap", {"from": 1, "to": 3}, "3")
    assert numbers(left) == [4]
    assert nothing_left[0] == ("gap", {"from": 2, "to": 4}, "4")
    assert numbers(went_on) == [5]


async def test_old_events_leave_no_hole_behind(make, run_job):
    for _ in range(4):
        await make.session()
    await shown(make.org)
    await make.owner.execute(
        "update session_events set at = at - interval '8 days' where org_id = %s and seq in (1, 3)",
        (make.org_id,),
    )

    await run_job(prune)

    left = await shown(make.org)
    assert left[0] == ("gap", {"from": 1, "to": 3}, "3")
    assert numbers(left) == [4]


async def test_who_is_far_behind_hears_of_a_gap(make, monkeypatch):
    monkeypatch.setattr(organization_stream, "PORTION", 2)
    monkeypatch.setattr(organization_stream, "MOST_BEHIND", 3)
    for _ in range(8):
        await make.session()

    events = await shown(make.org)

    assert events[0] == ("gap", {"from": 1, "to": 5}, "5")
    assert numbers(events) == [6, 7, 8]


async def test_what_nobody_has_numbered_is_never_pruned_unseen(make, run_job):
    """The job numbers what no stream has asked for."""
    await make.session()
    await run_job(number_events)

    feed = await session_events.read(make.org_id, None, 0, 10)

    assert (feed.last, [row.seq for row in feed.events]) == (1, [1])


@pytest.mark.parametrize("given_wait", ["-1", "26", "soon"])
async def test_a_wait_outside_the_contract_is_refused(make, given_wait):
    answer = await make.org.get(PATH, params={"waitSeconds": given_wait})

    assert answer.status_code == 400


async def test_the_database_knows_the_same_statuses_as_the_domain(make):
    for status in ("pending", "claimed", "running", "finalizing", "completed", "failed", "stopped"):
        for waits_for in (None, "issue", "person"):
            found = await make.owner.execute(
                "select public_session_status(%s, %s) as status", (status, waits_for)
            )
            assert (await found.fetchone()).status == public_status(status, waits_for)
