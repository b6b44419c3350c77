"""Tasks that agents send here, by the official SDK's client of both generations."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.client.client import ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

import settings
from jobs.tell_clients import tell_clients
from tests.factories import Maker
from tests.outbound.servers import Server, reply, running

URL = "/api/a2a"
STATE = pb.TaskState
WRITE = ["sessions:write"]


@pytest.fixture(params=["1.0", "0.3"])
def generation(request):
    return request.param


@pytest.fixture
def connect(address, generation, anonymous):
    """The SDK's client, made from the server's own card as it is read by one generation."""

    @asynccontextmanager
    async def connect(key, *, streaming=True, polling=False):
        card = (await anonymous.get("/.well-known/agent-card.json")).json()
        if generation == "0.3":
            del card["supportedInterfaces"]
        own = card["url"].removesuffix(URL)
        card = json.loads(json.dumps(card).replace(own, address))
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
            config = ClientConfig(streaming=streaming, polling=polling, httpx_client=http)
            yield ClientFactory(config).create(parse_agent_card(card))

    return connect


@pytest.fixture
async def worker(make):
    return await make.worker()


def message(text, **more):
    return pb.SendMessageRequest(
        message=pb.Message(
            message_id=str(uuid4()), role=pb.Role.ROLE_USER, parts=[pb.Part(text=text)], **more
        )
    )


async def first(events):
    """The task of the first event."""
    async for event in events:
        await events.aclose()
        return event.task
    raise AssertionError("no event")


async def claim(worker):
    polled = await worker.client.get(f"/api/workers/{worker.id}/poll")
    (work,) = polled.json()["work"]
    return work


async def report(worker, session_id, status):
    said = await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": status}
    )
    assert said.status_code == 200, said.text


async def act(worker, session_id, content, kind="thought"):
    said = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": worker.id, "activity": {"type": kind, "content": content}},
    )
    assert said.status_code == 200, said.text


async def conclude(worker, session_id, summary="The currency is kept"):
    said = await worker.client.post(
        f"/api/sessions/{session_id}/completion", json={"workerId": worker.id, "summary": summary}
    )
    assert said.status_code == 200, said.text
    await report(worker, session_id, "completed")


def told(events):
    """Events as words."""
    words = []
    for event in events:
        kind = event.WhichOneof("payload")
        if kind == "task":
            words.append(f"task {STATE.Name(event.task.status.state)[11:].lower()}")
        elif kind == "artifact_update":
            words.append(f"artifact {event.artifact_update.artifact.parts[0].text}")
        else:
            status = event.status_update.status
            text = status.message.parts[0].text if status.message.parts else ""
            words.append(f"{STATE.Name(status.state)[11:].lower()} {text}".strip())
    return words


async def test_a_whole_task_by_stream(make, connect, worker):
    events, working = [], asyncio.Event()

    async def client():
        async with connect(make.worker_key_of_all) as agent:
            async for event in agent.send_message(message("Keep the currency of a refund")):
                events.append(event)
                working.set()

    make.worker_key_of_all = await make.key(projects=[make.project_id], scopes=WRITE)
    following = asyncio.create_task(client())
    async with asyncio.timeout(5):
        await working.wait()
    work = await claim(worker)
    session_id = work["sessionId"]
    await report(worker, session_id, "running")
    await act(worker, session_id, "Looking at the refund")
    await act(worker, session_id, "Ran the tests", "action")
    await conclude(worker, session_id)
    async with asyncio.timeout(10):
        await following

    words = told(events)
    assert work["prompt"] == "Keep the currency of a refund"
    assert session_id == events[0].task.id
    assert words[0] == "task submitted"
    assert [word for word in words if word.startswith("working ")] == [
        "working Looking at the refund",
        "working Ran the tests",
    ]
    assert words[-2:] == ["artifact The currency is kept", "completed"]


async def test_a_task_without_streaming_is_looked_after(make, connect, worker):
    async with connect(make.org_key, streaming=False, polling=True) as agent:
        request = message("Keep the currency")
        request.message.metadata.update({"projectId": make.project_id, "workType": "qa"})
        task = await first(agent.send_message(request))
        work = await claim(worker)
        await report(worker, task.id, "running")
        await act(worker, task.id, "Looking at it")
        at_work = await agent.get_task(pb.GetTaskRequest(id=task.id))
        await conclude(worker, task.id)
        done = await agent.get_task(pb.GetTaskRequest(id=task.id))

    assert (work["sessionId"], work["workType"]) == (task.id, "qa")
    assert task.status.state == STATE.TASK_STATE_SUBMITTED
    assert at_work.status.state == STATE.TASK_STATE_WORKING
    assert [each.parts[0].text for each in at_work.history] == [
        "Keep the currency",
        "Looking at it",
    ]
    assert done.status.state == STATE.TASK_STATE_COMPLETED
    assert done.artifacts[0].parts[0].text == "The currency is kept"
    assert done.context_id == task.context_id


async def test_a_message_that_waits_is_answered_when_the_task_ends(make, connect, worker):
    key = await make.key(projects=[make.project_id], scopes=WRITE)

    async def work():
        while not (polled := (await worker.client.get(f"/api/workers/{worker.id}/poll")).json())[
            "work"
        ]:
            await asyncio.sleep(0.02)
        session_id = polled["work"][0]["sessionId"]
        await report(worker, session_id, "running")
        await conclude(worker, session_id)

    working = asyncio.create_task(work())
    async with connect(key, streaming=False) as agent:
        task = await first(agent.send_message(message("Keep the currency")))
    await working

    assert task.status.state == STATE.TASK_STATE_COMPLETED


async def test_a_message_waits_no_longer_than_clients_do(make, connect, monkeypatch):
    monkeypatch.setattr("handlers.a2a_endpoint.BLOCKING_SECONDS", 0.1)
    key = await make.key(projects=[make.project_id], scopes=WRITE)

    async with connect(key, streaming=False) as agent:
        task = await first(agent.send_message(message("Keep the currency")))

    assert task.status.state == STATE.TASK_STATE_SUBMITTED


async def test_a_stream_that_is_cut_goes_on_without_a_hole(make, connect, worker):
    """Whatever happens between two streams is in the task that the second one begins with."""
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with connect(key) as agent:
        events = agent.send_message(message("Keep the currency"))
        task = (await anext(events)).task
        await claim(worker)
        await report(worker, task.id, "running")
        await act(worker, task.id, "step 1")
        seen = []
        async for event in events:
            seen.append(event)
            if told([event]) == ["working step 1"]:
                break
        await events.aclose()
    await act(worker, task.id, "step 2")
    await act(worker, task.id, "step 3")

    async with connect(key) as agent:
        again = agent.subscribe(pb.SubscribeToTaskRequest(id=task.id))
        snapshot = (await anext(again)).task
        await act(worker, task.id, "step 4")
        await conclude(worker, task.id)
        rest = [event async for event in again]

    assert [each.parts[0].text for each in snapshot.history] == [
        "Keep the currency",
        "step 1",
        "step 2",
        "step 3",
    ]
    assert snapshot.status.state == STATE.TASK_STATE_WORKING
    assert told(rest) == ["working step 4", "artifact The currency is kept", "completed"]


async def raw(address, key, method, params, **headers):
    """The events of a stream as (id, result), read without the SDK."""
    found = []
    async with (
        httpx.AsyncClient(base_url=address, timeout=10) as http,
        http.stream(
            "POST",
            URL,
            json={"jsonrpc": "2.0", "id": 7, "method": method, "params": params},
            headers={"Authorization": f"Bearer {key}", **headers},
        ) as response,
    ):
        assert response.status_code == 200
        place = None
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                place = int(line[4:])
            elif line.startswith("data: "):
                found.append((place, json.loads(line[6:])["result"]))
    return found


async def test_the_last_event_id_has_the_rest_sent_again(make, address, worker):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    caller = make.client(key)
    task_id = await begun(caller)
    await claim(worker)
    await report(worker, task_id, "running")
    for number in range(1, 6):
        await act(worker, task_id, f"step {number}")
    await conclude(worker, task_id)

    whole = await raw(address, key, "SubscribeToTask", {"id": task_id}, **{"Last-Event-ID": "0"})
    rest = await raw(address, key, "SubscribeToTask", {"id": task_id}, **{"Last-Event-ID": "3"})
    ended = await raw(address, key, "SubscribeToTask", {"id": task_id})

    def texts(events):
        updates = [each["statusUpdate"]["status"] for _, each in events if "statusUpdate" in each]
        return [each["message"]["parts"][0]["text"] for each in updates if "message" in each]

    assert texts(whole) == [f"step {number}" for number in range(1, 6)]
    assert texts(rest) == ["step 4", "step 5"]
    assert (rest[0][0], rest[-1][0]) == (3, 5)
    for events in (whole, rest, ended):
        assert events[-1][1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert ended[0][1]["task"]["artifacts"][0]["parts"][0]["text"] == "The currency is kept"


async def begun(caller, text="Keep the currency", **more):
    """The id of a new task."""
    answer = await rpc(
        caller,
        "SendMessage",
        {
            "message": {
                "messageId": str(uuid4()),
                "role": "ROLE_USER",
                "parts": [{"text": text}],
                **more,
            },
            "configuration": {"returnImmediately": True},
        },
    )
    return answer["result"]["task"]["id"]


async def rpc(caller, method, params=None, **headers):
    answer = await caller.post(
        URL,
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}},
        headers=headers,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_task_is_cancelled(make, connect, worker):
    async with connect(make.org_key, streaming=False, polling=True) as agent:
        request = message("Keep the currency")
        request.message.metadata.update({"projectId": make.project_id})
        task = await first(agent.send_message(request))
        cancelled = await agent.cancel_task(pb.CancelTaskRequest(id=task.id))
        again = await agent.cancel_task(pb.CancelTaskRequest(id=task.id))

    assert cancelled.status.state == again.status.state == STATE.TASK_STATE_CANCELED
    assert (await make.stored(task.id)).status == "stopped"


async def test_what_has_ended_is_neither_cancelled_nor_continued(make, connect, worker):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with connect(key, streaming=False, polling=True) as agent:
        task = await first(agent.send_message(message("Keep the currency")))
        await claim(worker)
        await report(worker, task.id, "running")
        await conclude(worker, task.id)

        with pytest.raises(TaskNotCancelableError):
            await agent.cancel_task(pb.CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await first(agent.send_message(message("And in euros", task_id=task.id)))


async def test_a_message_to_a_task_reaches_its_agent(make, connect, worker):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with connect(key, streaming=False, polling=True) as agent:
        task = await first(agent.send_message(message("Keep the currency")))
        await claim(worker)
        await report(worker, task.id, "running")
        request = message("And in euros", task_id=task.id, context_id=task.context_id)
        same = await first(agent.send_message(request))
        await first(agent.send_message(request))
        with pytest.raises(InvalidParamsError):
            await first(agent.send_message(message("x", task_id=task.id, context_id="another")))

    polled = await worker.client.get(f"/api/workers/{worker.id}/poll")
    texts = [each["payload"] for lane in polled.json()["inboxMessages"].values() for each in lane]
    assert same.id == task.id
    assert len(texts) == 1
    assert "And in euros" in texts[0]


async def test_a_message_that_is_sent_again_starts_nothing_again(make, connect):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    request = message("Keep the currency")
    async with connect(key, streaming=False, polling=True) as agent:
        tasks = await asyncio.gather(
            *(first(agent.send_message(pb.SendMessageRequest(message=request.message)))
              for _ in range(4))
        )  # fmt: skip

    assert len({task.id for task in tasks}) == 1


async def test_another_organizations_task_is_not_found(make, connect, application, owner):
    others = await Maker.begin(application, owner, make.system.headers["authorization"][7:])
    elsewhere = await make.key(projects=[await make.project()], scopes=WRITE)
    task_id = await begun(make.client(await make.key(projects=[make.project_id], scopes=WRITE)))

    for key in (others.org_key, elsewhere):
        async with connect(key) as agent:
            with pytest.raises(TaskNotFoundError):
                await agent.get_task(pb.GetTaskRequest(id=task_id))
            with pytest.raises(TaskNotFoundError):
                await agent.cancel_task(pb.CancelTaskRequest(id=task_id))
            with pytest.raises(TaskNotFoundError):
                await anext(agent.subscribe(pb.SubscribeToTaskRequest(id=task_id)))
            with pytest.raises(TaskNotFoundError):
                await anext(agent.send_message(message("x", task_id=task_id)))
            with pytest.raises(TaskNotFoundError):
                await agent.create_task_push_notification_config(
                    pb.TaskPushNotificationConfig(task_id=task_id, url="https://a.example/")
                )
            with pytest.raises(TaskNotFoundError):
                await agent.list_task_push_notification_configs(
                    pb.ListTaskPushNotificationConfigsRequest(task_id=task_id)
                )
    listed = await rpc(others.org, "ListTasks")
    assert listed["result"]["tasks"] == []
    assert (await make.stored(task_id)).status == "pending"
    await others.close()


async def test_a_session_that_no_agent_sent_is_no_task(make):
    session_id = await make.session()

    answer = await rpc(make.org, "GetTask", {"id": session_id})

    assert answer["error"]["code"] == -32001


async def test_tasks_are_listed_newest_first_and_by_what_they_are(make, worker):
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))
    ids = [await begun(caller, contextId="one") for _ in range(3)]
    other = await begun(caller)
    await rpc(caller, "CancelTask", {"id": ids[0]})

    async def listed(**params):
        return (await rpc(caller, "ListTasks", params))["result"]

    page = await listed(pageSize=3)
    rest = await listed(pageSize=3, pageToken=page["nextPageToken"])

    assert [each["id"] for each in page["tasks"] + rest["tasks"]] == [other, *reversed(ids)]
    assert (page["totalSize"], rest["nextPageToken"]) == (4, "")
    in_context = await listed(contextId="one")
    assert [each["id"] for each in in_context["tasks"]] == list(reversed(ids))
    cancelled = await listed(status="TASK_STATE_CANCELED")
    assert [each["id"] for each in cancelled["tasks"]] == [ids[0]]
    assert (await listed(status="TASK_STATE_REJECTED"))["tasks"] == []
    for wrong in ({"pageSize": 0}, {"pageSize": 101}, {"pageToken": "x"}):
        assert (await rpc(caller, "ListTasks", wrong))["error"]["code"] == -32602


class Hook(Server):
    """A client's address for notifications."""

    def __init__(self):
        super().__init__(lambda _: reply(self.status))
        self.status = 200

    def states(self):
        said = [json.loads(each.body) for each in self.asked]
        return [(each.get("task") or each)["status"]["state"] for each in said]


