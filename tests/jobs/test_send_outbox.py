"""What sessions say reaches Linear: in order, at least once, and not for ever."""

import asyncio

import pytest

from domain.errors import Unavailable
from jobs import send_outbox as job
from jobs.deliver_events import deliver_events
from jobs.send_outbox import send_outbox
from persistence import outbox
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed
from tests.outbound.servers import graphql_error, reply


async def say(worker, session_id, *texts, kind="thought"):
    for text in texts:
        answer = await worker.client.post(
            f"/api/sessions/{session_id}/activity",
            json={"workerId": worker.id, "activity": {"type": kind, "content": text}},
        )
        assert answer.json()["forwarded"] is True, answer.text


async def rows(make):
    found = await make.owner.execute(
        "select *, extract(epoch from next_try_at - now()) as seconds_left from outbox"
        " where org_id = %s order by id",
        (make.org_id,),
    )
    return await found.fetchall()


async def all_due(make):
    await make.owner.execute(
        "update outbox set next_try_at = now() where org_id = %s", (make.org_id,)
    )


@pytest.fixture(autouse=True)
async def empty(owner, application):
    """Nothing of other tests is left to send."""
    await owner.execute("update outbox set status = 'dead' where status in ('waiting', 'sending')")


async def test_what_a_session_says_arrives_in_order(make, run_job, linear):
    worker = await make.worker()
    one, other = await make.claimed(worker), await make.claimed(worker)
    for n in range(4):
        await say(worker, one, f"one {n}")
        await say(worker, other, f"other {n}")
    linear.seconds = 0.01

    count = await run_job(send_outbox)

    assert count == 8
    for name in ("one", "other"):
        heard = [text for text in linear.texts() if text.startswith(name)]
        assert heard == [f"{name} {n}" for n in range(4)]
    assert {row.status for row in await rows(make)} == {"sent"}
    targets = {what["agentSessionId"] for _, what in linear.said}
    assert targets == {one, other}
    assert await run_job(send_outbox) == 0


async def test_after_a_500_it_is_sent_again_and_nothing_overtakes_it(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "a", "b")
    linear.trouble = [reply(500)]

    await run_job(send_outbox)
    first = await rows(make)
    nothing = list(linear.said)
    await all_due(make)
    await run_job(send_outbox)

    assert nothing == []
    assert [(row.status, row.attempts) for row in first] == [("waiting", 1), ("waiting", 0)]
    assert first[0].last_error.startswith("500")
    assert 1 < first[0].seconds_left <= 2.6
    assert linear.texts() == ["a", "b"]
    assert linear.tried[0] == linear.tried[1]


async def test_the_waits_grow_until_the_eighth_try_gives_up(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "hopeless", "next")
    linear.trouble = [reply(503)] * 8

    waits = []
    for _ in range(8):
        await run_job(send_outbox)
        waits.append((await rows(make))[0].seconds_left)
        await all_due(make)

    first, second = await rows(make)
    assert (first.status, first.attempts) == ("dead", 8)
    assert first.last_error.startswith("503")
    assert second.status == "sent"
    assert linear.texts() == ["next"]
    for n, wait in enumerate(waits[:7]):
        assert 2 * 3**n - 1 < wait <= 2 * 3**n * 1.25 + 1
    assert len(set(linear.tried[:8])) == 1


async def test_what_linear_rejects_is_given_up_at_once_and_the_next_goes_on(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "unwelcome", "next")
    linear.trouble = [graphql_error("Entity not found: AgentSession")]

    await run_job(send_outbox)

    first, second = await rows(make)
    assert (first.status, second.status) == ("dead", "sent")
    assert "Entity not found" in first.last_error
    assert linear.texts() == ["next"]


async def test_at_a_limit_the_whole_organization_waits_as_long_as_linear_says(
    make, run_job, linear
):
    worker = await make.worker()
    one, other = await make.claimed(worker), await make.claimed(worker)
    await say(worker, one, "a1", "a2")
    linear.trouble = [reply(429, Retry_After="300")]

    await run_job(send_outbox)
    asked = len(linear.tried)
    await say(worker, other, "b1")
    await run_job(send_outbox)

    first, second, third = await rows(make)
    assert asked == 1
    assert 299 < first.seconds_left <= 376
    assert 299 < second.seconds_left <= 376
    assert third.status == "sent"


@pytest.mark.parametrize("arrived", [True, False])
async def test_after_a_crash_between_sending_and_recording_the_same_id_is_sent_again(
    make, run_job, linear, monkeypatch, arrived
):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "a", "b")
    if not arrived:
        linear.trouble = [reply(500)]

    async def crash(*_):
        raise Unavailable

    with monkeypatch.context() as broken:
        broken.setattr(outbox, "settle", crash)
        broken.setattr(outbox, "put_off", crash)
        with pytest.raises(Unavailable):
            await run_job(send_outbox)
    between = [row.status for row in await rows(make)]
    await run_job(send_outbox)
    while_it_is_the_first_senders = len(linear.tried)
    await all_due(make)
    await run_job(send_outbox)

    assert between == ["sending", "waiting"]
    assert while_it_is_the_first_senders == 1
    assert linear.tried[0] == linear.tried[1]
    assert linear.texts() == ["a", "b"]
    assert [(row.status, row.attempts) for row in await rows(make)] == [("sent", 2), ("sent", 1)]


async def test_a_row_whose_senders_all_crash_is_given_up(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "deadly", "next")
    await make.owner.execute(
        "update outbox set status = 'sending', attempts = 8, next_try_at = now()"
        " where org_id = %s and payload::text like '%%deadly%%'",
        (make.org_id,),
    )

    await run_job(send_outbox)

    assert [row.status for row in await rows(make)] == ["dead", "sent"]
    assert linear.texts() == ["next"]


