"""Tasks for peers, proven against the official SDK's server."""

import asyncio
import json
from dataclasses import replace

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

import settings
from jobs import send_dispatches as job
from jobs.send_dispatches import send_dispatches
from outbound import a2a_peer
from tests.sdk_peer import sdk_peer


class Sending:
    """A registered SDK peer, and what is dispatched to it."""

    def __init__(self, make, peer, run_job, owner):
        self.make, self.peer, self.run_job, self.owner = make, peer, run_job, owner

    async def register(self, **body):
        made = await self.make.org.post("/api/a2a/agents", json={"url": self.peer.url, **body})
        assert made.status_code == 201, made.text
        self.agent = made.json()["agent"]
        return self

    async def dispatch(self, text, **body):
        sent = await self.make.org.post(
            f"/api/a2a/agents/{self.agent['id']}/dispatches", json={"text": text, **body}
        )
        assert sent.status_code == 201, sent.text
        return sent.json()["dispatch"]["dispatchId"]

    async def run(self):
        """Run the job with everything of this test due."""
        await self.due()
        return await self.run_job(send_dispatches)

    async def due(self):
        await self.owner.execute(
            "update a2a_dispatches set next_try_at = now() where org_id = %s", (self.make.org_id,)
        )

    async def now(self, dispatch_id):
        found = await self.make.org.get(f"/api/a2a/dispatches/{dispatch_id}")
        assert found.status_code == 200, found.text
        return found.json()["dispatch"]

    async def until(self, dispatch_id, *statuses):
        async with asyncio.timeout(10):
            while (now := await self.now(dispatch_id))["status"] not in statuses:
                await self.run()
        return now

    async def cancel(self, dispatch_id):
        return await self.make.org.post(f"/api/a2a/dispatches/{dispatch_id}/cancel")


@pytest.fixture(params=["1.0", "0.3"])
def generation(request):
    return request.param


@pytest.fixture
async def sending(generation, given, make, run_job, owner):
    # What other tests left open is not this test's.
    await owner.execute("update a2a_dispatches set status = 'failed' where completed_at is null")
    async with sdk_peer(generation) as peer:
        settings.use(replace(given, allowed_private_hosts=(peer.host,)))
        yield await Sending(make, peer, run_job, owner).register(token="tok-of-the-peer")
        settings.use(given)


async def test_a_task_goes_out_and_comes_back_with_its_artefacts(sending, audit_log):
    dispatch_id = await sending.dispatch("review", skillId="review", data={"branch": "main"})
    assert (await sending.now(dispatch_id))["status"] == "pending"

    done = await sending.until(dispatch_id, "completed", "failed")

    assert (done["status"], done["error"]) == ("completed", None)
    assert done["remoteState"] == "completed"
    assert done["output"]["text"] == "Two remarks"
    assert done["output"]["artifacts"][0]["name"] == "review"
    assert done["agentName"] == "Code Reviewer"
    assert done["taskId"]
    assert done["latencyMs"] >= 0
    (asked,) = sending.peer.reviewer.asked
    assert asked.metadata["skillId"] == "review"
    assert asked.parts[1].data.struct_value["branch"] == "main"
    old = sending.peer.generation == "0.3"
    assert sending.peer.requests[0] == (
        "message/send" if old else "SendMessage",
        "Bearer tok-of-the-peer",
    )
    events = [event for event, _ in await audit_log()]
    assert events == ["a2a.agent_registered", "a2a.dispatched", "a2a.dispatch_ended"]


async def test_an_answer_without_a_task_is_the_result(sending):
    done = await sending.until(await sending.dispatch("answer"), "completed", "failed")

    assert (done["status"], done["output"]["text"], done["taskId"]) == (
        "completed",
        "At once",
        None,
    )


@pytest.mark.parametrize(
    ("text", "said"), [("fail", "No such branch"), ("reject", "the agent rejected it")]
)
async def test_what_the_agent_fails_or_rejects_has_failed(text, said, sending):
    done = await sending.until(await sending.dispatch(text), "completed", "failed")

    assert (done["status"], done["error"]) == ("failed", said)


async def test_an_agent_that_asks_back_is_shown_so(sending):
    dispatch_id = await sending.dispatch("ask")
    async with asyncio.timeout(10):
        while (now := await sending.now(dispatch_id))["remoteState"] != "input-required":
            await sending.run()

    assert (now["status"], now["output"]["text"]) == ("running", "Which branch?")