async def test_a_client_is_told_where_it_asked_for_it(
    make, connect, worker, given, run_job, generation, owner
):
    await owner.execute("update a2a_push_configs set is_done = true")
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with running(Hook()) as hook, connect(key, streaming=False, polling=True) as agent:
        settings.use(replace(given, allowed_private_hosts=(hook.host,)))
        request = message("Keep the currency")
        request.configuration.task_push_notification_config.CopyFrom(
            pb.TaskPushNotificationConfig(
                url=f"{hook.url}/hook",
                token="tok-of-the-client",
                authentication=pb.AuthenticationInfo(scheme="Bearer", credentials="secret"),
            )
        )
        task = await first(agent.send_message(request))
        await run_job(tell_clients)
        await run_job(tell_clients)
        await claim(worker)
        await report(worker, task.id, "running")
        hook.status = 503
        await run_job(tell_clients)
        hook.status = 200
        await owner.execute("update a2a_push_configs set next_try_at = now() where not is_done")
        await run_job(tell_clients)
        await conclude(worker, task.id)
        await run_job(tell_clients)
        await run_job(tell_clients)
        (config,) = (
            await agent.list_task_push_notification_configs(
                pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
            )
        ).configs
        settings.use(given)

    submitted, working, completed = (
        ("submitted", "working", "completed")
        if generation == "0.3"
        else ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED")
    )
    assert hook.states() == [submitted, working, working, completed]
    headers = hook.asked[0].headers
    assert headers["x-a2a-notification-token"] == "tok-of-the-client"
    assert headers["authorization"] == "Bearer secret"
    assert config.token == "tok-of-the-client"
    assert config.authentication.credentials == ""


