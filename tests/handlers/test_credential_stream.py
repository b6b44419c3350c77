"""Rotations as they reach the workers of sessions, over real sockets."""

import asyncio
import signal
import socket
import time
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from auth import tokens
from handlers import credential_stream, event_stream
from persistence.ephemeral import store
from services import credential_watch
from tests import streams
from tests.contract.world import claims_of
from tests.streams import eventually, own_server

PATH = "/api/daemon/credentials/rotate-stream"
SNAPSHOT = "/api/daemon/credentials/snapshot"


def following(address, caller, session_id, query=None, **headers):
    return streams.opened(
        address, caller, PATH, {"sessionId": session_id, **(query or {})}, **headers
    )


async def rotate(make, kind="anthropic"):
    answer = await make.org.post(
        "/api/daemon/credentials/rotate", json={"orgId": make.org_id, "kind": kind}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def update(stream, within=5.0):
    """The next update as (kind, env, id)."""
    event, data, number = await stream.next(within)
    assert event == "UPDATE", (event, data)
    assert set(data) == {"kind", "env", "rotatedAt"}
    return data["kind"], data["env"], number


async def silent(stream, for_seconds=0.3):
    """Nothing comes; the stream can be read no further."""
    with pytest.raises(TimeoutError):
        await stream.next(for_seconds)


def watched():
    return len(credential_watch.current().everyone())


@pytest.fixture
async def working(make):
    """A worker, and a session that it holds."""
    worker = await make.worker()
    return worker, await make.claimed(worker)


# --- what comes ---


async def test_a_rotation_brings_the_present_values_at_once(make, address, working):
    worker, session_id = working
    await make.credential("anthropic", ANTHROPIC_API_KEY="old", OTHER="1")
    await make.credential("npm", NPM_TOKEN="npm")

    async with following(address, worker.client, session_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        await eventually(lambda: watched() == 1)
        # What is set is spread by a rotation, not before: the first update has the new value.
        await make.credential("anthropic", ANTHROPIC_API_KEY="new", OTHER="1")
        began = time.monotonic()
        said = await rotate(make)
        assert await update(stream) == (
            "anthropic",
            {"ANTHROPIC_API_KEY": "new", "OTHER": "1"},
            "1",
        )
        assert time.monotonic() - began < 1
        assert said["sessionCount"] == 1
        await rotate(make, "npm")
        assert await update(stream) == ("npm", {"NPM_TOKEN": "npm"}, "2")
    await eventually(lambda: watched() == 0)


async def test_each_stream_gets_what_its_own_project_and_environment_are_given(make, address):
    """And of what it is not given, it is told nothing at all."""
    other = await make.project()
    key = await make.key(projects=[other])
    mine, theirs = await make.worker(), await make.worker(key)
    session_id = await make.claimed(mine)
    their_session = await make.claimed(theirs, project_id=other)
    await make.credential("npm", TOKEN="org")
    await make.credential("npm", place={"projectId": other}, TOKEN="theirs")
    await make.credential("npm", place={"envName": "staging"}, TOKEN="staging")
    await make.credential("aws", place={"projectId": other}, KEY="theirs")

    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(following(address, worker.client, session, query))
            for worker, session, query in (
                (mine, session_id, {}),
                (mine, session_id, {"envName": "staging"}),
                (theirs, their_session, {}),
            )
        ]
        await eventually(lambda: watched() == 3)
        assert (await rotate(make, "npm"))["sessionCount"] == 3
        values = [(await update(stream))[1]["TOKEN"] for stream in opened]
        assert values == ["org", "staging", "theirs"]
        assert (await rotate(make, "aws"))["sessionCount"] == 1
        assert await update(opened[2]) == ("aws", {"KEY": "theirs"}, "2")
        await silent(opened[0])
        await silent(opened[1], 0.05)


async def test_another_organizations_rotation_is_not_heard(make, address, working):
    worker, session_id = working
    other = await make.organization()
    await make.credential("anthropic", other, A="theirs")
    await make.credential("anthropic", A="mine")

    async with following(address, worker.client, session_id) as stream:
        await eventually(lambda: watched() == 1)
        caller = make.client(await make.key(other))
        await caller.post(
            "/api/daemon/credentials/rotate", json={"orgId": other, "kind": "anthropic"}
        )
        await silent(stream)


async def test_many_streams_cost_one_reading_of_the_values(make, address, working, monkeypatch):
    worker, session_id = working
    await make.credential("anthropic", A="1")
    readings = []
    present = credential_watch.credentials.present

    async def counted(scopes):
        readings.append(len(scopes))
        return await present(scopes)

    monkeypatch.setattr(credential_watch.credentials, "present", counted)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(following(address, worker.client, session_id))
            for _ in range(30)
        ]
        await eventually(lambda: watched() == 30)
        assert (await rotate(make))["sessionCount"] == 30
        for stream in opened:
            assert await update(stream) == ("anthropic", {"A": "1"}, "1")

    assert readings == [1]


