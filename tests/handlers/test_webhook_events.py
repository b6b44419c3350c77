"""What the providers have sent, seen and replayed by those whom it concerns."""

import secrets

import psycopg
import pytest

from jobs.deliver_events import deliver_events
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed

EVENTS = "/api/webhooks/events"
INGEST = "/api/webhooks/ingest/linear"


@pytest.fixture
def send(anonymous):
    async def send(workspace_id):
        event = linear_event(workspace_id)
        answer = await anonymous.post(INGEST, **signed(LINEAR_SECRET, event))
        assert answer.status_code == 200
        return answer.json()["eventId"], event

    return send


async def map_workspace(make, workspace_id):
    made = await make.system.post(
        f"/api/org/{make.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": workspace_id, "projectId": make.project_id},
    )
    assert made.status_code == 201, made.text


async def test_an_organization_sees_its_own_events_newest_first(make, audit_log):
    ids = [await make.dead_event() for _ in range(3)]
    stranger = make.client(await make.key(await make.organization()))

    first = (await make.org.get(EVENTS, params={"limit": 2})).json()
    rest = (await make.org.get(EVENTS, params={"cursor": first["nextCursor"]})).json()
    theirs = (await stranger.get(EVENTS)).json()

    assert [each["id"] for each in first["events"] + rest["events"]] == ids[::-1]
    assert rest["nextCursor"] is None
    assert theirs == {"events": [], "nextCursor": None}


async def test_what_an_event_tells(make):
    event_id = await make.dead_event(delivery_id="d-1")

    answer = await make.org.get(f"{EVENTS}/{event_id}")

    said = answer.json()
    event = said["event"]
    assert answer.status_code == 200
    assert (event["status"], event["attempts"], event["outcome"]) == ("dead", 8, "RuntimeError")
    assert (event["orgId"], event["deliveryId"]) == (make.org_id, "d-1")
    assert event["nextTryAt"] is None
    assert said["envelope"] == {
        "specversion": "1.0",
        "id": event_id,
        "type": "linear.agent_session.created",
        "source": "/linear",
        "time": event["receivedAt"],
        "datacontenttype": "application/json",
        "correlationid": event["correlationId"],
        "orgid": make.org_id,
        "data": {"type": "AgentSessionEvent", "action": "created"},
    }


async def test_a_large_body_is_left_out_of_the_answer(make):
    body = b'{"type":"AgentSessionEvent","text":"' + b"x" * 70_000 + b'"}'
    event_id = await make.dead_event(body=body)

    envelope = (await make.org.get(f"{EVENTS}/{event_id}")).json()["envelope"]

    assert "data" not in envelope


@pytest.mark.parametrize("status", ["received", "failed", "done", "parked", "dead"])
async def test_the_list_by_status(make, status):
    ids = {each: await make.dead_event(status=each) for each in ("failed", "done", "dead")}

    answer = (await make.org.get(EVENTS, params={"status": status})).json()

    assert [each["id"] for each in answer["events"]] == [
        id_ for each, id_ in ids.items() if each == status
    ]


async def test_the_list_by_provider(make):
    await make.dead_event()
    ours = await make.dead_event(provider="vercel")

    answer = (await make.org.get(EVENTS, params={"provider": "vercel"})).json()

    assert [each["id"] for each in answer["events"]] == [ours]


async def test_an_event_that_somebody_works_on_is_processing(make, stores):
    held = await make.dead_event(status="failed", next_try_at="2099-01-01")
    free = await make.dead_event(status="failed", next_try_at="2099-01-01")

    async with await psycopg.AsyncConnection.connect(stores.owner_url) as holder:
        await holder.execute("select 1 from webhook_events where id = %s for update", [held])
        everything = (await make.org.get(EVENTS)).json()["events"]
        processing = (await make.org.get(EVENTS, params={"status": "processing"})).json()["events"]
        failed = (await make.org.get(EVENTS, params={"status": "failed"})).json()["events"]
        one = (await make.org.get(f"{EVENTS}/{held}")).json()["event"]
        await holder.rollback()
    after = (await make.org.get(f"{EVENTS}/{held}")).json()["event"]

    assert {each["id"]: each["status"] for each in everything} == {
        held: "processing",
        free: "failed",
    }
    assert [each["id"] for each in processing] == [held]
    assert [each["id"] for each in failed] == [free]
    assert (one["status"], after["status"]) == ("processing", "failed")


async def test_a_parked_event_is_the_systems_alone_until_its_workspace_is_mapped(
    make, send, run_job
):
    workspace_id = f"lin-{secrets.token_hex(4)}"
    event_id, event = await send(workspace_id)
    await run_job(deliver_events)

    mine = await make.org.get(f"{EVENTS}/{event_id}")
    seen = (await make.system.get(f"{EVENTS}/{event_id}")).json()["event"]
    listed = (await make.system.get(EVENTS, params={"status": "parked"})).json()["events"]
    await map_workspace(make, workspace_id)
    not_mine = await make.org.post(f"{EVENTS}/{event_id}/replay")
    replayed = await make.system.post(f"{EVENTS}/{event_id}/replay")
    await run_job(deliver_events)

    assert mine.status_code == 404
    assert (seen["status"], seen["orgId"]) == ("parked", None)
    assert event_id in [each["id"] for each in listed]
    assert not_mine.status_code == 404
    assert (replayed.status_code, replayed.json()["event"]["status"]) == (200, "received")
    done = (await make.org.get(f"{EVENTS}/{event_id}")).json()["event"]
    assert (done["status"], done["orgId"]) == ("done", make.org_id)
    assert (await make.stored(event["agentSession"]["id"])).status == "pending"


async def test_a_dead_event_is_replayed_once_and_recorded(make, audit_log):
    event_id = await make.dead_event()

    first = await make.org.post(f"{EVENTS}/{event_id}/replay")
    again = await make.org.post(f"{EVENTS}/{event_id}/replay")

    event = first.json()["event"]
    assert (first.status_code, event["status"], event["attempts"]) == (200, "received", 0)
    assert event["nextTryAt"] is not None
    assert again.status_code == 409
    assert again.json()["error"].startswith("The event is received; only one that failed")
    assert await audit_log() == [("webhook.replayed", event_id)]


async def test_a_done_event_is_never_done_twice(make):
    event_id = await make.dead_event(status="done")

    assert (await make.org.post(f"{EVENTS}/{event_id}/replay")).status_code == 409


async def test_a_project_key_sees_no_events(make):
    key = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))

    assert (await key.get(EVENTS)).status_code == 403
