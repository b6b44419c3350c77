"""The first whole journey: a signed webhook becomes a finished session."""

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
