"""A session as it happens, over real sockets: what streams promise cannot be seen without one."""

import asyncio
import json
import signal
import socket
import time
from contextlib import asynccontextmanager

import pytest

from auth.schemes import COOKIE
from handlers import event_stream
from handlers import following as handlers_following
from jobs.requeue_orphans import requeue_orphans
from persistence.ephemeral import store
from services import session_watch, watching
from tests.streams import Stream, eventually, opened, own_server, watched


class Activities(Stream):
    """An open stream of a session's activities."""

    async def activity(self, within=5.0):
        kind, data, number = await self.next(within)
        assert kind == "activity", (kind, data)
        assert number == data["id"]
        return data["content"]


@asynccontextmanager
async def following(address, caller, session_id, query=None, **headers):
    path = f"/api/sessions/{session_id}/stream"
    async with opened(address, caller, path, query, **headers) as stream:
        yield Activities(stream.response)


async def post(worker, session_id, content, **activity):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={
            "workerId": worker.id,
            "activity": {"type": "thought", "content": content, **activity},
        },
    )
    assert answer.status_code == 200, answer.text


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def stored(make, count, status="running", missing=()):
    """The id of a session with so many activities, but for the ones missing."""
    session_id = await make.session(activity_count=count, status=status)
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        " select %s, %s, n, 'thought', jsonb_build_object('type', 'thought', 'content', n::text)"
        " from generate_series(1, %s) n where n <> all (%s::int[])",
        (make.org_id, session_id, count, list(missing)),
    )
    return session_id


# --- what comes ---