async def test_configs_are_made_read_and_removed(make, connect):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with connect(key, streaming=False, polling=True) as agent:
        task = await first(agent.send_message(message("Keep the currency")))
        made = await agent.create_task_push_notification_config(
            pb.TaskPushNotificationConfig(task_id=task.id, id="one", url="https://a.example/x")
        )
        got = await agent.get_task_push_notification_config(
            pb.GetTaskPushNotificationConfigRequest(task_id=task.id, id="one")
        )
        await agent.delete_task_push_notification_config(
            pb.DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="one")
        )
        left = await agent.list_task_push_notification_configs(
            pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
        )

        assert (made.id, made.url, got.url) == ("one", "https://a.example/x", "https://a.example/x")
        assert list(left.configs) == []
        with pytest.raises(TaskNotFoundError):
            await agent.get_task_push_notification_config(
                pb.GetTaskPushNotificationConfigRequest(task_id=task.id, id="one")
            )


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://2130706433/",
        "ftp://a.example/",
        "",
    ],
)
async def test_no_notification_goes_to_a_private_address(url, make):
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))
    task_id = await begun(caller)

    answer = await rpc(caller, "CreateTaskPushNotificationConfig", {"taskId": task_id, "url": url})

    assert answer["error"]["code"] == -32602


async def test_a_name_that_leads_to_a_private_address_is_never_told(
    make, run_job, owner, monkeypatch
):
    await owner.execute("update a2a_push_configs set is_done = true")
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))
    task_id = await begun(caller)
    made = await rpc(
        caller,
        "CreateTaskPushNotificationConfig",
        {"taskId": task_id, "url": "https://localhost/hook"},
    )

    await run_job(tell_clients)

    rows = await owner.execute("select * from a2a_push_configs where session_id = %s", (task_id,))
    row = await rows.fetchone()
    assert "error" not in made
    assert (row.is_done, row.last_error) == (True, "localhost leads to a loopback address")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, -32600),
        ({"jsonrpc": "1.0", "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": 1}, -32600),
        ({"jsonrpc": "2.0", "id": True, "method": "GetTask"}, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "DropTables"}, -32601),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask"}, -32001),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": []}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": 5}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/get"}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {}}, -32602),
        ({"jsonrpc": "2.0", "id": 1, "method": "agent/getAuthenticatedExtendedCard"}, -32007),
        ({"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard"}, -32007),
    ],
)
async def test_what_is_wrong_is_a_json_rpc_error(body, code, make):
    answer = await make.org.post(URL, json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["id"] in {None, 1}


@pytest.mark.parametrize(
    "changed",
    [
        {"messageId": ""},
        {"messageId": "x" * 201},
        {"parts": []},
        {"parts": [{"text": "  "}]},
        {"parts": [{"text": "x" * 100_001}]},
        {"contextId": "x" * 201},
        {"metadata": {"workType": "landing"}},
        {"metadata": {"workType": ["qa"]}},
        {"metadata": {"projectId": "nowhere"}},
    ],
)
async def test_a_message_that_no_agent_can_work_on_is_refused(changed, make):
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))
    said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Do it"}], **changed}

    answer = await rpc(caller, "SendMessage", {"message": said})

    assert answer["error"]["code"] == -32602
    assert (await rpc(caller, "ListTasks"))["result"]["tasks"] == []


