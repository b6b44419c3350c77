"""What the agent of an interview says, as it is followed over real sockets."""

import asyncio
import random
import signal
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from domain import interviews
from handlers import event_stream
from handlers import following as handlers_following
from persistence import interview_frames
from persistence.ephemeral import store
from services import session_watch
from tests.streams import Stream, eventually, opened, own_server, watched


class Frames(Stream):
    """An open stream of an interview."""

    async def frame(self, within=5.0):
        kind, data, place = await self.next(within)
        assert kind == "frame", (kind, data)
        assert place.endswith(f"-{data['index']}")
        return data["turnId"], data["index"], data["text"]

    async def texts(self, count, within=5.0):
        return [(await self.frame(within))[2] for _ in range(count)]


@asynccontextmanager
async def following(address, caller, interview_id, query=None, **headers):
    path = f"/api/interview/{interview_id}/stream"
    async with opened(address, caller, path, query, **headers) as stream:
        yield Frames(stream.response)


async def held(make):
    worker = await make.worker()
    interview_id, session_id = await make.interview()
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
    assert session_id in answer.json()["claimedSessionIds"]
    return worker, interview_id, session_id


async def say(worker, session_id, *texts, turn="turn-0", start=0, done=False):
    frames = [
        {"index": n, "text": text, "done": done and n == start + len(texts) - 1}
        for n, text in enumerate(texts, start)
    ]
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/token-delta", json={"turnId": turn, "frames": frames}
    )
    assert answer.status_code == 200, answer.text


async def report(worker, session_id, status):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert answer.status_code == 200, answer.text


async def finished(make, *turns):
    """The id of an ended interview with these texts, a turn each, one frame a character."""
    worker, interview_id, session_id = await held(make)
    for number, text in enumerate(turns):
        await say(worker, session_id, *text, turn=f"turn-{number}", done=True)
    await make.end(session_id)
    return interview_id, session_id


def texts(events):
    return "".join(data["text"] for kind, data, _ in events if kind == "frame")


# --- what comes ------------------------------------------------------------------------------


async def test_an_interview_is_followed_from_its_first_frame_to_its_end(make, address, monkeypatch):
    monkeypatch.setattr("handlers.interview_stream.END_SECONDS", 0.5)
    worker, interview_id, session_id = await held(make)
    await say(worker, session_id, "Which ")

    async with following(address, make.org, interview_id) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert await stream.next() == ("status", {"status": "working"}, None)
        assert await stream.next() == (
            "frame",
            {"turnId": "turn-0", "index": 0, "text": "Which ", "done": False},
            "1-0",
        )
        await say(worker, session_id, "currency?", start=1, done=True)
        assert await stream.frame() == ("turn-0", 1, "currency?")
        await say(worker, session_id, "Thanks", turn="turn-1", done=True)
        assert await stream.frame() == ("turn-1", 0, "Thanks")
        await report(worker, session_id, "running")
        await report(worker, session_id, "completed")
        await say(worker, session_id, "Good bye", turn="turn-2", done=True)
        events = await stream.rest()

    assert sorted(kind for kind, _, _ in events) == ["end", "frame", "status"]
    assert events[-1] == ("end", {"status": "completed"}, None)
    assert texts(events) == "Good bye"
    await eventually(lambda: watched() == 0)


async def test_an_ended_interview_is_shown_and_the_stream_closes(make):
    """Over the checking client, which holds the answer to the contract."""
    interview_id, _ = await finished(make, "abc", "de")

    answer = await make.org.get(f"/api/interview/{interview_id}/stream")

    assert answer.status_code == 200
    assert answer.text.startswith("retry: 2000\n\nevent: status\n")
    assert [line for line in answer.text.splitlines() if line.startswith("id: ")] == [
        f"id: {each}" for each in ("1-0", "1-1", "1-2", "2-0", "2-1")
    ]
    assert answer.text.endswith('event: end\ndata: {"status":"completed"}\n\n')


