"""What is measured: each operation's requests, and the rows that it needs."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
import psycopg

from bench.connections import Caller, request
from bench.load import NUMBER
from bench.servers import LINEAR_SECRET
from bench.tenants import Tenant, Worker

CONNECTIONS: Final = 16
WAITING: Final = 30_000
"""More sessions than one run can claim."""

WEBHOOKS: Final = 800
"""As many for each connection, more than one run can send."""

NOTES: Final = 10_000
REMEMBERED: Final = """
insert into memories (org_id, project_id, id, session_id, scope, content, content_hash, words)
select %(org)s, %(project)s, 'mem-' || n, 'ses-' || n %% 50, 'project', made.content,
       sha256(made.content::bytea),
       to_tsvector('english', made.content) || array_to_tsvector(array['=' || %(project)s])
  from generate_series(1, %(count)s) n,
       lateral (select string_agg('term' || abs(hashtext(n || '-' || i)) %% 2000, ' ') as content
                  from generate_series(1, 12) i) made
"""

ACTIVITY: Final = {
    "type": "action",
    "content": "Ran the tests of the billing module",
    "toolName": "Bash",
    "toolInput": {"command": "make test", "timeout": 600},
}

DELTA: Final = (
    b'{"turnId":"turn-0","frames":['
    + b",".join(b'{"index":' + NUMBER + b',"text":"Which ","done":false}' for _ in range(5))
    + b"]}"
)
"""What an agent says in a tenth of a second."""

Owner = psycopg.AsyncConnection[Any]
Prepare = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. `prepare` runs before each measurement."""

    name: str
    requests: list[bytes]
    prepare: Prepare | None = None
    more: list[list[bytes]] | None = None
    """What each connection sends after its first request, where no two may be equal."""

    @property
    def lines(self) -> list[list[bytes]]:
        """What each connection sends, again and again."""
        more = self.more or [[] for _ in self.requests]
        return [[first, *rest] for first, rest in zip(self.requests, more, strict=True)]