async def test_a_session_is_followed_from_its_first_activity_to_its_end(make, address):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await post(worker, session_id, "before", type="action", toolName="Bash")

    async with following(address, make.org, session_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert await stream.next() == ("status", {"status": "working"}, None)
        kind, data, number = await stream.next()
        assert (kind, number) == ("activity", "1")
        assert data.pop("timestamp")
        assert data == {"id": "1", "type": "action", "content": "before", "toolName": "Bash"}
        await post(worker, session_id, "during")
        assert await stream.activity() == "during"
        await report(worker, session_id, "running")
        await post(worker, session_id, "after")
        assert await stream.activity() == "after"
        await report(worker, session_id, "completed")
        assert await stream.rest() == [
            ("status", {"status": "completed"}, None),
            ("end", {"status": "completed"}, None),
        ]
    await eventually(lambda: watched() == 0)


async def test_an_ended_session_is_shown_and_the_stream_closes(make):
    """Over the checking client, which holds the answer to the contract."""
    session_id = await stored(make, 3, status="failed")

    answer = await make.org.get(f"/api/sessions/{session_id}/stream")

    assert answer.status_code == 200
    assert answer.text.startswith("retry: 2000\n\nevent: status\n")
    assert [line for line in answer.text.splitlines() if line.startswith("id: ")] == [
        "id: 1",
        "id: 2",
        "id: 3",
    ]
    assert answer.text.endswith('event: end\ndata: {"status":"failed"}\n\n')


async def test_line_breaks_in_an_activity_break_no_event(make, address):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    content = "a\n\nevent: end\ndata: {}\r\n\r\n\u2028b\x85c"
    await post(worker, session_id, content)

    answer = await make.org.get(f"/api/public/session-activities?sessionId={session_id}")
    await report(worker, session_id, "completed")
    raw = (await make.org.get(f"/api/sessions/{session_id}/stream")).content

    assert answer.json()["activities"][0]["content"] == content
    assert [line for line in raw.split(b"\n") if line.startswith(b"event: ")] == [
        b"event: status",
        b"event: activity",
        b"event: end",
    ]
    (datum,) = [line for line in raw.split(b"\n") if line.startswith(b'data: {"id"')]
    assert json.loads(datum.removeprefix(b"data: "))["content"] == content
    assert b"\r" not in raw


async def test_a_posted_activity_arrives_at_once(make, address):
    """By the nudge, long before the look that is taken once a second."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    async with following(address, make.org, session_id) as stream:
        await stream.next()
        await asyncio.sleep(0.5)  # the subscription follows within a quarter of a second
        delays = []
        for number in range(20):
            began = time.perf_counter()
            await post(worker, session_id, str(number))
            assert await stream.activity() == str(number)
            delays.append(time.perf_counter() - began)

    assert sorted(delays)[10] < 0.4


async def test_a_new_status_arrives_at_once(make, address, run_job, monkeypatch):
    """By the nudge alone: the look that would find it is an hour away."""
    monkeypatch.setattr(watching, "LOOK_SECONDS", 3600)
    worker, other = await make.worker(), await make.worker()
    session_id = await make.session()
    public_id = (await make.stored(session_id)).public_id
    await make.owner.execute(
        "insert into service_pulse (one, alive_since) values (true, now() - interval '1 hour')"
        " on conflict (one) do update"
        " set alive_since = now() - interval '1 hour', last_pulse_at = now()"
    )

    async def claimed_by(poller):
        answer = await poller.client.get(f"/api/workers/{poller.id}/poll")
        assert answer.json()["claimedSessionIds"] == [session_id]

    async def silent():
        await make.owner.execute(
            "update workers set last_heartbeat_at = now() - interval '1 hour',"
            " covered_at = now() - interval '1 hour' where id = %s",
            (worker.id,),
        )
        await make.owner.execute(
            "update sessions set last_call_at = now() - interval '1 hour'"
            " where org_id = %s and id = %s",
            (make.org_id, session_id),
        )
        assert await run_job(requeue_orphans) >= 1

    steps = [
        ("working", lambda: claimed_by(worker)),
        ("queued", silent),
        ("working", lambda: claimed_by(other)),
        ("queued", lambda: other.client.delete(f"/api/workers/{other.id}")),
        ("stopped", lambda: make.org.post(f"/api/public/sessions/{public_id}/stop")),
    ]
    async with following(address, make.org, session_id) as stream:
        assert await stream.next() == ("status", {"status": "queued"}, None)
        await asyncio.sleep(0.3)  # the subscription follows within a quarter of a second
        for status, step in steps:
            await step()
            assert await stream.next(2) == ("status", {"status": status}, None)


async def test_the_end_that_a_worker_reports_arrives_at_once(make, address, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_SECONDS", 3600)
    worker = await make.worker()
    session_id = await make.claimed(worker)
    async with following(address, make.org, session_id) as stream:
        await stream.next()
        await asyncio.sleep(0.3)  # the subscription follows within a quarter of a second
        await report(worker, session_id, "completed")

        assert await stream.next(2) == ("status", {"status": "completed"}, None)


async def test_many_streams_of_many_sessions_share_one_subscription(make, address):
    worker = await make.worker(capacity=50)
    ids = [await make.claimed(worker) for _ in range(10)]
    redis = store.current()

    async def subscribers():
        return [c for c in await redis.client_list() if c["sub"] != "0"]

    before = len(await subscribers())

    async def follow(session_id):
        async with following(address, make.org, session_id) as stream:
            await stream.next()
            return [await stream.activity(10) for _ in range(5)]

    streams = [asyncio.create_task(follow(each)) for each in ids for _ in range(3)]
    await eventually(lambda: watched() == 30, 10)
    await asyncio.sleep(0.5)
    listening = await subscribers()
    for number in range(5):
        await asyncio.gather(*(post(worker, each, str(number)) for each in ids))

    assert await asyncio.gather(*streams) == [[str(n) for n in range(5)]] * 30
    assert len(listening) - before == 1
    assert int(max(c["sub"] for c in listening)) <= 10
    await eventually(lambda: watched() == 0)


# --- resuming ---


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_client_that_comes_back_misses_and_repeats_nothing(make, address, by_header):
    session_id = await stored(make, 30)
    seen, last = [], None
    while len(seen) < 30:
        query = {"lastEventId": last} if last and not by_header else None
        headers = {"Last-Event-ID": last} if last and by_header else {}
        async with following(address, make.org, session_id, query, **headers) as stream:
            for _ in range(8):
                if len(seen) == 30:
                    break
                kind, _data, number = await stream.next()
                if kind == "activity":
                    seen.append(int(number))
                    last = number

    assert seen == list(range(1, 31))


async def test_the_header_goes_before_the_query(make, address):
    session_id = await stored(make, 5)
    query = {"lastEventId": "1"}
    headers = {"Last-Event-ID": "4"}
    async with following(address, make.org, session_id, query, **headers) as stream:
        await stream.next()
        assert await stream.activity() == "5"


@pytest.mark.parametrize(("last", "first"), [("x", "1"), ("-3", "1"), ("0", "1"), ("", "1")])
async def test_an_id_that_is_no_number_starts_at_the_beginning(make, address, last, first):
    session_id = await stored(make, 2)
    async with following(address, make.org, session_id, **{"Last-Event-ID": last}) as stream:
        await stream.next()
        assert await stream.activity() == first


async def test_an_id_from_the_future_waits_for_what_comes_next(make, address):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await post(worker, session_id, "old")
    headers = {"Last-Event-ID": "9" * 30}
    async with following(address, make.org, session_id, **headers) as stream:
        await stream.next()
        await post(worker, session_id, "new")
        assert await stream.activity() == "new"


# --- gaps ---


async def test_missing_activities_are_told_of(make, address):
    session_id = await stored(make, 8, status="completed", missing=[1, 2, 5, 8])
    async with following(address, make.org, session_id) as stream:
        events = await stream.rest()

    assert [
        (kind, data.get("id") or (data.get("from"), data.get("to"))) for kind, data, _ in events
    ][1:-1] == [
        ("gap", (1, 2)),
        ("activity", "3"),
        ("activity", "4"),
        ("gap", (5, 5)),
        ("activity", "6"),
        ("activity", "7"),
        ("gap", (8, 8)),
    ]
    assert [number for kind, _, number in events if kind == "gap"] == ["2", "5", "8"]


async def test_who_is_ten_thousand_behind_is_told_and_gets_the_newest(make, address):
    session_id = await stored(make, 10_203, status="completed")
    async with following(address, make.org, session_id, **{"Last-Event-ID": "3"}) as stream:
        events = await stream.rest(20)

    assert events[1] == ("gap", {"from": 4, "to": 203}, "203")
    numbers = [int(number) for kind, _, number in events if kind == "activity"]
    assert numbers == list(range(204, 10_204))


# --- who may follow ---


async def test_workers_follow_by_the_trackers_id_and_readers_by_either(make, address):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    public_id = (await make.stored(session_id)).public_id
    await report(worker, session_id, "completed")

    for caller, name, status in (
        (worker.client, session_id, 200),
        (make.client(make.worker_key), session_id, 200),
        (make.org, session_id, 200),
        (make.org, public_id, 200),
        (worker.client, public_id, 404),
    ):
        answer = await caller.get(f"/api/sessions/{name}/stream")
        assert answer.status_code == status


async def test_others_are_refused_before_anything_is_sent(make, anonymous):
    session_id = await make.session()
    elsewhere = await make.project()
    url = f"/api/sessions/{session_id}/stream"
    foreign = make.client(await make.key(await make.organization()))
    apart = make.client(await make.key(projects=[elsewhere], scopes=["sessions:read"]))
    scopeless = make.client(await make.key(scopes=["projects:read"]))

    assert (await anonymous.get(url)).status_code == 401
    assert (await scopeless.get(url)).status_code == 403
    assert (await make.system.get(url)).status_code == 403
    for caller in (foreign, apart):
        assert (await caller.get(url)).status_code == 404
    chosen = await make.org.get(url, headers={"X-Rensei-Project": elsewhere})
    assert chosen.status_code == 404


async def test_a_links_hash_opens_no_stream(make, anonymous):
    session_id = await make.session()
    await make.org.patch(f"/api/org/{make.org_id}/settings", json={"sessionHashLinks": True})

    answer = await anonymous.get(f"/api/sessions/{session_id}/stream?sessionHash={'a' * 32}")

    assert answer.status_code == 401


@pytest.mark.parametrize("kind", ["key", "worker", "cookie"])
async def test_a_credential_that_ends_ends_its_stream(make, address, monkeypatch, kind):
    monkeypatch.setattr(handlers_following, "CREDENTIAL_SECONDS", 0.3)
    scopes = {} if kind == "worker" else {"scopes": ["sessions:read"]}
    key = await make.key_answer(projects=[make.project_id], **scopes)
    caller = make.client(key["fullKey"])
    if kind == "worker":
        caller = (await make.worker(key=key["fullKey"])).client
    if kind == "cookie":
        signed_in = await caller.post("/api/auth/session")
        assert signed_in.status_code in {200, 201}, signed_in.text
        cookie = signed_in.cookies[COOKIE]
        caller = make.client(headers={"Cookie": f"{COOKIE}={cookie}"})
    session_id = await make.session()

    async with following(address, caller, session_id) as stream:
        await stream.next()
        await asyncio.sleep(0.5)
        assert watched() == 1
        await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
        ((event, data, _),) = await stream.rest()

    assert event == "error"
    assert data["error"]


# --- while it lasts ---


async def test_a_quiet_stream_shows_that_it_lives(make, address, monkeypatch):
    monkeypatch.setattr(handlers_following, "KEEP_ALIVE_SECONDS", 0.1)
    session_id = await make.session()
    async with following(address, make.org, session_id) as stream:
        await stream.next()
        with pytest.raises(TimeoutError):
            await stream.next(0.75)

    assert 4 <= stream.comments <= 9


async def test_a_client_that_leaves_frees_everything(make, address):
    session_id = await make.session()
    async with following(address, make.org, session_id) as stream:
        await stream.next()
        assert watched() == 1

    await eventually(lambda: watched() == 0)
    assert session_watch.current()._tasks == []


async def test_a_client_that_takes_nothing_holds_little_and_is_cut_off(make, address, monkeypatch):
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 1.0)
    session_id = await make.session(activity_count=400, status="running")
    await make.owner.execute(
        "insert into activities (org_id, session_id, seq, type, activity)"
        " select %s, %s, n, 'thought',"
        " jsonb_build_object('type', 'thought', 'content', repeat('x', 100000))"
        " from generate_series(1, 400) n",
        (make.org_id, session_id),
    )
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect((host, int(port)))
        silent.sendall(
            f"GET /api/sessions/{session_id}/stream HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {make.org_key}\r\n\r\n".encode()
        )
        await eventually(lambda: watched() == 1)
        began = time.monotonic()
        await eventually(lambda: watched() == 0)

    assert 0.5 < time.monotonic() - began < 4


# --- without Redis ---


async def test_without_redis_news_come_within_a_second_or_so(make, address):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    given, store._redis = store._redis, None
    try:
        async with following(address, make.org, session_id) as stream:
            await stream.next()
            began = time.monotonic()
            await post(worker, session_id, "late")
            assert await stream.activity() == "late"
            assert time.monotonic() - began < 2.5
    finally:
        store._redis = given


async def test_a_redis_that_is_away_costs_posts_nothing(make, address):
    from redis.asyncio import Redis

    worker = await make.worker()
    session_id = await make.claimed(worker)
    given, store._redis = store._redis, Redis(host="127.0.0.1", port=1)
    try:
        async with following(address, make.org, session_id) as stream:
            await stream.next()
            began = time.monotonic()
            for number in range(10):
                await post(worker, session_id, str(number))
            assert time.monotonic() - began < 3
            assert [await stream.activity() for _ in range(10)] == [str(n) for n in range(10)]
    finally:
        store._redis = given


async def test_who_changes_a_session_behind_our_back_is_noticed(make, address):
    session_id = await make.session()
    async with following(address, make.org, session_id) as stream:
        assert await stream.next() == ("status", {"status": "queued"}, None)
        await make.owner.execute(
            "update sessions set status = 'stopped', finished_at = now() where id = %s",
            (session_id,),
        )
        assert await stream.next(3) == ("status", {"status": "stopped"}, None)
        assert await stream.next() == ("end", {"status": "stopped"}, None)


# --- the end of the process ---


async def test_sigterm_ends_open_streams_cleanly_and_soon(make, given, tmp_path):
    worker = await make.worker()
    ids = [await make.claimed(worker) for _ in range(3)]
    async with own_server(given, tmp_path) as (process, url):

        async def follow(session_id):
            async with following(url, make.org, session_id) as stream:
                await stream.next()
                started.release()
                return await stream.rest(10), time.monotonic()

        started = asyncio.Semaphore(0)
        streams = [asyncio.create_task(follow(each)) for each in ids]
        for _ in ids:
            await started.acquire()
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        ended = await asyncio.gather(*streams)
        await asyncio.wait_for(process.wait(), 5)
        gone = time.monotonic()

    # An unclean end would have raised: the last chunk is what says that the answer is whole.
    assert [events for events, _ in ended] == [[], [], []]
    assert max(at for _, at in ended) - told < 1.5
    assert gone - told < 4
    assert (tmp_path / "log").read_text() == ""