async def test_frames_that_come_in_any_order_and_twice_are_shown_once_and_in_order(make, address):
    """Posts of a few frames each, several at once, some of them again."""
    worker, interview_id, session_id = await held(make)
    await say(worker, session_id, "0")
    chance = random.Random(7)
    posts = [(start, min(start + 5, 200)) for start in range(1, 200, 5)] * 2
    posts += [(start, start + 9) for start in range(3, 180, 20)]
    chance.shuffle(posts)

    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        waiting = asyncio.create_task(stream.texts(200, 20))
        for start in range(0, len(posts), 4):
            await asyncio.gather(
                *(
                    say(worker, session_id, *map(str, range(first, last)), start=first)
                    for first, last in posts[start : start + 4]
                )
            )
        assert await waiting == [str(n) for n in range(200)]


async def test_a_frame_that_never_comes_is_told_of_after_a_while(make, address, monkeypatch):
    monkeypatch.setattr(interviews, "HOLD_SECONDS", 0.5)
    worker, interview_id, session_id = await held(make)
    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        await say(worker, session_id, "a")
        assert await stream.frame() == ("turn-0", 0, "a")
        began = time.monotonic()
        await say(worker, session_id, "d", "e", start=3)
        assert await stream.next() == ("gap", {"turnId": "turn-0", "from": 1, "to": 2}, "1-2")
        assert 0.3 < time.monotonic() - began < 2.5
        assert await stream.texts(2) == ["d", "e"]
        await say(worker, session_id, "b", "c", start=1)
        await say(worker, session_id, "f", start=5)
        assert await stream.texts(1) == ["f"]

    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        assert await stream.texts(6) == list("abcdef")


async def test_a_new_claim_begins_anew_and_says_so(make, address):
    first, interview_id, session_id = await held(make)
    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        await say(first, session_id, "Hello")
        assert await stream.frame() == ("turn-0", 0, "Hello")
        await first.client.delete(f"/api/workers/{first.id}")
        second = await make.worker()
        await second.client.get(f"/api/workers/{second.id}/poll")
        await say(second, session_id, "Good day")
        events = [await stream.next() for _ in range(3)]
        kinds = [event for event in events if event[0] != "status"]
        while len(kinds) < 3:
            kinds.append(await stream.next())

    assert kinds == [
        ("gap", {"turnId": "turn-0", "from": 1}, "1-999999"),
        ("restart", {"turnId": "turn-0"}, None),
        ("frame", {"turnId": "turn-0", "index": 0, "text": "Good day", "done": False}, "2-0"),
    ]


async def test_turns_that_are_no_longer_kept_are_told_of(make, address):
    interview_id, session_id = await finished(make, "abc", "de")
    await make.owner.execute(
        "update interview_turns set begun_at = now() - interval '2 days'"
        " where session_id = %s and number = 1",
        (session_id,),
    )
    await make.owner.execute(interview_frames.PRUNE, {"kept": 86400.0})

    async with following(address, make.org, interview_id) as stream:
        events = await stream.rest()

    assert events[1] == ("gap", {"turnId": "turn-0", "from": 0, "to": 2}, "1-2")
    assert texts(events) == "de"


async def test_a_long_interview_comes_in_portions_and_whole(make, address):
    """More turns than one reading brings, and more frames in one of them."""
    interview_id, session_id = await make.interview()
    await make.owner.execute(
        "insert into interview_turns (org_id, session_id, number, claimed_at, turn_id)"
        " select %s, %s, n, '2026-07-01', 'turn-' || (n - 1) from generate_series(1, 250) n",
        (make.org_id, session_id),
    )
    await make.owner.execute(
        "insert into interview_frames (org_id, session_id, turn, index, text, done)"
        " select %(org)s, %(session)s, n, i, n || '.' || i || ' ', i = 1"
        "  from generate_series(1, 250) n, generate_series(0, 1) i"
        " union all select %(org)s, %(session)s, 250, i, repeat('x', 300), false"
        "  from generate_series(2, 1501) i",
        {"org": make.org_id, "session": session_id},
    )
    await make.end(session_id)

    async with following(address, make.org, interview_id) as stream:
        events = await stream.rest(20)

    frames = [data for kind, data, _ in events if kind == "frame"]
    assert [kind for kind, _, _ in events if kind != "frame"] == ["status", "end"]
    assert [(data["turnId"], data["index"]) for data in frames] == [
        *((f"turn-{n}", i) for n in range(250) for i in (0, 1)),
        *(("turn-249", i) for i in range(2, 1502)),
    ]