@dataclass(frozen=True, slots=True)
class Scene:
    """The rows of a run: workers that wait, workers that work, and an organization with history."""

    owner: Owner
    idle: Tenant
    busy: Tenant
    shown: Tenant
    waiting: list[Worker]
    claiming: list[Worker]
    held: list[str]
    """One running session for each of the waiting workers."""
    talking: list[tuple[Worker, str]]
    """Workers, and the session of an interview that each of them holds."""

    @classmethod
    async def make(cls, port: int, owner: Owner) -> Self:
        """Make them through the front door, except for the sessions in the queue."""
        idle, busy, shown = [
            await Tenant.make(port, f"bench-{each}") for each in ("idle", "busy", "shown")
        ]
        waiting = [await idle.worker(capacity=1) for _ in range(CONNECTIONS)]
        claiming = [await busy.worker(capacity=1_000_000) for _ in range(CONNECTIONS)]
        await idle.queue(owner, CONNECTIONS, "held-")
        held = []
        for worker in waiting:
            caller = Caller(port, worker.token)
            polled = await caller.get(f"/api/workers/{worker.id}/poll")
            (session_id,) = polled.json()["claimedSessionIds"]
            running = {"workerId": worker.id, "status": "running"}
            await caller.post(f"/api/sessions/{session_id}/status", running)
            caller.close()
            held.append(session_id)
        return cls(owner, idle, busy, shown, waiting, claiming, held, await _talking(idle))

    def facts(self) -> dict[str, Any]:
        """What the control must be told, since it reads no token."""
        return {
            "list_org": self.shown.org_id,
            "remembers": {"org": self.idle.org_id, "project": self.idle.project_id},
            "workers": {
                worker.id: {
                    "org": tenant.org_id,
                    "project": tenant.project_id,
                    "registration": tenant.worker_key_id,
                }
                for tenant, workers in (
                    (self.idle, [*self.waiting, *(worker for worker, _ in self.talking)]),
                    (self.busy, self.claiming),
                )
                for worker in workers
            },
            "talking": {session: worker.id for worker, session in self.talking},
        }

    def operations(self) -> list[Operation]:
        """The worker's operations, then the list with little and with much history."""
        both = list(zip(self.waiting, self.held, strict=True))
        return [
            Operation(
                "heartbeat",
                [
                    request("POST", f"/api/workers/{w.id}/heartbeat", w.token, {"activeCount": 1})
                    for w in self.waiting
                ],
            ),
            Operation(
                "poll, empty",
                [request("GET", f"/api/workers/{w.id}/poll", w.token) for w in self.waiting],
            ),
            Operation(
                "poll, claiming 5",
                [request("GET", f"/api/workers/{w.id}/poll", w.token) for w in self.claiming],
                self._fill_queue,
            ),
            Operation(
                "status, repeated",
                [
                    request(
                        "POST",
                        f"/api/sessions/{session}/status",
                        w.token,
                        {"workerId": w.id, "status": "running"},
                    )
                    for w, session in both
                ],
            ),
            Operation(
                "completion",
                [
                    request(
                        "POST",
                        f"/api/sessions/{session}/completion",
                        w.token,
                        # No two are equal, so each is stored.
                        b'{"workerId":"%s","summary":"Done%s"}' % (w.id.encode(), NUMBER),
                    )
                    for w, session in both
                ],
                self._forget_completions,
            ),
            Operation(
                "activity",
                [
                    request(
                        "POST",
                        f"/api/sessions/{session}/activity",
                        w.token,
                        {"workerId": w.id, "activity": ACTIVITY},
                    )
                    for w, session in both
                ],
            ),
            Operation(
                "token delta",
                [
                    request("POST", f"/api/sessions/{session}/token-delta", w.token, DELTA)
                    for w, session in self.talking
                ],
                self._forget_frames,
            ),
            self._webhooks(),
            Operation("recall of 10,000", self._recalls(), self._remember),
            Operation("list of 1,000", self._lists(), lambda: self._store(1_000)),
            Operation("list of 100,000", self._lists(), lambda: self._store(100_000)),
        ]

    def _recalls(self) -> list[bytes]:
        """Questions of agents over MCP, each of three words that some hundred notes have."""
        return [
            request(
                "POST",
                f"/api/mcp/{session}",
                self.idle.worker_key,
                {
                    "jsonrpc": "2.0",
                    "id": 1,
                    "method": "tools/call",
                    "params": {
                        "name": "af_memory_recall",
                        "arguments": {"query": f"the term{n} of term{n + 400} and term{n + 800}"},
                    },
                },
            )
            for n, session in enumerate(self.held)
        ]

    async def _remember(self) -> None:
        """Ten thousand notes of one project, each of twelve words out of two thousand."""
        org, project = self.idle.org_id, self.idle.project_id
        await self.owner.execute("delete from memories where org_id = %s", (org,))
        values = {"org": org, "project": project, "count": NOTES}
        await self.owner.execute(REMEMBERED, values)
        await self.owner.execute("vacuum (analyze) memories")

    async def _forget_completions(self) -> None:
        """Nothing concluded: what comes again would be a repeat."""
        await self.owner.execute("truncate completions")

    async def _forget_frames(self) -> None:
        """Nothing said: what is sent again would not be stored again."""
        await self.owner.execute("truncate interview_frames")

    def _webhooks(self) -> Operation:
        """Deliveries of a workspace that is mapped to nobody, so that little follows from them."""
        series = [
            [_webhook(f"{connection}-{number}") for number in range(WEBHOOKS)]
            for connection in range(CONNECTIONS)
        ]
        firsts, more = [each[0] for each in series], [each[1:] for each in series]
        return Operation("webhook", firsts, self._forget_webhooks, more)

    async def _forget_webhooks(self) -> None:
        """Nothing delivered: what comes again would be a repeat."""
        await self.owner.execute("truncate webhook_events, webhook_deliveries")

    def _lists(self) -> list[bytes]:
        return [request("GET", "/api/public/sessions", self.shown.org_key)] * CONNECTIONS

    async def _fill_queue(self) -> None:
        """As many waiting sessions as before, and no history that grows from run to run."""
        org = (self.busy.org_id,)
        await self.owner.execute("delete from sessions where org_id = %s", org)
        await self.owner.execute("delete from audit_pending where org_id = %s", org)
        await self.busy.queue(self.owner, WAITING, "wait-")
        await self.owner.execute("vacuum (analyze) sessions")

    async def _store(self, count: int) -> None:
        """Finished sessions up to this number, each queued at an instant of its own."""
        cursor = await self.owner.execute(
            "select count(*) from sessions where org_id = %s", (self.shown.org_id,)
        )
        row = await cursor.fetchone()
        missing = count - (row[0] if row else 0)
        if missing <= 0:
            return
        await self.shown.queue(self.owner, missing, f"shown-{count}-")
        await self.owner.execute(
            "update sessions set status = 'completed', finished_at = now(), total_cost_usd = 0.5,"
            " queued_at = now() - random() * interval '30 days'"
            " where org_id = %s and status = 'pending'",
            (self.shown.org_id,),
        )
        await self.owner.execute("vacuum (analyze) sessions")


def _webhook(number: str) -> bytes:
    """A delivery of Linear's that no other equals."""
    event = {
        "type": "AgentSessionEvent",
        "action": "created",
        "organizationId": "lin-of-nobody",
        "webhookTimestamp": 1782896400000,
        "agentSession": {
            "id": f"ses-{number}",
            "issue": {"id": f"issue-{number}", "identifier": "ENG-7", "title": "Keep the currency"},
        },
        "promptContext": "<issue>Keep the currency of a refund</issue>",
    }
    body = orjson.dumps(event)
    signature = hmac.new(LINEAR_SECRET.encode(), body, "sha256").hexdigest()
    headers = {"Linear-Signature": signature, "Linear-Delivery": f"delivery-{number}"}
    return request("POST", "/api/webhooks/ingest/linear", body=body, headers=headers)


async def _talking(tenant: Tenant) -> list[tuple[Worker, str]]:
    """New workers, each with an interview that it has claimed."""
    people = Caller(tenant.port, tenant.org_key)
    talking = []
    for _ in range(CONNECTIONS):
        asked = {"projectId": tenant.project_id, "initialPrompt": "Ask me", "priority": 1}
        await people.post("/api/interview", asked)
        worker = await tenant.worker(capacity=1)
        caller = Caller(tenant.port, worker.token)
        polled = await caller.get(f"/api/workers/{worker.id}/poll")
        (session_id,) = polled.json()["claimedSessionIds"]
        caller.close()
        talking.append((worker, session_id))
    people.close()
    return talking
