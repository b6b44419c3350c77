"""Linear as the tracker of a test's organization: its workspace, its events."""

from jobs.deliver_events import deliver_events
from tests.conftest import LINEAR_SECRET
from tests.factories import signed

STATES = {
    "Todo": "unstarted",
    "In Progress": "started",
    "In Review": "started",
    "Done": "completed",
    "Triage": "triage",
    "Backlog": "backlog",
}


class Tracker:
    """A mapped workspace of Linear whose events are worked on at once."""

    def __init__(self, make, anonymous, run_job):
        self.make, self.anonymous, self.run_job = make, anonymous, run_job
        self.workspace = f"lin-{make.slug}"
        self.prefix = make.slug[-8:].upper()
        self.seconds = 0

    async def begin(self):
        await self.run_job(deliver_events)  # nothing of other tests is left
        body = {"provider": "linear", "workspaceId": self.workspace}
        made = await self.make.system.post(
            f"/api/org/{self.make.org_id}/workspaces",
            json={**body, "projectId": self.make.project_id},
        )
        assert made.status_code == 201, made.text
        return self

    async def send(self, event):
        answer = await self.anonymous.post(
            "/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event)
        )
        assert answer.status_code == 200, answer.text
        await self.run_job(deliver_events)
        found = await self.make.owner.execute(
            "select status, outcome from webhook_events where id = %s", [answer.json()["eventId"]]
        )
        return await found.fetchone()

    async def tell(self, entity, action="update", **data):
        """An event of Linear's; each is of a later second."""
        self.seconds += 1
        return await self.send(
            {
                "type": entity,
                "action": action,
                "organizationId": self.workspace,
                "data": data,
                "webhookTimestamp": 1782896400000 + self.seconds,
            }
        )

    async def issue(self, number=1, state="Backlog", action="update", second=None, **data):
        """An event that tells a whole issue."""
        second = self.seconds + 1 if second is None else second
        return await self.tell(
            "Issue",
            action,
            **{
                "id": self.id(number),
                "identifier": f"{self.prefix}-{number}",
                "title": f"Issue {number}",
                "url": f"https://linear.app/acme/issue/ENG-{number}",
                "priority": 2,
                "state": {"id": f"st-{state}", "name": state, "type": STATES.get(state, "started")},
                "team": {"id": "team-1", "name": "Engineering", "key": self.prefix},
                "labels": [],
                "createdAt": "2026-07-01T09:00:00.000Z",
                "updatedAt": f"2026-07-01T10:00:{second:02}.000Z",
                **data,
            },
        )

    def id(self, number=1):
        return f"{self.make.slug}-issue-{number}"


async def ask(worker, method, *args, status=200):
    answer = await worker.client.post(
        "/api/issue-tracker-proxy", json={"method": method, "args": list(args)}
    )
    assert answer.status_code == status, answer.text
    said = answer.json()
    return said["data"] if status == 200 else said["error"]