async def test_a_task_at_work_can_be_cancelled(sending):
    dispatch_id = await sending.dispatch("wait")
    await sending.until(dispatch_id, "running")

    asked = await sending.cancel(dispatch_id)
    again = await sending.cancel(dispatch_id)
    done = await sending.until(dispatch_id, "canceled", "failed", "completed")

    assert asked.json()["dispatch"]["cancelRequested"] is True
    assert again.status_code == 200
    assert done["status"] == "canceled"
    assert sending.peer.reviewer.cancelled == [done["taskId"]]
    assert (await sending.cancel(dispatch_id)).json()["dispatch"]["status"] == "canceled"


async def test_a_task_that_nobody_has_sent_is_cancelled_at_once(sending):
    dispatch_id = await sending.dispatch("review")

    cancelled = await sending.cancel(dispatch_id)
    await sending.run()

    assert cancelled.json()["dispatch"]["status"] == "canceled"
    assert sending.peer.requests == []


async def test_what_has_ended_cannot_be_cancelled(sending):
    dispatch_id = await sending.dispatch("review")
    await sending.until(dispatch_id, "completed")

    assert (await sending.cancel(dispatch_id)).status_code == 409


async def test_cancelling_what_has_ended_meanwhile_shows_what_it_became(sending):
    dispatch_id = await sending.dispatch("wait")
    await sending.until(dispatch_id, "running")
    await sending.cancel(dispatch_id)
    sending.peer.reviewer.go_on.set()
    await asyncio.sleep(0.1)

    done = await sending.until(dispatch_id, "canceled", "completed", "failed")

    assert done["status"] == "completed"


async def test_a_cancellation_waits_for_the_message_that_is_under_way(sending):
    dispatch_id = await sending.dispatch("wait")
    under_way, go = asyncio.Event(), asyncio.Event()

    async def slowly(asked):
        if asked["method"] in {"SendMessage", "message/send"}:
            under_way.set()
            await go.wait()

    sending.peer.before = slowly
    first = asyncio.create_task(sending.run())
    await under_way.wait()
    await sending.cancel(dispatch_id)
    await sending.run_job(send_dispatches)  # what is under way is not taken a second time
    go.set()
    await first

    done = await sending.until(dispatch_id, "canceled", "completed", "failed")

    assert done["status"] == "canceled"
    assert sending.peer.reviewer.cancelled == [done["taskId"]]
    assert len(sending.peer.reviewer.asked) == 1


async def test_a_sender_that_dies_before_it_tells_sends_nothing_twice(sending):
    """The peer has the task, and nobody lived to write that down."""
    dispatch_id = await sending.dispatch("review")
    arrived = asyncio.Event()

    async def hold(asked):
        arrived.set()
        await asyncio.sleep(60)

    sending.peer.after = hold
    dying = asyncio.create_task(sending.run())
    await arrived.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    sending.peer.after = None

    done = await sending.until(dispatch_id, "completed", "failed")

    assert done["status"] == "completed"
    asked = sending.peer.reviewer.asked
    if sending.peer.generation == "1.0":
        assert "ListTasks" in sending.peer.methods()
        assert len(asked) == 1
    else:  # cannot be asked for its tasks; the repeat can be known by its id
        assert len({each.message_id for each in asked}) == 1


async def test_two_jobs_at_once_send_one_message(sending):
    await asyncio.gather(*(sending.dispatch("review") for _ in range(6)))

    await asyncio.gather(*(sending.run_job(send_dispatches) for _ in range(3)))

    assert len(sending.peer.reviewer.asked) == 6


async def test_the_dispatch_of_a_deleted_agent_fails(sending):
    dispatch_id = await sending.dispatch("review")
    await sending.make.org.delete(f"/api/a2a/agents/{sending.agent['id']}")

    done = await sending.until(dispatch_id, "failed", "completed")

    assert (done["error"], sending.peer.requests) == ("the agent was deleted", [])