async def test_redis_hears_that_there_was_a_rotation_and_nothing_else(make, working, address):
    worker, session_id = working
    await make.credential("anthropic", ANTHROPIC_API_KEY="the-value-itself")
    heard = []
    async with store.current().pubsub() as ear, following(address, worker.client, session_id) as s:
        await ear.psubscribe("*")
        await eventually(lambda: watched() == 1)
        await rotate(make)
        await update(s)
        while message := await ear.get_message(timeout=0.2):
            if make.org_id in str(message["channel"]):
                heard.append((message["channel"], message["data"]))

    assert heard == [(f"rensei:nudge:credentials:{{{make.org_id}}}", "")]


# --- coming back ---


@pytest.mark.parametrize("by_header", [True, False])
async def test_who_comes_back_gets_the_last_of_each_kind_it_missed(
    make, address, working, by_header
):
    worker, session_id = working
    for kind in ("a", "b", "c"):
        await make.credential(kind, **{kind.upper(): "1"})
    for kind in ("a", "b", "a", "c", "b"):
        await rotate(make, kind)
    await make.credential("b", B="2")

    query = None if by_header else {"lastEventId": "1"}
    headers = {"Last-Event-ID": "1"} if by_header else {}
    async with following(address, worker.client, session_id, query, **headers) as stream:
        got = [await update(stream) for _ in range(3)]
        await silent(stream)

    assert got == [("a", {"A": "1"}, "3"), ("c", {"C": "1"}, "4"), ("b", {"B": "2"}, "5")]


async def test_between_a_snapshot_and_its_stream_nothing_is_missed(make, address, working):
    worker, session_id = working
    await make.credential("anthropic", A="1")
    await rotate(make)
    answer = await worker.client.post(
        SNAPSHOT, json={"orgId": make.org_id, "sessionId": session_id}
    )
    await make.credential("anthropic", A="2")
    await rotate(make)

    query = {"lastEventId": answer.json()["lastEventId"]}
    async with following(address, worker.client, session_id, query) as stream:
        assert await update(stream) == ("anthropic", {"A": "2"}, "2")
        await silent(stream)


async def test_a_new_stream_is_told_its_place_and_nothing_of_the_past(make, address, working):
    worker, session_id = working
    await make.credential("anthropic", A="1")
    await rotate(make)

    async with following(address, worker.client, session_id) as stream:
        lines = []
        async for line in stream._lines:
            if not line:
                break
            lines.append(line)
        assert lines == ["retry: 2000", "id: 1"]
        await silent(stream)


@pytest.mark.parametrize("place", ["99", "9" * 30])
async def test_an_id_from_the_future_waits_for_what_comes_next(make, address, working, place):
    worker, session_id = working
    await make.credential("anthropic", A="1")
    async with following(address, worker.client, session_id, {"lastEventId": place}) as stream:
        await eventually(lambda: watched() == 1)
        await rotate(make)
        assert await update(stream) == ("anthropic", {"A": "1"}, "1")


# --- who may follow, and for how long ---


async def test_only_the_worker_of_a_session_may_follow(make, working, anonymous):
    worker, session_id = working
    sibling = await make.worker()
    stranger = await make.worker(await make.key(projects=[await make.project()]))
    other = await make.organization()
    foreign = make.client(await make.key(other))
    url = f"{PATH}?sessionId={session_id}"

    for caller, status in (
        (anonymous, 401),
        (sibling.client, 403),
        (make.org, 403),
        (stranger.client, 404),
        (foreign, 404),
        (make.system, 403),
    ):
        assert (await caller.get(url)).status_code == status
    assert (await worker.client.get(f"{PATH}?sessionId=nobodys")).status_code == 404
    assert (await worker.client.get(PATH)).status_code == 400
    assert watched() == 0


@pytest.fixture
def checked_often(monkeypatch, application):
    monkeypatch.setattr(credential_watch, "CHECK_SECONDS", 0.2)
    monkeypatch.setattr(credential_watch.current(), "_check_at", 0.0)


