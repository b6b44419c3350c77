"""The record of what was sent to peers."""

import pytest

from tests.factories import Maker


@pytest.fixture
async def agent(make):
    agent_id, _ = await make.agent()
    return agent_id


async def dispatch(make, agent_id, text="Check ENG-204", **more):
    body = {"text": text, **more.pop("body", {})}
    return await make.org.post(f"/api/a2a/agents/{agent_id}/dispatches", json=body, **more)


async def listed(make, **query):
    answer = await make.org.get("/api/a2a/dispatches", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ids(make, **query):
    return [each["dispatchId"] for each in (await listed(make, **query))["dispatches"]]


async def test_a_dispatch_is_recorded_and_audited(make, agent, audit_log):
    session = await make.session()
    made = await dispatch(
        make,
        agent,
        body={"skillId": "review", "workType": "qa", "sessionId": session, "data": {"a": 1}},
    )

    said = made.json()["dispatch"]
    assert made.status_code == 201, made.text
    assert (said["status"], said["dispatchType"], said["agentName"]) == (
        "pending",
        "explicit",
        "Reviewer",
    )
    assert (said["skillId"], said["workType"], said["sessionId"]) == ("review", "qa", session)
    assert said["input"] == {"text": "Check ENG-204", "data": {"a": 1}}
    assert (await audit_log())[-1] == ("a2a.dispatched", said["dispatchId"])


async def test_a_skill_that_the_agent_lacks_is_refused(make, agent):
    refused = await dispatch(make, agent, body={"skillId": "deploy"})

    assert refused.status_code == 400
    assert "deploy" in refused.json()["error"]
    assert await ids(make) == []


async def test_a_session_that_is_not_there_is_404(make, agent):
    assert (await dispatch(make, agent, body={"sessionId": "nobody"})).status_code == 404


async def test_the_same_idempotency_key_sends_once(make, agent):
    key = {"headers": {"Idempotency-Key": "once"}}
    first = await dispatch(make, agent, **key)
    again = await dispatch(make, agent, **key)
    other = await dispatch(make, agent, "Another text", **key)

    assert first.json() == again.json()
    assert other.status_code == 422
    assert len(await ids(make)) == 1


async def test_while_the_first_is_in_flight_a_repeat_is_409(make, agent):
    """The key is held here as the first request holds it, by a transaction that has not ended."""
    await dispatch(make, agent, headers={"Idempotency-Key": "before"})  # tells the caller's id
    rows = await make.owner.execute(
        "select caller_id from idempotency_keys where org_id = %s", (make.org_id,)
    )
    held = f"{make.org_id}\n{(await rows.fetchone()).caller_id}\ndispatchA2ATask\nonce"

    async with make.owner.transaction():
        await make.owner.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (held,))
        during = await dispatch(make, agent, headers={"Idempotency-Key": "once"})

    assert during.status_code == 409
    assert "in flight" in during.json()["error"]


async def test_pages_are_newest_first_and_filters_narrow_them(make, agent, owner):
    other, _ = await make.agent()
    made = [(await dispatch(make, agent)).json()["dispatch"] for _ in range(3)]
    mine = [each["dispatchId"] for each in reversed(made)]
    elsewhere = (await dispatch(make, other)).json()["dispatch"]["dispatchId"]
    await owner.execute(
        "update a2a_dispatches set status = 'running', kind = 'transparent' where id = %s",
        (mine[0],),
    )

    first = await listed(make, limit=2)
    second = await listed(make, limit=2, cursor=first["nextCursor"])

    got = [each["dispatchId"] for each in first["dispatches"] + second["dispatches"]]
    assert got == [elsewhere, *mine]
    assert second["nextCursor"] is None
    assert await ids(make, agentId=agent) == mine
    assert await ids(make, status="running") == [mine[0]]
    assert await ids(make, status="active") == got
    assert await ids(make, status="completed") == []
    assert await ids(make, kind="transparent") == [mine[0]]
    newest = made[-1]["dispatchedAt"]
    assert mine[0] in await ids(make, **{"from": newest})
    assert mine[2] in await ids(make, to=newest)
    assert mine[0] not in await ids(make, to=newest)


async def test_a_list_cuts_long_texts_short(make, agent):
    made = await dispatch(make, agent, "x" * 5000)
    dispatch_id = made.json()["dispatch"]["dispatchId"]

    (short,) = (await listed(make))["dispatches"]
    whole = (await make.org.get(f"/api/a2a/dispatches/{dispatch_id}")).json()["dispatch"]

    assert (len(short["input"]["text"]), len(whole["input"]["text"])) == (2000, 5000)


async def test_another_organization_sees_nothing_of_it(make, agent, application, owner):
    dispatch_id = (await dispatch(make, agent)).json()["dispatch"]["dispatchId"]
    others = await Maker.begin(application, owner, make.system.headers["authorization"][7:])

    assert await ids(others) == []
    for answer in (
        await others.org.get(f"/api/a2a/dispatches/{dispatch_id}"),
        await others.org.post(f"/api/a2a/dispatches/{dispatch_id}/cancel"),
        await dispatch(others, agent),
    ):
        assert answer.status_code == 404
    await others.close()
