"""Prompts, stops, messages and locks: a session steered from outside."""

import asyncio

import pytest

from jobs.deliver_events import deliver_events
from jobs.promote_parked import promote_parked
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed


async def public_id(make, session_id):
    return (await make.stored(session_id)).public_id


async def prompt(make, session_id, text="Cover the retry branch", **more):
    return await make.org.post(
        f"/api/public/sessions/{await public_id(make, session_id)}/prompt",
        json={"prompt": text, **more},
    )


async def stop(make, session_id, **more):
    return await make.org.post(
        f"/api/public/sessions/{await public_id(make, session_id)}/stop", **more
    )


async def poll(worker):
    return (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()


async def report(worker, session_id, status, **more):
    return await worker.client.post(
        f"/api/sessions/{session_id}/status",
        json={"workerId": worker.id, "status": status, **more},
    )


async def unconfirmed(make, session_id):
    answer = await make.org.get(f"/api/public/sessions/{await public_id(make, session_id)}")
    return answer.json()["session"].get("unconfirmedMessages")


async def later(make, seconds):
    await make.owner.execute(
        "update inbox_messages set offered_at = offered_at - make_interval(secs => %s)"
        " where org_id = %s",
        (seconds, make.org_id),
    )


# --- prompts ---------------------------------------------------------------------------------


async def test_a_prompt_reaches_the_agent_at_work_as_an_urgent_message(make, audit_log):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")

    answer = await prompt(make, session_id)
    said = await poll(worker)

    (message,) = said["inboxMessages"][session_id]
    assert answer.json()["delivered"] is True
    assert answer.json()["status"] == answer.json()["sessionStatus"] == "working"
    assert said["hasInboxMessages"] is True
    assert (message["type"], message["lane"]) == ("directive", "urgent")
    assert message["payload"] == message["text"] == "Cover the retry branch"
    assert message["id"] == message["deliveryId"]
    assert isinstance(message["createdAt"], int)
    assert await audit_log(of="session.prompted") == [("session.prompted", session_id)]


async def test_a_prompt_for_an_ended_session_queues_it_again_where_it_left_off(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running", providerSessionId="prov-1")
    await report(worker, session_id, "completed")

    answer = await prompt(make, session_id)
    (work,) = (await poll(worker))["work"]

    assert answer.json()["status"] == "queued"
    assert work["prompt"] == "Cover the retry branch"
    assert work["priority"] == 2
    assert work["providerSessionId"] == "prov-1"
    assert work["leaseEpoch"] == 2


async def test_a_prompt_sent_twice_under_one_key_is_delivered_once(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")

    answers = await asyncio.gather(
        *(prompt(make, session_id, idempotencyKey="chat-42") for _ in range(5))
    )
    other_text = await prompt(make, session_id, "Something else", idempotencyKey="chat-42")
    said = await poll(worker)

    assert len({answer.json()["promptId"] for answer in answers}) == 1
    assert {answer.json()["idempotencyKey"] for answer in answers} == {"chat-42"}
    assert other_text.status_code == 409
    assert len(said["inboxMessages"][session_id]) == 1


async def test_a_thousand_messages_are_the_most_that_wait_for_an_agent(make, owner):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await owner.execute(
        "insert into inbox_messages (org_id, session_id, ms, seq, lane, type, payload)"
        " select %s, %s, n, 0, 'urgent', 'directive', 'more' from generate_series(1, 999) n",
        (make.org_id, session_id),
    )

    last = await prompt(make, session_id)
    refused = await prompt(make, session_id, "Too much")
    await report(worker, session_id, "completed")
    again = await prompt(make, session_id, "Once more")

    assert (last.status_code, refused.status_code, again.status_code) == (200, 409, 200)
    assert "1000 messages wait" in refused.json()["error"]


async def test_an_empty_prompt_and_a_foreign_session_are_refused(make, application, owner):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    session_id = await make.session()
    other = await Maker.begin(application, owner, SYSTEM_KEY)
    url = f"/api/public/sessions/{await public_id(make, session_id)}/prompt"

    empty = await make.org.post(url, json={"prompt": "  "})
    foreign = await other.org.post(url, json={"prompt": "mine?"})
    await other.close()

    assert empty.status_code == 400
    assert foreign.status_code == 404


# --- the inbox -------------------------------------------------------------------------------


async def test_failure_4_each_session_has_an_inbox_of_its_own(make):
    """clients.md 4: a directive for one session was delivered to another of the same agent."""
    worker = await make.worker()
    first, second = await make.claimed(worker), await make.claimed(worker)
    for each in (first, second):
        await report(worker, each, "running")
    await prompt(make, first, "for the first")
    await prompt(make, second, "for the second")
    await report(worker, first, "completed")

    messages = (await poll(worker))["inboxMessages"]

    assert list(messages) == [second]
    assert [m["payload"] for m in messages[second]] == ["for the second"]


async def test_an_unacknowledged_message_is_offered_five_times_half_a_minute_apart(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await prompt(make, session_id)

    offered = []
    for _ in range(7):
        offered.append((await poll(worker))["hasInboxMessages"])
        await later(make, 31)
    at_once = (await poll(worker))["hasInboxMessages"]

    assert offered == [True] * 5 + [False] * 2
    assert at_once is False


async def test_an_acknowledged_message_is_not_offered_again(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await prompt(make, session_id)
    (message,) = (await poll(worker))["inboxMessages"][session_id]
    url = f"/api/sessions/{session_id}/inbox/ack"
    body = {"messageId": message["id"], "lane": message["lane"]}

    first = await worker.client.post(url, json=body)
    second = await worker.client.post(url, json=body)
    unknown = await worker.client.post(url, json={"messageId": "nothing", "lane": "normal"})
    await later(make, 31)

    for answer in (first, second, unknown):
        assert answer.json() == {"acknowledged": True}
    assert (await poll(worker))["hasInboxMessages"] is False


async def test_a_lock_refresh_acknowledges_under_any_name(make):
    worker = await make.worker()
    session_id = await make.claimed(worker, issue_id="issue-x")
    await report(worker, session_id, "running")
    await prompt(make, session_id)
    (message,) = (await poll(worker))["inboxMessages"][session_id]

    await worker.client.post(
        f"/api/sessions/{session_id}/lock-refresh",
        json={"workerId": worker.id, "issueId": "issue-x", "seen": ["x", message["id"]]},
    )
    await later(make, 31)

    assert (await poll(worker))["hasInboxMessages"] is False


async def test_messages_put_at_once_have_ids_of_their_own_in_order(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")

    await asyncio.gather(*(prompt(make, session_id, f"text {n}") for n in range(8)))
    messages = (await poll(worker))["inboxMessages"][session_id]

    ids = [tuple(map(int, message["id"].split("-"))) for message in messages]
    assert len(set(ids)) == 8
    assert ids == sorted(ids)


# --- stops -----------------------------------------------------------------------------------


async def test_a_stop_is_seen_by_the_worker_and_ends_with_its_last_report(make, audit_log):
    worker = await make.worker(capacity=1)
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")

    answer = await stop(make, session_id, json=None)
    state = (await worker.client.get(f"/api/sessions/{session_id}/status")).json()
    told = await poll(worker)
    await report(worker, session_id, "finalizing")

    assert answer.json() == {
        "stopped": True,
        "sessionId": await public_id(make, session_id),
        "previousStatus": "running",
        "newStatus": "stopped",
    }
    assert state["status"] == "stopped"
    assert told["inboxMessages"][session_id][0]["type"] == "stop"
    assert (await make.stored(session_id)).slot_worker_id is None
    assert await audit_log(of="session.stopped") == [("session.stopped", session_id)]


async def test_a_stop_that_was_never_acknowledged_does_not_stop_the_next_attempt(make):
    """Real clients see the status, end their agent, and acknowledge no message."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await prompt(make, session_id, "Also the refunds")
    await stop(make, session_id)
    await report(worker, session_id, "finalizing")

    await prompt(make, session_id, "Go on after all")
    again = (await poll(worker))["claimedSessionIds"]
    await report(worker, session_id, "running")
    messages = (await poll(worker))["inboxMessages"][session_id]

    assert again == [session_id]
    assert [message["payload"] for message in messages] == ["Also the refunds"]


async def test_stopping_twice_is_stopping_once_and_an_ended_session_is_409(make, audit_log):
    worker = await make.worker()
    done = await make.claimed(worker)
    waiting = await make.session()
    await report(worker, done, "completed")

    first, second = await stop(make, waiting), await stop(make, waiting)
    ended = await stop(make, done)

    assert first.json()["previousStatus"] == "pending"
    assert (second.status_code, second.json()["previousStatus"]) == (200, "stopped")
    assert ended.status_code == 409
    assert await audit_log(of="session.stopped") == [("session.stopped", waiting)]


async def test_a_lower_heartbeat_count_frees_the_slot_of_a_stopped_session(make):
    worker = await make.worker(capacity=2)
    stopped, kept = await make.claimed(worker), await make.claimed(worker)
    await stop(make, stopped)
    heartbeat = f"/api/workers/{worker.id}/heartbeat"

    await worker.client.post(heartbeat, json={"activeCount": 2})
    still = (await make.stored(stopped)).slot_worker_id
    await worker.client.post(heartbeat, json={"activeCount": 1})

    assert still == worker.id
    assert (await make.stored(stopped)).slot_worker_id is None
    assert (await make.stored(kept)).slot_worker_id == worker.id


# --- issues ----------------------------------------------------------------------------------


async def mapped(make):
    workspace_id = f"lin-{make.slug}"
    await make.system.post(
        f"/api/org/{make.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": workspace_id, "projectId": make.project_id},
    )
    return workspace_id


async def ingest(anonymous, run_job, *events):
    for event in events:
        answer = await anonymous.post("/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event))
        assert answer.json()["ok"] is True
    await run_job(deliver_events)


async def test_a_second_session_of_an_issue_waits_until_the_first_has_ended(
    anonymous, make, run_job
):
    workspace_id = await mapped(make)
    first = linear_event(workspace_id, id="issue-1")
    second = linear_event(workspace_id, id="issue-1", state={"name": "Finished"})
    first_id, second_id = first["agentSession"]["id"], second["agentSession"]["id"]
    await ingest(anonymous, run_job, first, second)
    worker = await make.worker()

    before = (await poll(worker))["claimedSessionIds"]
    shown = (await make.org.get("/api/public/sessions")).json()["sessions"]
    await run_job(promote_parked)
    too_early = (await poll(worker))["claimedSessionIds"]
    await report(worker, first_id, "completed")
    await run_job(promote_parked)
    after = (await poll(worker))["claimedSessionIds"]

    assert before == [first_id]
    assert sorted(session["status"] for session in shown) == ["parked", "working"]
    assert too_early == []
    assert after == [second_id]


async def test_a_later_request_of_the_same_kind_replaces_the_parked_one(anonymous, make, run_job):
    workspace_id = await mapped(make)
    events = [linear_event(workspace_id, id="issue-1") for _ in range(3)]
    first, second, third = (event["agentSession"]["id"] for event in events)

    await ingest(anonymous, run_job, *events)

    assert (await make.stored(first)).waits_for is None
    assert (await make.stored(second)).status == "stopped"
    assert (await make.stored(third)).waits_for == "issue"


async def test_a_stop_frees_the_issue_at_once(anonymous, make, run_job):
    workspace_id = await mapped(make)
    first, second = (linear_event(workspace_id, id="issue-1") for _ in range(2))
    await ingest(anonymous, run_job, first, second)
    worker = await make.worker()
    await poll(worker)

    await stop(make, first["agentSession"]["id"])
    await run_job(promote_parked)

    assert (await poll(worker))["claimedSessionIds"] == [second["agentSession"]["id"]]


async def test_failure_10_a_lock_is_kept_by_its_session_alone(anonymous, make, run_job):
    """clients.md 10: locks were prolonged and deleted without checking who owned them."""
    workspace_id = await mapped(make)
    first, second = (linear_event(workspace_id, id="issue-1") for _ in range(2))
    await ingest(anonymous, run_job, first, second)
    worker = await make.worker()
    await poll(worker)
    held, parked = first["agentSession"]["id"], second["agentSession"]["id"]
    body = {"workerId": worker.id, "issueId": "issue-1"}

    mine = await worker.client.post(f"/api/sessions/{held}/lock-refresh", json=body)
    not_mine = await worker.client.post(f"/api/sessions/{parked}/lock-refresh", json=body)
    other_issue = await worker.client.post(
        f"/api/sessions/{held}/lock-refresh", json={**body, "issueId": "issue-2"}
    )
    await stop(make, held)
    stopped = await worker.client.post(f"/api/sessions/{held}/lock-refresh", json=body)

    assert mine.json() == {"refreshed": True}
    assert not_mine.status_code == 403
    assert other_issue.status_code == 400
    assert stopped.json() == {"refreshed": False, "stop": True}


async def test_linears_prompted_events_continue_say_and_stop(anonymous, make, run_job):
    workspace_id = await mapped(make)
    created = linear_event(workspace_id)
    session_id = created["agentSession"]["id"]
    await ingest(anonymous, run_job, created)
    worker = await make.worker()
    await poll(worker)
    await report(worker, session_id, "running")

    def said(**activity):
        event = linear_event(workspace_id, session_id)
        return {
            **event,
            "action": "prompted",
            "agentActivity": activity,
            "user": {"id": "u1", "name": "Ada"},
        }

    await ingest(anonymous, run_job, said(body="Also the refunds"))
    (message,) = (await poll(worker))["inboxMessages"][session_id]
    await ingest(anonymous, run_job, said(signal="stop"))
    stopped = (await make.stored(session_id)).status
    await report(worker, session_id, "finalizing")
    await ingest(anonymous, run_job, said(signal="continue"))
    (work,) = (await poll(worker))["work"]

    assert (message["payload"], message["userName"]) == ("Also the refunds", "Ada")
    assert stopped == "stopped"
    assert (work["sessionId"], work["priority"]) == (session_id, 2)


async def test_a_session_that_ended_in_linear_is_stopped(anonymous, make, run_job):
    workspace_id = await mapped(make)
    created = linear_event(workspace_id)
    session_id = created["agentSession"]["id"]
    updated = linear_event(workspace_id, session_id, id=created["agentSession"]["issue"]["id"])
    updated["action"] = "updated"
    updated["agentSession"]["state"] = "completed"

    await ingest(anonymous, run_job, created, updated)

    assert (await make.stored(session_id)).status == "stopped"


async def test_a_message_that_nobody_acknowledged_is_shown_after_its_fifth_offer(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    await prompt(make, session_id, "Cover the refund path")
    await prompt(make, session_id, "And the tests")

    shown = []
    for _ in range(5):
        offered = (await poll(worker))["inboxMessages"][session_id]
        shown.append(await unconfirmed(make, session_id))
        await later(make, 31)
    await worker.client.post(
        f"/api/sessions/{session_id}/inbox/ack",
        json={"workerId": worker.id, "messageId": offered[1]["id"], "lane": "urgent"},
    )

    assert shown[:4] == [None] * 4
    assert [message["text"] for message in shown[4]] == ["Cover the refund path", "And the tests"]
    (message,) = await unconfirmed(make, session_id)
    assert message.pop("createdAt").endswith("Z")
    assert message == {
        "id": offered[0]["id"],
        "type": "directive",
        "text": "Cover the refund path",
    }
    assert (await poll(worker))["inboxMessages"] == {}


async def test_of_many_unconfirmed_messages_the_latest_twenty_are_shown(make):
    session_id = await make.session()
    await make.owner.execute(
        "insert into inbox_messages (org_id, session_id, ms, seq, lane, type, payload, offers)"
        " select %s, %s, 1, n, 'urgent', 'directive', repeat('x', 3000) || n, 5"
        " from generate_series(1, 30) n",
        (make.org_id, session_id),
    )

    shown = await unconfirmed(make, session_id)

    assert [message["id"] for message in shown] == [f"1-{number}" for number in range(11, 31)]
    assert {len(message["text"]) for message in shown} == {2000}


@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_a_prompt_that_comes_too_late_for_the_last_poll_is_shown_as_unconfirmed(make, end):
    """It was accepted while the agent worked, and the session ended before the worker asked."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await report(worker, session_id, "running")
    answer = await prompt(make, session_id)

    await report(worker, session_id, end)

    (message,) = await unconfirmed(make, session_id)
    assert answer.json()["delivered"] is True
    assert (message["type"], message["text"]) == ("directive", "Cover the retry branch")


async def test_a_stop_that_nobody_confirmed_is_no_message_for_people(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await make.org.post(f"/api/public/sessions/{await public_id(make, session_id)}/stop")

    assert await unconfirmed(make, session_id) is None