async def ended(stream, within):
    """The event that a stream ends with, and how long that took."""
    began = time.monotonic()
    ((event, data, _),) = await stream.rest(within)
    return event, data, time.monotonic() - began


@pytest.mark.parametrize("kind", ["key", "worker"])
async def test_a_credential_that_is_revoked_ends_its_stream(make, address, checked_often, kind):
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key["fullKey"])
    session_id = await make.claimed(worker)
    caller = worker.client if kind == "worker" else make.client(key["fullKey"])

    async with following(address, caller, session_id) as stream:
        await eventually(lambda: watched() == 1)
        await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
        event, data, _ = await ended(stream, 4)
        again = await caller.get(f"{PATH}?sessionId={session_id}")

    assert (event, list(data)) == ("error", ["error"])
    assert again.status_code == 401


async def test_without_a_look_in_between_a_revoked_one_gets_no_new_secret(
    make, address, monkeypatch
):
    monkeypatch.setattr(credential_watch, "CHECK_SECONDS", 1000)
    monkeypatch.setattr(credential_watch.current(), "_check_at", time.monotonic() + 1000)
    key = await make.key_answer(projects=[make.project_id])
    worker = await make.worker(key["fullKey"])
    session_id = await make.claimed(worker)
    await make.credential("anthropic", A="for those who still may")

    async with following(address, worker.client, session_id) as stream:
        await eventually(lambda: watched() == 1)
        await make.org.delete(f"/api/org/{make.org_id}/keys/{key['id']}")
        await rotate(make)
        event, data, _ = await ended(stream, 4)

    assert event == "error"
    assert "env" not in data


async def test_a_runtime_token_that_expires_ends_its_stream(make, address, working):
    worker, session_id = working
    claims = claims_of(worker.answer["runtimeToken"])
    short = make.client(await tokens.mint(tokens.RUNTIME, claims, 2))

    async with following(address, short, session_id) as stream:
        event, data, took = await ended(stream, 5)
        again = await short.get(f"{PATH}?sessionId={session_id}")

    assert (event, data) == ("error", {"error": "Runtime token expired"})
    assert took < 3.5
    assert again.status_code == 401


async def test_a_key_that_expires_ends_its_stream(make, address, checked_often, working):
    _, session_id = working
    async with following(address, make.client(make.worker_key), session_id) as stream:
        await eventually(lambda: watched() == 1)
        await make.owner.execute(
            "update api_keys set expires_at = now() from workers w"
            " where w.registration_id = api_keys.id and w.org_id = %s",
            (make.org_id,),
        )
        event, _, _ = await ended(stream, 4)

    assert event == "error"


async def test_a_session_that_ends_ends_its_stream(make, address, checked_often, working):
    worker, session_id = working
    async with following(address, worker.client, session_id) as stream:
        await eventually(lambda: watched() == 1)
        for status in ("running", "completed"):
            await worker.client.post(
                f"/api/sessions/{session_id}/status",
                json={"workerId": worker.id, "status": status},
            )
        event, data, _ = await ended(stream, 4)
    after = await worker.client.get(f"{PATH}?sessionId={session_id}")

    assert (event, data) == ("end", {"status": "completed"})
    assert after.text.endswith('event: end\ndata: {"status":"completed"}\n\n')


async def test_a_session_that_another_takes_over_leaves_the_stream(
    make, address, checked_often, working
):
    worker, session_id = working
    heir = await make.worker()
    async with following(address, worker.client, session_id) as stream:
        await eventually(lambda: watched() == 1)
        await make.owner.execute(
            "update sessions set worker_id = %s, slot_worker_id = %s where id = %s",
            (heir.id, heir.id, session_id),
        )
        event, data, _ = await ended(stream, 4)

    assert event == "error"
    assert "owned by another worker" in data["error"]


# --- while it lasts ---


async def test_a_quiet_stream_shows_that_it_lives(make, address, monkeypatch, working):
    monkeypatch.setattr(credential_stream, "KEEP_ALIVE_SECONDS", 0.1)
    worker, session_id = working
    async with following(address, worker.client, session_id) as stream:
        await silent(stream, 0.75)

    assert 3 <= stream.comments <= 9


