"""An organization of one's own on a running server, made through its front door."""

import secrets
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from bench.connections import Answer, Caller
from bench.servers import SYSTEM_KEY

QUEUE = """
insert into sessions
       (org_id, id, project_id, public_id, issue_id, issue_identifier, work_type, priority, work)
select %(org)s, %(prefix)s || n, %(project)s, substr(md5(%(prefix)s || n), 1, 16),
       'issue-' || n, 'ENG-' || n, 'development', 1 + n %% 4, '{"promptContext": "Fix it"}'
  from generate_series(1, %(count)s) n
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A registered worker."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization with one project, an org-wide key and a worker key."""

    port: int
    org_id: str
    project_id: str
    org_key: str
    worker_key: str
    worker_key_id: str

    @classmethod
    async def make(cls, port: int, slug: str) -> Self:
        """Make one with the server's system key."""
        system = Caller(port, SYSTEM_KEY)
        named = {"name": slug, "slug": slug}
        made = _said(await system.post("/api/admin/organizations", named), 201)
        org_id = made["organization"]["id"]
        project = _said(await system.post(f"/api/org/{org_id}/projects", named), 201)["project"]
        keys = [
            _said(await system.post(f"/api/org/{org_id}/keys", {"name": "k", "projects": p}), 201)
            for p in ("all", [project["id"]])
        ]
        system.close()
        org_key, worker_key = (each["key"] for each in keys)
        return cls(
            port,
            org_id,
            project["id"],
            org_key["fullKey"],
            worker_key["fullKey"],
            worker_key["id"],
        )

    async def worker(self, **body: Any) -> Worker:
        """Register a worker for the project."""
        caller = Caller(self.port, self.worker_key)
        # Real daemons name their machine, so that their heartbeats look at a host too.
        machine = {"machineId": secrets.token_hex(8)}
        given = {"hostname": "forge-01", "capacity": 1, **machine, **body}
        said = _said(await caller.post("/api/workers/register", given), 201)
        caller.close()
        return Worker(said["workerId"], said["runtimeToken"])

    async def queue(self, owner: psycopg.AsyncConnection[Any], count: int, prefix: str) -> None:
        """Put sessions `<prefix>1` to `<prefix><count>` into the queue, all at once."""
        values = {"org": self.org_id, "project": self.project_id, "prefix": prefix, "count": count}
        await owner.execute(QUEUE, values)


def _said(answer: Answer, status: int) -> Any:
    if answer.status != status:
        raise RuntimeError(f"the server answered {answer.status}: {answer.body.decode()}")
    return answer.json()
