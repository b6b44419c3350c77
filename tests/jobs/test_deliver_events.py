"""Events are worked on once, in the order of their line, and tried again when they fail."""

import asyncio
from contextlib import AsyncExitStack
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import exc

from domain.errors import Unavailable
from jobs import deliver_events as delivering
from jobs.deliver_events import Taken, deliver_events
from persistence import sessions
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed

INGEST = "/api/webhooks/ingest/linear"


@pytest.fixture
async def workspace(make, run_job):
    """A mapped workspace, and nothing of other tests in the inbox."""
    await run_job(deliver_events)
    body = {
        "provider": "linear",
        "workspaceId": "lin-" + make.slug,
        "projectId": make.project_id,
    }
    made = await make.system.post(f"/api/org/{make.org_id}/workspaces", json=body)
    assert made.status_code == 201, made.text
    return body["workspaceId"]


@pytest.fixture
def send(anonymous):
    async def send(event):
        answer = await anonymous.post(INGEST, **signed(LINEAR_SECRET, event))
        assert answer.status_code == 200
        return answer.json()["eventId"]

    return send


@pytest.fixture
def look(owner):
    async def look(event_id):
        rows = await owner.execute("select * from webhook_events where id = %s", [event_id])
        return await rows.fetchone()

    return look


def prompt(created, text):
    """What Linear sends when somebody speaks to the agent of a session."""
    return {
        **created,
        "action": "prompted",
        "agentActivity": {"type": "prompt", "body": text},
        "webhookTimestamp": created["webhookTimestamp"] + 1,
    }


async def test_what_fails_holds_back_its_own_line_and_no_other(
    make, workspace, send, look, run_job, owner, monkeypatch
):
    first, other = linear_event(workspace), linear_event(workspace)
    adding = sessions.add

    async def fails(db, values):
        if values["id"] == first["agentSession"]["id"]:
            raise RuntimeError("no")
        return await adding(db, values)

    monkeypatch.setattr(sessions, "add", fails)
    ids = [await send(event) for event in (first, prompt(first, "Be quick"), other)]
    await run_job(deliver_events)
    during = [(await look(event_id)).status for event_id in ids]
    monkeypatch.setattr(sessions, "add", adding)
    await owner.execute("update webhook_events set next_try_at = now() where id = %s", [ids[0]])
    await run_job(deliver_events)
    after = [(await look(event_id)).status for event_id in ids]

    assert during == ["failed", "received", "done"]
    assert after == ["done", "done", "done"]
    assert (await look(ids[1])).outcome.endswith("prompted")


async def test_while_one_of_a_line_is_worked_on_the_next_waits_and_others_go_on(
    workspace, send, look, run_job, stores
):
    first, other = linear_event(workspace), linear_event(workspace)
    ids = [await send(event) for event in (first, prompt(first, "Be quick"), other)]

    async with await psycopg.AsyncConnection.connect(stores.owner_url) as holder:
        await holder.execute("select 1 from webhook_events where id = %s for update", [ids[0]])
        await run_job(deliver_events)
        during = [(await look(event_id)).status for event_id in ids]
        await holder.rollback()
    await run_job(deliver_events)

    assert during == ["received", "received", "done"]
    assert [(await look(event_id)).status for event_id in ids] == ["done"] * 3


async def test_a_dead_event_lets_its_line_go_on(workspace, send, look, run_job, owner, monkeypatch):
    first = linear_event(workspace)
    adding = sessions.add

    async def fails(db, values):
        raise RuntimeError("no")

    ids = [await send(event) for event in (first, prompt(first, "Anybody there?"))]
    await owner.execute("update webhook_events set attempts = 7 where id = %s", [ids[0]])
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "add", fails)
        await run_job(deliver_events)
        assert (await look(ids[0])).status == "dead"
    await owner.execute("update webhook_events set next_try_at = now() where id = %s", [ids[1]])
    await run_job(deliver_events)

    row = await look(ids[1])
    assert (row.status, row.outcome) == ("done", f"session {first['agentSession']['id']} queued")
    assert sessions.add is adding


async def test_a_failure_is_known_as_the_organizations_own(
    make, workspace, send, look, run_job, monkeypatch
):
    async def fails(db, values):
        raise RuntimeError("no")

    monkeypatch.setattr(sessions, "add", fails)
    event_id = await send(linear_event(workspace))

    await run_job(deliver_events)

    row = await look(event_id)
    assert (row.status, row.attempts, row.org_id) == ("failed", 1, make.org_id)
    assert (row.type, row.outcome) == ("linear.agent_session.created", "RuntimeError")