async def test_line_breaks_in_a_frame_break_no_event(make):
    worker, interview_id, session_id = await held(make)
    text = "a\n\nevent: end\ndata: {}\r\n\r\n\u2028b\x85c"
    await say(worker, session_id, text, "", done=True)
    await make.end(session_id)

    raw = (await make.org.get(f"/api/interview/{interview_id}/stream")).content

    assert [line for line in raw.split(b"\n") if line.startswith(b"event: ")] == [
        b"event: status",
        b"event: frame",
        b"event: frame",
        b"event: end",
    ]
    assert b"\r" not in raw


# --- soon ------------------------------------------------------------------------------------


async def test_a_posted_frame_arrives_at_once(make, address):
    """By the nudge, long before the look that is taken once a second."""
    worker, interview_id, session_id = await held(make)
    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        await asyncio.sleep(0.5)  # the subscription follows within a quarter of a second
        delays = []
        for number in range(20):
            began = time.perf_counter()
            await say(worker, session_id, str(number), start=number)
            assert (await stream.frame())[2] == str(number)
            delays.append(time.perf_counter() - began)

    assert sorted(delays)[10] < 0.4


async def test_readers_who_stand_at_the_same_place_read_together(make, address, monkeypatch):
    worker, interview_id, session_id = await held(make)
    readings = Counter()
    read = interview_frames.read

    async def counted(org_id, session_id, turn, index, portion):
        readings[turn, index] += 1
        return await read(org_id, session_id, turn, index, portion)

    monkeypatch.setattr(interview_frames, "read", counted)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(following(address, make.org, interview_id))
            for _ in range(20)
        ]
        for stream in streams:
            await stream.next()
        await asyncio.sleep(0.5)
        readings.clear()
        for number in range(10):
            await say(worker, session_id, str(number), start=number)
            for stream in streams:
                assert (await stream.frame())[2] == str(number)
    await eventually(lambda: watched() == 0)

    # Twenty for every frame, if each read for itself.
    assert sum(readings.values()) < 60


async def test_without_redis_frames_come_within_a_second_or_so(make, address):
    worker, interview_id, session_id = await held(make)
    given, store._redis = store._redis, None
    try:
        async with following(address, make.org, interview_id) as stream:
            await stream.next()
            began = time.monotonic()
            await say(worker, session_id, "late")
            assert await stream.texts(1) == ["late"]
            await say(worker, session_id, "later", start=1)
            assert await stream.texts(1) == ["later"]
            assert time.monotonic() - began < 3.5
    finally:
        store._redis = given


async def test_frames_of_another_process_are_shown(make, address):
    """Stored without a word to this one."""
    worker, interview_id, session_id = await held(make)
    await say(worker, session_id, "a")
    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        await stream.frame()
        await make.owner.execute(
            "insert into interview_frames (org_id, session_id, turn, index, text, done)"
            " values (%s, %s, 1, 1, 'b', false)",
            (make.org_id, session_id),
        )
        assert await stream.texts(1) == ["b"]


# --- coming back -----------------------------------------------------------------------------


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_client_that_comes_back_misses_and_repeats_nothing(make, address, by_header):
    interview_id, _ = await finished(make, "abcdefghij", "klmnop", "qrstuvwxyz")
    seen, last = "", None
    while len(seen) < 26:
        query = {"lastEventId": last} if last and not by_header else None
        headers = {"Last-Event-ID": last} if last and by_header else {}
        async with following(address, make.org, interview_id, query, **headers) as stream:
            await stream.next()
            for _ in range(min(7, 26 - len(seen))):
                _, data, last = await stream.next()
                seen += data["text"]

    assert seen == "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("last", ["x", "-3", "0-0", "9-9", "1", ""])
async def test_an_id_that_is_none_of_the_interviews_starts_at_the_beginning(make, address, last):
    interview_id, _ = await finished(make, "ab")
    async with following(address, make.org, interview_id, **{"Last-Event-ID": last}) as stream:
        await stream.next()
        assert await stream.texts(2) == ["a", "b"]