async def test_two_processes_at_once_never_send_one_row_at_the_same_time(make, run_job, linear):
    worker = await make.worker()
    sessions = [await make.claimed(worker) for _ in range(5)]
    for session_id in sessions:
        await say(worker, session_id, *(f"{session_id} {n}" for n in range(6)))
    linear.seconds = 0.01

    counts = await asyncio.gather(*(run_job(send_outbox) for _ in range(4)))
    while any(row.status == "waiting" for row in await rows(make)):
        counts.append(await run_job(send_outbox))

    assert sum(counts) == 30
    assert linear.most_at_once_of_one == 1
    assert len(linear.tried) == len(set(linear.tried)) == 30
    for session_id in sessions:
        heard = [text for text in linear.texts() if text.startswith(session_id)]
        assert heard == [f"{session_id} {n}" for n in range(6)]


async def test_a_slow_session_does_not_hold_up_the_others(make, run_job, linear):
    worker = await make.worker()
    slow, quick = await make.claimed(worker), await make.claimed(worker)
    await say(worker, slow, "slow")
    await say(worker, quick, "quick 1", "quick 2")
    held = asyncio.Event()

    async def answer(asked):
        if b"slow" in asked.body:
            await held.wait()
        return await usual(asked)

    usual, linear.answer = linear.answer, answer
    running = asyncio.ensure_future(run_job(send_outbox))
    async with asyncio.timeout(5):
        while linear.texts() != ["quick 1", "quick 2"]:
            await asyncio.sleep(0.01)
    held.set()

    assert await running == 3


async def test_without_the_credential_that_was_there_rows_end(make, run_job, linear, given):
    import settings

    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "a")
    settings.use(given)

    await run_job(send_outbox)

    (row,) = await rows(make)
    assert (row.status, row.attempts) == ("dead", 1)
    assert "credential" in row.last_error
    assert linear.tried == []


async def locked(make):
    locks = await make.owner.execute(
        "select 1 from pg_locks l join pg_class c on c.oid = l.relation"
        " where c.relname = 'outbox' and l.mode = 'RowExclusiveLock'"
    )
    return await locks.fetchone()


async def test_nothing_is_locked_while_linear_takes_its_time(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "a")
    held = asyncio.Event()

    async def answer(asked):
        await held.wait()
        return await usual(asked)

    usual, linear.answer = linear.answer, answer
    running = asyncio.ensure_future(run_job(send_outbox))
    while not linear.asked:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):  # the other lanes look for work once more
        while await locked(make):
            await asyncio.sleep(0.01)
    held.set()

    assert await running == 1


async def test_the_first_sign_of_life_comes_with_the_session(make, run_job, linear):
    workspace_id = f"lin_{make.org_id}"
    mapped = await make.system.post(
        f"/api/org/{make.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": workspace_id, "projectId": make.project_id},
    )
    assert mapped.status_code == 201, mapped.text
    event = linear_event(workspace_id)
    taken = await make.client().post("/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event))
    assert taken.status_code == 200

    await run_job(deliver_events)
    await run_job(send_outbox)

    ((kind, what),) = linear.said
    assert (kind, what["content"]["type"]) == ("activity", "thought")
    assert what["agentSessionId"] == event["agentSession"]["id"]


async def test_a_whole_session_as_linear_sees_it(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id, "Looking around")
    await say(worker, session_id, "Ran the tests", kind="action")
    call = worker.client.post
    mine = {"workerId": worker.id}
    await call(f"/api/sessions/{session_id}/progress", json={**mine, "message": "Green"})
    urls = [{"label": "Pull request", "url": "https://github.com/acme/billing/pull/318"}]
    await call(f"/api/sessions/{session_id}/external-urls", json={"externalUrls": urls})
    await call(
        f"/api/sessions/{session_id}/tool-error",
        json={**mine, "toolName": "Bash", "errorMessage": "pnpm: command not found"},
    )
    await call(f"/api/sessions/{session_id}/completion", json={**mine, "summary": "Done."})
    await call(f"/api/sessions/{session_id}/status", json={**mine, "status": "completed"})
    await call(f"/api/sessions/{session_id}/status", json={**mine, "status": "completed"})

    await run_job(send_outbox)

    assert [kind for kind, _ in linear.said] == [
        "activity", "activity", "activity", "external_urls", "issue", "comment", "activity",
    ]  # fmt: skip
    contents = [what["content"] for kind, what in linear.said if kind == "activity"]
    assert [content["type"] for content in contents] == ["thought", "action", "thought", "response"]
    assert linear.said[3][1] == {"externalUrls": urls}
    assert linear.said[4][1]["teamId"] == "team-1"
    stored = await make.stored(session_id)
    assert linear.said[5][1]["issueId"] == stored.issue_id


def test_an_id_is_the_same_for_one_row_and_for_no_other():
    from datetime import UTC, datetime
    from types import SimpleNamespace as Row
    from uuid import UUID

    now = datetime(2026, 7, 1, tzinfo=UTC)
    row = Row(org_id="o", session_id="s", id=1, created_at=now)
    others = [
        Row(org_id="o", session_id="s", id=2, created_at=now),
        Row(org_id="p", session_id="s", id=1, created_at=now),
        Row(org_id="o", session_id="s", id=1, created_at=now.replace(microsecond=1)),
    ]

    first = job.entity_id_of(row)

    assert first == job.entity_id_of(row)
    assert UUID(first).version == 4
    assert first not in {job.entity_id_of(other) for other in others}