async def test_a_reader_that_takes_nothing_delays_nobody_and_is_cut_off(
    make, address, monkeypatch, working
):
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 1.5)
    worker, session_id = working
    host, _, port = address.removeprefix("http://").partition(":")
    await make.credential("anthropic", A="x" * 60_000, B="y" * 60_000, C="z" * 60_000)
    with socket.socket() as dead:
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        dead.connect((host, int(port)))
        dead.sendall(
            f"GET {PATH}?sessionId={session_id} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {worker.answer['runtimeToken']}\r\n\r\n".encode()
        )
        async with following(address, worker.client, session_id) as stream:
            await eventually(lambda: watched() == 2)
            for number in range(1, 41):
                began = time.monotonic()
                await rotate(make)
                assert (await update(stream))[2] == str(number)
                assert time.monotonic() - began < 1
            kept = [len(each._updates) for each in credential_watch.current().everyone()]
            assert max(kept) <= 1  # the last of the kind, however many it has missed
            await eventually(lambda: watched() == 1)


async def test_a_client_that_leaves_frees_everything(make, address, working, owner):
    worker, session_id = working
    async with following(address, worker.client, session_id):
        await eventually(lambda: watched() == 1)

    await eventually(lambda: watched() == 0)
    watch = credential_watch.current()
    assert watch._tasks == []
    await watch._resting
    rows = await owner.execute(
        "select 1 from credential_streams where process_id = %s", (watch.process_id,)
    )
    assert await rows.fetchall() == []


async def test_a_credential_that_does_not_open_is_left_out_and_stops_no_other(
    make, address, working, caplog
):
    worker, session_id = working
    await make.credential("anthropic", A="the-value-itself")
    broken = await make.credential("broken", B="the-other-value")
    async with following(address, worker.client, session_id, {"lastEventId": "0"}) as stream:
        await rotate(make, "broken")
        assert (await update(stream))[0] == "broken"
        await make.owner.execute(
            "update credentials set sealed = 'x' where id = %s", (broken["id"],)
        )
        refused = await make.org.post(
            "/api/daemon/credentials/rotate", json={"orgId": make.org_id, "kind": "broken"}
        )
        await rotate(make)
        assert await update(stream) == ("anthropic", {"A": "the-value-itself"}, "2")

    assert refused.status_code == 500
    assert broken["id"] in caplog.text
    assert "the-other-value" not in caplog.text


# --- without Redis ---


@pytest.mark.parametrize("redis", ["none", "away"])
async def test_without_redis_another_process_hears_within_a_second_or_so(
    make, address, working, given, tmp_path, redis
):
    """The rotation happens in another process; here nothing tells of it but the look."""
    worker, session_id = working
    await make.credential("anthropic", A="1")
    kept = store._redis
    store._redis = None if redis == "none" else Redis(host="127.0.0.1", port=1)
    try:
        async with following(address, worker.client, session_id) as stream:
            await eventually(lambda: watched() == 1)
            began = time.monotonic()
            await make.owner.execute(
                "with f as (insert into credential_feeds values (%s, 1))"
                " insert into credential_rotations (org_id, kind, number) values (%s, %s, 1)",
                (make.org_id, make.org_id, "anthropic"),
            )
            assert await update(stream) == ("anthropic", {"A": "1"}, "1")
            assert time.monotonic() - began < 2.5
    finally:
        store._redis = kept


# --- another process, and the end ---


async def test_another_process_counts_hears_and_ends_cleanly(make, address, given, tmp_path):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await make.credential("anthropic", A="1")
    async with own_server(given, tmp_path) as (process, url), AsyncExitStack() as stack:
        here = await stack.enter_async_context(following(address, worker.client, session_id))
        there = [
            await stack.enter_async_context(following(url, worker.client, session_id))
            for _ in range(3)
        ]
        told = (
            "select coalesce(sum(streams), 0)::int as n from credential_streams where org_id = %s"
        )
        async with asyncio.timeout(5):
            while (await (await make.owner.execute(told, (make.org_id,))).fetchone()).n != 4:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # a subscription follows within a quarter of a second
        began = time.monotonic()
        said = await rotate(make)
        got = [await update(stream) for stream in (here, *there)]
        took = time.monotonic() - began
        told_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rests = [await stream.rest(5) for stream in there]
        ended_after = time.monotonic() - told_at
        await asyncio.wait_for(process.wait(), 5)

    assert said["sessionCount"] == 4
    assert got == [("anthropic", {"A": "1"}, "1")] * 4
    assert took < 1
    # An unclean end would have raised: the last chunk is what says that the answer is whole.
    assert rests == [[], [], []]
    assert ended_after < 1.5
    assert (tmp_path / "log").read_text() == ""