async def test_a_file_is_taken_by_its_url_only(make):
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))
    said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"raw": "aGk="}]}

    refused = await rpc(caller, "SendMessage", {"message": said})

    assert refused["error"]["code"] == -32005


async def test_a_credential_of_several_projects_must_name_one(make):
    said = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "Do it"}]}
    params = {"message": said, "configuration": {"returnImmediately": True}}

    nowhere = await rpc(make.org, "SendMessage", params)
    there = await rpc(make.org, "SendMessage", params, **{"X-Rensei-Project": make.project_id})

    assert nowhere["error"]["code"] == -32602
    assert "projectId" in nowhere["error"]["message"]
    assert (await make.stored(there["result"]["task"]["id"])).project_id == make.project_id


async def test_a_skill_of_the_card_says_what_kind_of_work_it_is(make):
    caller = make.client(await make.key(projects=[make.project_id], scopes=WRITE))

    kinds = [
        (await make.stored(await begun(caller, metadata=about))).work_type
        for about in ({"skillId": "qa"}, {"skillId": "sdlc.execute"}, {"skillId": [1]}, {})
    ]

    assert kinds == ["qa", "development", "development", "development"]


async def test_a_version_that_nobody_speaks_is_refused(make):
    answer = await rpc(make.org, "ListTasks", **{"A2A-Version": "7.1"})
    old = await rpc(make.org, "ListTasks", **{"A2A-Version": "0.3"})

    assert answer["error"]["code"] == -32009
    assert "result" in old


