"""Makes the things that tests are about, through the front door wherever there is one."""

import hashlib
import hmac
import itertools
import json
import secrets
from dataclasses import dataclass
from typing import Any, Self

from auth import tokens
from tests.client import BASE_URL, Client

HAPPENED = """
select workspace_id as org_id, array[0, sequence_number] as place, event_type, actor_id, actor_type,
  entity_type, entity_id, payload::jsonb as payload, occurred_at
from audit_events
union all
select coalesce(org_id, 'system'), array[1, id], event_type, actor_id, actor_type,
  entity_type, entity_id, payload, occurred_at
from audit_pending
"""
"""What happened, sealed or not, ordered by `place`. The fixture `owner` has it as a view."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Made:
    """Something made: its id, what the server said of it, and a caller that speaks for it."""

    id: str
    answer: dict[str, Any]
    client: Client


class Maker:
    """Makes things in one organization."""

    def __init__(self, application: Any, owner: Any) -> None:
        self.application = application
        self.owner = owner
        self.clients: list[Client] = []
        self.org_id = ""
        self.project_id = ""
        self.first_audit = 0

    @classmethod
    async def begin(cls, application: Any, owner: Any, system_key: str) -> Self:
        """An organization with a project, an org-wide key and a worker key."""
        maker = cls(application, owner)
        maker.system = maker.client(system_key)
        maker.org_id = await maker.organization()
        maker.slug = maker._slug
        maker.org_key = await maker.key()
        maker.org = maker.client(maker.org_key)
        maker.project_id = await maker.project()
        maker.worker_key = await maker.key(projects=[maker.project_id])
        so_far = await owner.execute(
            "select (select count(*) from audit_pending where org_id = %(org)s)"
            " + (select count(*) from audit_events where workspace_id = %(org)s) as count",
            {"org": maker.org_id},
        )
        maker.first_audit = (await so_far.fetchone()).count
        return maker

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    def client(self, token: str | None = None, **more: Any) -> Client:
        """A caller with this bearer."""
        client = Client(self.application, token, **more)
        self.clients.append(client)
        return client

    async def organization(self) -> str:
        self._slug = f"org-{secrets.token_hex(4)}"
        answer = await self.system.post(
            "/api/admin/organizations", json={"name": "Test", "slug": self._slug}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["organization"]["id"])

    async def project(self, org_id: str | None = None) -> str:
        answer = await self.system.post(
            f"/api/org/{org_id or self.org_id}/projects",
            json={"name": "Test", "slug": f"p-{secrets.token_hex(4)}"},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["project"]["id"])

    async def key(self, org_id: str | None = None, **body: Any) -> str:
        """The secret of a new key; of all projects unless `projects` says otherwise."""
        return str((await self.key_answer(org_id, **body))["fullKey"])

    async def key_answer(self, org_id: str | None = None, **body: Any) -> dict[str, Any]:
        answer = await self.system.post(
            f"/api/org/{org_id or self.org_id}/keys",
            json={"name": "test", "projects": "all", **body},
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json()["key"])

    async def worker(self, key: str | None = None, **body: Any) -> Made:
        """A registered worker with its runtime token."""
        caller = self.client(key or self.worker_key)
        answer = await caller.post(
            "/api/workers/register", json={"hostname": "forge-01", "capacity": 5, **body}
        )
        assert answer.status_code == 201, answer.text
        said = answer.json()
        return Made(said["workerId"], said, self.client(said["runtimeToken"]))

    async def connection(self, provider: str = "linear", **body: Any) -> str:
        """The id of a new connection of the organization."""
        answer = await self.org.post(
            f"/api/org/{self.org_id}/connections",
            json={"provider": provider, "name": provider, **body},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["connection"]["id"])

    async def settings_of_project(self, project_id: str | None = None, **body: Any) -> None:
        """Change the settings of a project, whatever they are now."""
        answer = await self.org.patch(
            f"/api/org/{self.org_id}/projects/{project_id or self.project_id}/settings",
            json=body,
            headers={"If-Match": "*"},
        )
        assert answer.status_code == 200, answer.text

    async def session(self, project_id: str | None = None, **columns: Any) -> str:
        """The id of a session in the queue; `columns` are those of the table."""
        number = next(_numbers)
        values = {
            "org_id": self.org_id,
            "id": f"ses-{secrets.token_hex(8)}",
            "project_id": project_id or self.project_id,
            "public_id": secrets.token_hex(8),
            "issue_id": f"issue-{number}",
            "issue_identifier": f"ENG-{number}",
            "work_type": "development",
            "priority": 3,
            **columns,
        }
        names = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        await self.owner.execute(
            f"insert into sessions ({names}) values ({places})", list(values.values())
        )
        return str(values["id"])

    async def claimed(self, worker: Made, **columns: Any) -> str:
        """The id of a session that this worker has just claimed."""
        return (await self.claimed_with_token(worker, **columns))[0]

    async def claimed_with_token(self, worker: Made, **columns: Any) -> tuple[str, str]:
        """A session that this worker has just claimed, and the MCP token of its agent."""
        session_id = await self.session(priority=1, **columns)
        answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
        (work,) = [each for each in answer.json()["work"] if each["sessionId"] == session_id]
        return session_id, work["mcpAuthToken"]

    async def batch_job(self, project_id: str | None = None, **columns: Any) -> str:
        """The id of a batch job that waits in its lane; `columns` are those of the table."""
        values = {
            "org_id": self.org_id,
            "id": f"batch:test:{secrets.token_hex(8)}",
            "project_id": project_id or self.project_id,
            "work_type": "code-survival-scan",
            "item": json.dumps({"contractVersion": 1, "prRepo": "acme/billing"}),
            **columns,
        }
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        await self.owner.execute(
            f"insert into batch_jobs ({names}) values ({places})", list(values.values())
        )
        return str(values["id"])

    async def claimed_batch_job(self, worker: Made, project_id: str) -> tuple[str, str]:
        """A batch job that this worker holds, and the token for its result."""
        job_id = await self.batch_job(
            project_id, status="claimed", worker_id=worker.id, attempts=1, claimed_at="now"
        )
        claims = {
            "sub": job_id,
            "org_id": self.org_id,
            "project_id": project_id,
            "wkr": worker.id,
            "att": 1,
            "scope": ["batch:result"],
        }
        return job_id, await tokens.mint(tokens.BATCH, claims, 600)

    async def browser(self, key: str | None = None) -> Client:
        """The browser of whoever has this key, on the server's own pages."""
        opened = await self.client(key or self.org_key).post("/api/auth/session")
        assert opened.status_code == 201, opened.text
        cookie = f"wos-session={opened.cookies['wos-session']}"
        return self.client(headers={"Cookie": cookie, "Origin": BASE_URL})

    async def recovery_packet(self, session_id: str, **context: Any) -> dict[str, Any]:
        """A recovery packet, made by a person."""
        made = await (await self.browser()).post(
            f"/api/sessions/{session_id}/recovery-packet", json={"agentId": "agent-1", **context}
        )
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def interview(self, project_id: str | None = None, **body: Any) -> tuple[str, str]:
        """The id of an interview in the queue, and that of its session."""
        answer = await self.org.post(
            "/api/interview",
            json={
                "projectId": project_id or self.project_id,
                "initialPrompt": "Ask me about refunds",
                "priority": 1,
                **body,
            },
        )
        assert answer.status_code == 201, answer.text
        interview = answer.json()["interview"]
        return str(interview["id"]), str(interview["sessionId"])

    async def end(self, session_id: str, status: str = "completed") -> None:
        """End a session a minute ago, without anybody's word."""
        await self.owner.execute(
            "update sessions set status = %s, finished_at = now() - interval '1 minute'"
            " where org_id = %s and id = %s",
            (status, self.org_id, session_id),
        )

    async def credential(
        self, kind: str, org_id: str | None = None, place: Any = None, **env: str
    ) -> dict[str, Any]:
        """A credential with these variables; `place` has its `projectId` and `envName`."""
        caller = self.org if org_id is None else self.client(await self.key(org_id))
        variables = [{"name": name, "value": value} for name, value in env.items()]
        answer = await caller.put(
            f"/api/org/{org_id or self.org_id}/credentials",
            json={"kind": kind, "variables": variables, **(place or {})},
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["credential"])

    async def agent(self, **columns: Any) -> tuple[str, str]:
        """The id and URL of a registered A2A agent, which cannot be reached."""
        values = {
            "id": f"a2a_{secrets.token_hex(8)}",
            "org_id": self.org_id,
            "url": f"https://{secrets.token_hex(4)}.example.test",
            "trust_level": "external",
            "card": '{"name":"Reviewer","skills":[{"id":"review","name":"Review"}]}',
            "card_url": "",
            "last_fetched_at": "now",
            **columns,
        }
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        await self.owner.execute(
            f"insert into a2a_agents ({names}) values ({places})", list(values.values())
        )
        return str(values["id"]), str(values["url"])

    async def empty_queue(self, project_id: str) -> None:
        """End what earlier tests gave back to the front of a project's queue."""
        await self.owner.execute(
            "update sessions set status = 'stopped', finished_at = now(), holds_issue = false"
            " where org_id = %s and project_id = %s and status = 'pending' and priority < 3",
            (self.org_id, project_id),
        )

    async def dead_event(self, **columns: Any) -> str:
        """The id of a webhook event of the organization that was given up."""
        values = {
            "id": f"evt_{secrets.token_hex(8)}",
            "correlation_id": f"corr_{secrets.token_hex(8)}",
            "provider": "linear",
            "verified_by": self.org_id,
            "event_name": "AgentSessionEvent.created",
            "type": "linear.agent_session.created",
            "body": b'{"type":"AgentSessionEvent","action":"created"}',
            "org_id": self.org_id,
            "status": "dead",
            "attempts": 8,
            "outcome": "RuntimeError",
            **columns,
        }
        names = ", ".join(values)
        places = ", ".join(["%s"] * len(values))
        await self.owner.execute(
            f"insert into webhook_events ({names}) values ({places})", list(values.values())
        )
        return str(values["id"])

    async def stored(self, session_id: str) -> Any:
        """The session's row as it is now."""
        rows = await self.owner.execute(
            "select * from sessions where org_id = %s and id = %s", (self.org_id, session_id)
        )
        return await rows.fetchone()


def linear_event(workspace_id: str, session_id: str | None = None, **issue: Any) -> dict[str, Any]:
    """An `AgentSessionEvent` of action `created`, as Linear sends it."""
    number = next(_numbers)
    return {
        "type": "AgentSessionEvent",
        "action": "created",
        "organizationId": workspace_id,
        "createdAt": "2026-07-01T09:00:00.000Z",
        "webhookTimestamp": 1782896400000 + number,
        "webhookId": "the-same-for-every-delivery",
        "agentSession": {
            "id": session_id or f"ses-{secrets.token_hex(8)}",
            "issue": {
                "id": f"issue-{number}",
                "identifier": f"ENG-{number}",
                "title": "Keep the currency of a refund",
                **issue,
            },
        },
        "promptContext": "<issue>Keep the currency</issue>",
    }


def signed(secret: str, payload: Any, delivery: str | None = None) -> dict[str, Any]:
    """Body and headers of a Linear delivery, as arguments of a client's `post`."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return {
        "content": body,
        "headers": {
            "Content-Type": "application/json",
            "Linear-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
            "Linear-Delivery": delivery or secrets.token_hex(8),
        },
    }