async def test_senders_take_turns(make, workspace, send, run_job, owner):
    mapping = {
        "provider": "linear",
        "workspaceId": f"other-{make.slug}",
        "projectId": make.project_id,
    }
    made = await make.system.post(f"/api/org/{make.org_id}/workspaces", json=mapping)
    assert made.status_code == 201, made.text
    flood = [await send(linear_event(workspace)) for _ in range(12)]
    single = await send(linear_event(mapping["workspaceId"]))

    await run_job(deliver_events)

    rows = await owner.execute(
        "select id from webhook_events where id = any (%s) and status = 'done' order by done_at",
        [[*flood, single]],
    )
    order = [row.id for row in await rows.fetchall()]
    assert len(order) == 13
    assert single in order[:2]


async def test_several_lines_are_worked_on_at_once_and_one_line_is_not(
    workspace, send, look, run_job, monkeypatch
):
    lines = [linear_event(workspace) for _ in range(3)]
    events = [each for first in lines for each in (first, prompt(first, "Be quick"))]
    ids = [await send(event) for event in events]
    adding, waiting, together = sessions.add, asyncio.Barrier(3), asyncio.timeout(10)

    async def add(db, values):
        await waiting.wait()  # for the other two, which have come as far
        return await adding(db, values)

    monkeypatch.setattr(sessions, "add", add)
    async with together:
        await run_job(deliver_events)

    seen = [await look(event_id) for event_id in ids]
    assert [row.attempts for row in seen] == [1] * 6
    assert [row.outcome.split()[-1] for row in seen] == ["queued", "prompted"] * 3
    assert all(a.done_at < b.done_at for a, b in zip(seen[::2], seen[1::2], strict=True))


async def test_an_event_given_up_for_another_transaction_is_worked_on_at_once_again(
    workspace, send, look, run_job, stores, monkeypatch
):
    """Two that wait for each other: PostgreSQL ends one of them, which has failed at nothing."""
    event = linear_event(workspace)
    adding, tries = sessions.add, []

    async def add(db, values):
        tries.append(values["id"])
        if len(tries) == 1:
            raise exc.OperationalError("", {}, psycopg.errors.DeadlockDetected())
        return await adding(db, values)

    monkeypatch.setattr(sessions, "add", add)
    event_id = await send(event)
    await run_job(deliver_events)

    row = await look(event_id)
    assert tries == [event["agentSession"]["id"]] * 2
    assert (row.status, row.attempts) == ("done", 1)


async def test_two_processes_at_once_do_each_event_once_and_keep_the_order(
    make, workspace, send, look, run_job, audit_log
):
    lines = [linear_event(workspace) for _ in range(4)]
    says = ("First", "Second")
    events = [each for first in lines for each in (first, *(prompt(first, say) for say in says))]
    ids = [await send(event) for event in events]

    async def two_processes():
        return sum(await asyncio.gather(deliver_events(), deliver_events()))

    await run_job(two_processes)
    await run_job(deliver_events)

    seen = [await look(event_id) for event_id in ids]
    assert {(row.status, row.attempts) for row in seen} == {("done", 1)}
    assert len(await audit_log(of="session.queued")) == len(lines)
    assert len(await audit_log(of="session.prompted")) == len(lines) * len(says)
    told = await make.owner.execute(
        "select session_id, payload from inbox_messages where org_id = %s"
        " order by session_id, ms, seq",
        (make.org_id,),
    )
    sessions_told = sorted(first["agentSession"]["id"] for first in lines)
    assert [(row.session_id, row.payload) for row in await told.fetchall()] == [
        (session_id, say) for session_id in sessions_told for say in says
    ]


async def test_what_was_taken_when_the_run_breaks_off_is_given_back(monkeypatch):
    """The database goes away between two events, and the first has not even begun."""
    given_back, transaction = [], AsyncExitStack()
    transaction.callback(given_back.append, True)
    row = SimpleNamespace(sender="a", line="a issue/1", provider="linear", body=b"", verified_by="")
    takes = iter([Taken(row, None, transaction)])

    async def take(*_):
        for each in takes:
            return each
        raise Unavailable("away")

    async def never(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr(delivering, "_take", take)
    monkeypatch.setattr(delivering, "owner_of", never)

    with pytest.raises(Unavailable):
        await deliver_events()

    assert given_back == [True]
