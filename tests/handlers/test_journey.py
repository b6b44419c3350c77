"""The first whole journey: a signed webhook becomes a finished session."""

from domain.principal import WORKER_SCOPES
from jobs.deliver_events import deliver_events
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed


async def test_a_signed_linear_webhook_becomes_a_finished_session(
    anonymous, make, run_job, audit_log
):
    workspace_id = f"lin-{make.slug}"
    mapped = await make.system.post(
        f"/api/org/{make.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": workspace_id, "projectId": make.project_id},
    )
    assert mapped.status_code == 201
    event = linear_event(workspace_id, project={"name": "billing"}, priority=2)
    session_id = event["agentSession"]["id"]

    ingested = await anonymous.post("/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event))
    await run_job(deliver_events)
    worker = await make.worker(capacity=1)
    beat = await worker.client.post(f"/api/workers/{worker.id}/heartbeat", json={"activeCount": 0})
    work = (await worker.client.get(f"/api/workers/{worker.id}/poll")).json()["work"]
    report = f"/api/sessions/{session_id}"
    running = await worker.client.post(
        f"{report}/status", json={"workerId": worker.id, "status": "running"}
    )
    activity = await worker.client.post(
        f"{report}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": "Reading"}},
    )
    completion = await worker.client.post(
        f"{report}/completion", json={"workerId": worker.id, "summary": "Done."}
    )
    completed = await worker.client.post(
        f"{report}/status",
        json={"workerId": worker.id, "status": "completed", "totalCostUsd": 1.5},
    )
    shown = (await make.org.get("/api/public/sessions")).json()["sessions"]
    detail = (await make.org.get(f"/api/public/sessions/{shown[0]['id']}")).json()["session"]

    assert ingested.json()["ok"] is True
    assert beat.json()["pendingWorkCount"] == 1
    assert [item["sessionId"] for item in work] == [session_id]
    assert work[0]["projectName"] == "billing"
    assert work[0]["priority"] == 2
    assert running.json()["session"]["status"] == "running"
    assert activity.status_code == completion.status_code == 200
    assert completed.json()["session"]["totalCostUsd"] == 1.5
    assert [(s["identifier"], s["status"]) for s in shown] == [
        (event["agentSession"]["issue"]["identifier"], "completed")
    ]
    assert detail["timeline"].keys() == {"created", "queued", "started", "completed"}
    assert [event_type for event_type, _ in await audit_log()] == [
        "workspace.mapped",
        "session.queued",
        "worker.registered",
        "session.claimed",
        "session.running",
        "session.completion_posted",
        "session.completed",
    ]


async def test_the_open_source_worker_finishes_a_session_with_nothing_outside(make, tracker):
    """clients.md, the table of one session: its requests in order, and what the client reads."""
    event = linear_event(tracker.workspace, state={"id": "s1", "name": "Todo", "type": "unstarted"})
    await tracker.send(event)
    session_id, issue = event["agentSession"]["id"], event["agentSession"]["issue"]
    client = make.client(await make.key(projects=[make.project_id], scopes=WORKER_SCOPES))

    async def post(path, **body):
        answer = await client.post(path, json=body)
        assert answer.status_code in {200, 201}, (path, answer.text)
        return answer.json()

    async def tracked(method, *args):
        said = await post("/api/issue-tracker-proxy", method=method, args=[*args])
        assert said["success"] is True
        return said["data"]

    worker_id = (
        await post("/api/workers/register", hostname="forge", capacity=1, version="1.0.0")
    )["workerId"]
    assert (await client.get("/api/config")).json()["projects"] == []
    (work,) = (await client.get(f"/api/workers/{worker_id}/poll")).json()["work"]
    of_session = f"/api/sessions/{session_id}"
    mine = {"workerId": worker_id}
    await post(f"{of_session}/status", **mine, status="running")
    await post(f"{of_session}/progress", **mine, milestone="claimed", message="Claimed")
    read = await tracked("getIssue", work["issueIdentifier"])
    assert await tracked("isChildIssue", read["id"]) is False
    await tracked("updateIssueStatus", read["id"], "Started")
    await post(f"{of_session}/status", **mine, status="running", providerSessionId=session_id)
    await post(f"{of_session}/status", **mine, status="running", providerSessionId="prov-1")
    await post(f"{of_session}/lock-refresh", **mine, issueId=read["id"])
    await tracked("createComment", read["id"], "Done.")
    finished = await tracked("updateIssueStatus", read["id"], "Finished")
    await tracked("unassignIssue", read["id"])
    await post(f"{of_session}/completion", summary="Done.\n\nWORK_RESULT:passed")
    await post(f"{of_session}/files/release-all")
    await post(f"{of_session}/status", **mine, status="finalizing")
    await post(f"{of_session}/status", **mine, status="completed", totalCostUsd=0.5)

    assert (read["id"], read["identifier"]) == (issue["id"], issue["identifier"])
    assert (read["title"], read["labels"]) == (issue["title"], [])
    assert (read["state"]["name"], read["team"]["name"]) == ("Backlog", "ENG")
    assert finished["state"]["name"] == "Finished"
    assert (await make.stored(session_id)).status == "completed"