def broken(kind):
    """Answers of a peer that means ill, or is ill."""

    async def endless():
        while True:
            yield b" " * 65536
            await asyncio.sleep(0)

    async def answer(asked):
        if kind == "error 500":
            return JSONResponse({}, 500)
        if kind == "slow":
            await asyncio.sleep(5)
        if kind == "endless":
            return StreamingResponse(endless(), media_type="application/json")
        if kind == "redirect":
            return RedirectResponse("http://169.254.169.254/latest/meta-data")
        if kind == "internal error":
            return JSONResponse(
                {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": "x"}}
            )
        if kind == "bad params":
            return JSONResponse(
                {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32602, "message": "no"}}
            )
        if kind == "unstorable words":
            said = '{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"a\\u0000b\\ud800"}}'
            return Response(said % json.dumps(asked["id"]), media_type="application/json")
        if kind == "forbidden":
            return JSONResponse({}, 403)
        if kind == "nonsense":
            return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": ["what?"]})
        if kind == "not json":
            return StreamingResponse(iter([b"<html>"]), media_type="text/html")
        return None

    return answer


@pytest.mark.parametrize("kind", ["error 500", "slow", "endless", "internal error"])
async def test_trouble_that_may_pass_is_tried_again(kind, sending, monkeypatch):
    if sending.peer.generation == "0.3" and kind != "error 500":
        return  # the generations differ in words, and not in how they fail
    monkeypatch.setattr(a2a_peer, "CALL_SECONDS", 0.3)
    sending.peer.before = broken(kind)
    dispatch_id = await sending.dispatch("review")

    await sending.run()
    troubled = await sending.now(dispatch_id)
    sending.peer.before = None
    monkeypatch.setattr(a2a_peer, "CALL_SECONDS", 20)
    done = await sending.until(dispatch_id, "completed", "failed")

    assert (troubled["status"], troubled["error"] is None) == ("pending", False)
    assert (done["status"], done["error"]) == ("completed", None)


@pytest.mark.parametrize(
    "kind",
    ["redirect", "bad params", "unstorable words", "forbidden", "nonsense", "not json"],
)
async def test_trouble_that_will_not_pass_ends_it(kind, sending):
    sending.peer.before = broken(kind)
    dispatch_id = await sending.dispatch("review")

    await sending.run()

    done = await sending.now(dispatch_id)
    assert done["status"] == "failed"
    assert done["error"]
    assert sending.peer.reviewer.asked == []


async def test_a_task_whose_id_cannot_be_stored_is_a_task(sending):
    task = {"id": "t\0", "contextId": "c", "kind": "task", "status": {"state": "completed"}}
    if sending.peer.generation == "1.0":
        task = {"task": {"id": "t\0", "status": {"state": "TASK_STATE_COMPLETED"}}}

    async def answer(asked):
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": task})

    sending.peer.before = answer
    dispatch_id = await sending.dispatch("review")

    await sending.run()

    done = await sending.now(dispatch_id)
    assert (done["status"], done["taskId"]) == ("completed", "t\N{REPLACEMENT CHARACTER}")


async def test_it_is_given_up_after_eight_tries(sending):
    sending.peer.before = broken("error 500")
    dispatch_id = await sending.dispatch("review")

    for _ in range(job.MOST_TRIES):
        await sending.run()

    done = await sending.now(dispatch_id)
    assert done["status"] == "failed"
    assert "8 tries" in done["error"]


async def test_an_agent_that_never_ends_is_given_up_after_a_day(sending):
    dispatch_id = await sending.dispatch("wait")
    await sending.until(dispatch_id, "running")
    await sending.owner.execute(
        "update a2a_dispatches set created_at = created_at - interval '25 hours' where id = %s",
        (dispatch_id,),
    )

    done = await sending.until(dispatch_id, "failed", "completed")

    assert "within a day" in done["error"]


async def test_looks_grow_rarer(sending, owner):
    dispatch_id = await sending.dispatch("wait")
    pauses = []
    for _ in range(3):
        await sending.run()
        rows = await owner.execute(
            "select extract(epoch from next_try_at - now()) as pause from a2a_dispatches"
            " where id = %s",
            (dispatch_id,),
        )
        pauses.append(float((await rows.fetchone()).pause))

    assert pauses[0] < pauses[1] < pauses[2] < 5


async def test_a_card_that_leads_nowhere_fails_the_dispatch(sending, owner):
    card = json.dumps({"name": "Reviewer", "skills": []})
    await owner.execute(
        "update a2a_agents set card = %s where id = %s", (card, sending.agent["id"])
    )

    done = await sending.until(await sending.dispatch("review"), "failed", "completed")

    assert "interface" in done["error"]