async def test_a_stream_ends_when_its_key_is_revoked(make, address, monkeypatch):
    monkeypatch.setattr("handlers.following.CREDENTIAL_SECONDS", 0.1)
    made = await make.key_answer(projects=[make.project_id], scopes=WRITE)
    key = made["fullKey"]
    task_id = await begun(make.client(key))

    async def revoke():
        await asyncio.sleep(0.2)
        gone = await make.org.delete(f"/api/org/{make.org_id}/keys/{made['id']}")
        assert gone.status_code == 200, gone.text

    revoking = asyncio.create_task(revoke())
    with pytest.raises(KeyError, match="result"):  # the last event tells why, and is no answer
        await raw(address, key, "SubscribeToTask", {"id": task_id})
    await revoking


async def test_a_failed_task_says_why(make, connect, worker):
    key = await make.key(projects=[make.project_id], scopes=WRITE)
    async with connect(key, streaming=False, polling=True) as agent:
        task = await first(agent.send_message(message("Keep the currency")))
        await claim(worker)
        said = await worker.client.post(
            f"/api/sessions/{task.id}/status",
            json={"workerId": worker.id, "status": "failed", "error": {"message": "No branch"}},
        )
        assert said.status_code == 200, said.text
        failed = await agent.get_task(pb.GetTaskRequest(id=task.id))

    assert failed.status.state == STATE.TASK_STATE_FAILED


async def test_there_is_no_extended_card(make, connect):
    async with connect(make.org_key) as agent:
        card = await agent.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
    answer = await rpc(make.org, "GetExtendedAgentCard")

    assert card.name == "Rensei"
    assert answer["error"]["code"] == -32007