async def test_who_has_seen_all_is_told_the_end_alone(make, address):
    interview_id, _ = await finished(make, "ab")
    async with following(address, make.org, interview_id, **{"Last-Event-ID": "1-1"}) as stream:
        assert [kind for kind, _, _ in await stream.rest()] == ["status", "end"]


# --- who may follow --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["key", "m2m"])
async def test_a_credential_that_ends_ends_its_stream(make, address, monkeypatch, kind):
    monkeypatch.setattr(handlers_following, "CREDENTIAL_SECONDS", 0.3)
    interview_id, _ = await make.interview()
    if kind == "key":
        key = await make.key_answer(scopes=["sessions:read"])
        caller, gone = make.client(key["fullKey"]), f"/api/org/{make.org_id}/keys/{key['id']}"
    else:
        made = await make.org.post(
            "/api/admin/m2m-clients", json={"name": "t", "scopes": ["sessions:read"]}
        )
        client = made.json()["client"]
        token = await make.client().post(
            "/api/oauth/token",
            json={
                "grant_type": "client_credentials",
                "client_id": client["clientId"],
                "client_secret": client["clientSecret"],
            },
        )
        caller = make.client(token.json()["access_token"])
        gone = f"/api/admin/m2m-clients/{client['clientId']}"

    async with following(address, caller, interview_id) as stream:
        await stream.next()
        await make.org.delete(gone)
        ((event, data, _),) = await stream.rest()

    assert event == "error"
    assert data["error"]


# --- while it lasts --------------------------------------------------------------------------


async def test_a_quiet_stream_shows_that_it_lives(make, address, monkeypatch):
    monkeypatch.setattr(handlers_following, "KEEP_ALIVE_SECONDS", 0.1)
    interview_id, _ = await make.interview()
    async with following(address, make.org, interview_id) as stream:
        await stream.next()
        with pytest.raises(TimeoutError):
            await stream.next(0.75)

    assert 4 <= stream.comments <= 9


async def test_a_reader_who_takes_nothing_delays_nobody_and_is_cut_off(make, address, monkeypatch):
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 1.0)
    worker, interview_id, session_id = await held(make)
    await say(worker, session_id, "a")
    await make.owner.execute(
        "insert into interview_frames (org_id, session_id, turn, index, text, done)"
        " select %s, %s, 1, n, repeat('x', 16000), false from generate_series(1, 2000) n",
        (make.org_id, session_id),
    )
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect((host, int(port)))
        silent.sendall(
            f"GET /api/interview/{interview_id}/stream HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {make.org_key}\r\n\r\n".encode()
        )
        await eventually(lambda: watched() == 1)
        began = time.monotonic()
        headers = {"Last-Event-ID": "1-2000"}
        async with following(address, make.org, interview_id, **headers) as stream:
            await stream.next()
            await say(worker, session_id, "now", start=2001)
            assert await stream.texts(1) == ["now"]
        await eventually(lambda: watched() == 0)

    assert 0.5 < time.monotonic() - began < 5
    assert session_watch.current()._tasks == []


async def test_sigterm_ends_open_streams_cleanly_and_soon(make, given, tmp_path):
    """One of them with a frame held back."""
    worker, interview_id, session_id = await held(make)
    other_worker, other_id, other_session = await held(make)
    async with own_server(given, tmp_path) as (process, url):

        async def follow(each):
            async with following(url, make.org, each) as stream:
                await stream.next()
                started.release()
                return await stream.rest(10), time.monotonic()

        started = asyncio.Semaphore(0)
        streams = [asyncio.create_task(follow(each)) for each in (interview_id, other_id)]
        for _ in streams:
            await started.acquire()
        # Through the process of the tests, whose frames the other hears of.
        await say(worker, session_id, "a")
        await say(other_worker, other_session, "c", start=2)
        await asyncio.sleep(1.3)
        told = time.monotonic()
        process.send_signal(signal.SIGTERM)
        ended = await asyncio.gather(*streams)
        await asyncio.wait_for(process.wait(), 5)

    # An unclean end would have raised: the last chunk is what says that the answer is whole.
    assert [texts(events) for events, _ in ended] == ["a", ""]
    assert max(at for _, at in ended) - told < 1.5
    assert (tmp_path / "log").read_text() == ""
