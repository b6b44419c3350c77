"""A fleet of four works off a queue, while people steer it and things are killed around it."""

import asyncio
import itertools
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.rows import namedtuple_row

from bench.connections import Answer, Caller
from bench.servers import LINEAR_SECRET, SYSTEM_KEY, Server
from bench.tenants import Tenant
from demo.source import Source
from tests.acceptance.process import Process
from tests.acceptance.table import Broken
from tests.acceptance.wire import Journal, Wire
from tests.acceptance.worker import FAIL, WAIT_FOR_A_STOP, WAIT_FOR_A_WORD, Run, Worker
from tests.prove.fleet import recorded

WORK_TYPES: Final = (
    "research",
    "backlog-creation",
    "development",
    "inflight",
    "qa",
    "acceptance",
    "refinement",
    "coordination",
    "security",
)
SERVER: Final = {
    "RENSEI_HEARTBEAT_SECONDS": "0.4",
    "RENSEI_LEASE_SECONDS": "2",
    "RENSEI_POLL_SECONDS": "0.2",
    "RENSEI_WORKERS": "1",
    "RENSEI_FAILURES_PER_MINUTE": "0",
}
ENDED: Final = frozenset({"completed", "failed", "stopped"})
LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Plan:
    """How many sessions of which fate."""

    quick: int
    stopped: int
    crashed: int
    restarted: int
    frozen: int = 1
    failed: int = 1
    transferred: int = 1
    told: int = 2
    by_webhook: int = 1
    by_kill: bool = False
    """Whether the worker that crashes is a process that is killed, or a task that is dropped."""

    @property
    def sessions(self) -> int:
        return (
            self.quick + self.stopped + self.crashed + self.restarted + self.frozen + self.failed
            + self.transferred + self.told + self.by_webhook
        )  # fmt: skip


@dataclass
class Outcome:
    """What came of it."""

    journal: Journal
    workers: list[Worker]
    statuses: Counter[str] = field(default_factory=Counter)
    rows: list[Any] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    """How often each session's end was audited."""
    words: dict[str, str] = field(default_factory=dict)
    """What people said to which session."""
    held_at_crash: list[str] = field(default_factory=list)
    held_at_restart: list[str] = field(default_factory=list)
    held_while_frozen: list[str] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)
    """The work type under which each session was queued."""

    def runs(self, session_id: str) -> list[Run]:
        return [run for each in self.workers for run in each.ended if run.id == session_id]

    def count(self, what: str) -> int:
        return sum(worker.seen[what] for worker in self.workers)


class Scenario:
    """One run on a server of its own or on a shared one, in an organization of its own."""

    def __init__(
        self, server: Server, tenant: Tenant, *, runtime: tuple[bool, ...], pace: float
    ) -> None:
        """`runtime`: which workers, in the order they are hired, use runtime tokens; over again."""
        self.server, self.tenant = server, tenant
        self.journal = Journal()
        self.workers: list[Worker] = []
        self.out = Outcome(self.journal, self.workers)
        self._public: dict[str, str] = {}
        self._person = Wire(server.port, "a person", self.journal, pace=pace)
        self._person.token = tenant.org_key
        self._runtime, self._pace = itertools.cycle(runtime), pace
        self._numbers = iter(range(1, 10_000))
        self._told: set[tuple[str, str]] = set()

    # ---- what people and programs do

    async def queue(
        self, prompt: str = "mend it", project: str | None = None, work_type: str | None = None
    ) -> str:
        """Queue a session for an issue of its own."""
        number = next(self._numbers)
        kind = work_type or WORK_TYPES[number % len(WORK_TYPES)]
        body = {
            "projectId": self.tenant.project_id,
            "issueId": f"{self.tenant.org_id}-issue-{number}",
            "issueIdentifier": f"ACC-{number}",
            "title": f"Issue {number}",
            "workType": kind,
            "prompt": prompt,
            **({"projectName": project} if project else {}),
        }
        _, said = await self._steer("POST", "/api/sessions", body)
        session_id = said["session"]["sessionId"]
        self._public[session_id] = said["session"]["id"]
        self.out.wanted[session_id] = kind
        return session_id

    async def stop(self, session_id: str) -> None:
        self.journal.stopping.add(session_id)
        await self._steer("POST", f"/api/public/sessions/{self._public[session_id]}/stop")

    async def tell(self, session_id: str) -> None:
        """A prompt for a session at work; each is told something of its own."""
        word = self.out.words.setdefault(session_id, f"word-{secrets.token_hex(3)}")
        path = f"/api/public/sessions/{self._public[session_id]}/prompt"
        await self._steer("POST", path, {"prompt": word})

    async def _steer(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return await self._person.call("steer", method, path, body)

    # ---- workers

    async def hire(self, name: str, **more: Any) -> Worker:
        worker = Worker(
            self.server.port,
            self.tenant.worker_key,
            name,
            self.journal,
            runtime=next(self._runtime),
            pace=self._pace,
            **more,
        )
        await worker.start()
        self.workers.append(worker)
        return worker

    def _doomed(self, capacity: int) -> Process:
        return Process(
            port=self.server.port,
            key=self.tenant.worker_key,
            name="doomed",
            projects=["doomed"],
            capacity=capacity,
            runtime=next(self._runtime),
            pace=self._pace,
        )

    def _agents_of(self, sessions: Iterable[str]) -> list[tuple[Worker, Run]]:
        wanted = set(sessions)
        return [
            (worker, run)
            for worker in self.workers
            for run in worker.runs.values()
            if run.id in wanted and run.agent is not None and not run.agent.done()
        ]

    async def at_work(self, sessions: list[str], seconds: float = 20) -> list[tuple[Worker, Run]]:
        """Wait until agents work on all of these sessions."""
        await self.until(lambda: len(self._agents_of(sessions)) >= len(sessions), seconds)
        return self._agents_of(sessions)

    async def until(self, true: Callable[[], bool], seconds: float = 20) -> None:
        """Wait; whatever a worker has stumbled over meanwhile is raised."""
        deadline = time.monotonic() + seconds
        while not true():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(self._standing())
            await asyncio.sleep(0.02)

    def check(self) -> None:
        """Raise what any worker has stumbled over."""
        wrong = [*self.journal.broken, *(e for each in self.workers for e in each.failures)]
        if wrong:
            raise Broken("; ".join(str(each) or repr(each) for each in wrong[:5])) from wrong[0]

    def _standing(self) -> str:
        return "; ".join(f"{each.name}: {list(each.runs)}" for each in self.workers)

    # ---- the run

    async def play(self, plan: Plan, restart: Callable[["Scenario"], Awaitable[None]]) -> Outcome:
        """From an empty queue to the end of the last session."""
        stopped = [await self.queue(WAIT_FOR_A_STOP) for _ in range(plan.stopped)]
        told = [await self.queue(WAIT_FOR_A_WORD) for _ in range(plan.told)]
        doomed = [await self.queue(WAIT_FOR_A_WORD, "doomed") for _ in range(plan.crashed)]
        frozen = [await self.queue(WAIT_FOR_A_WORD, "frozen") for _ in range(plan.frozen)]
        moved = [await self.queue(WAIT_FOR_A_WORD, "moved") for _ in range(plan.transferred)]
        kept = [await self.queue(WAIT_FOR_A_WORD, "kept") for _ in range(plan.restarted)]
        by_webhook = await self._by_webhook(plan.by_webhook)
        killed = self._doomed(len(doomed)) if plan.by_kill else None
        # Those with a fate find their worker before the four without one come.
        specialists = {
            name: await self.hire(name, projects=(name,), capacity=max(1, len(sessions)), **more)
            for name, sessions, more in (
                ("frozen", frozen, {}),
                ("moved", moved, {"claims": True}),
                ("kept", kept, {"forgets_work_type": True}),
            )
        }
        await self.at_work([*frozen, *moved, *kept])
        # The doomed one is killed, the frozen one stands still: both lose what they hold.
        specialists["frozen"].freeze()
        self.out.held_while_frozen = frozen
        if killed is not None:
            await killed.until_at_work(doomed)
            killed.kill()
        else:
            abandoned = await self.hire("doomed", projects=("doomed",), capacity=len(doomed))
            await self.at_work(doomed)
            abandoned.crash()
            self.workers.remove(abandoned)
        self.out.held_at_crash = doomed
        # Three heartbeats get no answer that it hears: it registers again, and keeps its agent.
        specialists["moved"].deaf = 3
        # Somebody removes a worker that lives and is idle: it hears `Worker not found`, and comes
        # again.
        billing = await self.hire("three", projects=("billing",))
        await self._remove(billing)
        await self.until(lambda: billing.seen["registered again"] > 0)
        for number in range(plan.quick):
            await self.queue(project=("billing", "search", None)[number % 3])
        for _ in range(plan.failed):
            await self.queue(FAIL)
        await self.hire("one", loses_every=7, capacity=4)
        await self.hire("two", prefix="/", capacity=4)
        await self.hire("four", projects=("search",))
        await self.until(lambda: specialists["moved"].seen["transferred"] == len(moved))
        for session_id in stopped:
            await self.at_work([session_id])
            await self.stop(session_id)
        self.out.held_at_restart = list(specialists["kept"].runs)
        with self.journal.during_an_outage():
            await restart(self)
            await self._well_again()
        await self.until(lambda: len(self._agents_of(frozen)) == 2 * len(frozen))
        specialists["frozen"].thaw()
        everything = {*told, *doomed, *frozen, *moved, *kept, *by_webhook, *self._public}
        await self._finish(everything, {*told, *doomed, *frozen, *moved, *kept})
        for worker in self.workers:
            await worker.leave()
        await self._look_back()
        self.check()
        return self.out

    async def _finish(self, everything: set[str], waiting: set[str]) -> None:
        """Say the word to each agent that waits for one, until all sessions have ended."""
        deadline = time.monotonic() + 40 + len(everything)
        while True:
            for worker, run in self._agents_of(waiting):
                if (run.id, worker.name) not in self._told and not run.taken:
                    owner = [w.name for w, r in self._agents_of([run.id])]
                    if owner[-1] == worker.name:
                        self._told.add((run.id, worker.name))
                        await self.tell(run.id)
            shown = await self._steer("GET", "/api/public/sessions?limit=1000")
            statuses = [each["status"] for each in shown[1]["sessions"]]
            self.check()
            if len(statuses) >= len(everything) and set(statuses) <= ENDED:
                await self.until(lambda: not any(worker.runs for worker in self.workers))
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{Counter(statuses)} {self._standing()}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _by_webhook(self, count: int) -> list[str]:
        workspace = f"lin-{self.tenant.org_id}"
        system = Caller(self.server.port, SYSTEM_KEY)
        path = f"/api/org/{self.tenant.org_id}/workspaces"
        body = {"provider": "linear", "workspaceId": workspace}
        said: Answer = await system.post(path, {**body, "projectId": self.tenant.project_id})
        assert said.status == 201, said.body
        system.close()
        source = Source(self.server.port, LINEAR_SECRET, workspace)
        sent = [await source.send() for _ in range(count)]
        source.close()
        return sent

    async def _remove(self, worker: Worker) -> None:
        key = Wire(self.server.port, "an operator", self.journal, pace=self._pace)
        key.token = self.tenant.worker_key
        await key.call("steer", "DELETE", f"/api/workers/{worker.id}")
        key.close()

    async def _well_again(self) -> None:
        """Wait until the server answers, and every worker's heartbeat has been heard again."""
        caller = Caller(self.server.port, self.tenant.org_key)
        async with asyncio.timeout(30):
            while True:
                try:
                    if (await caller.get("/api/public/stats")).status == 200:
                        break
                except OSError:
                    pass
                await asyncio.sleep(0.05)
        caller.close()

    async def _look_back(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self.server.owner_url, autocommit=True, row_factory=namedtuple_row
        )
        async with connection:
            found = await connection.execute(
                "select id, status, work_type, provider_session_id, slot_worker_id, holds_issue,"
                " attempts from sessions where org_id = %s",
                [self.tenant.org_id],
            )
            self.out.rows = await found.fetchall()
            self.out.ends = Counter[str]()
            for end in ("completed", "failed", "stopped"):
                self.out.ends += await recorded(connection, self.tenant.org_id, f"session.{end}")
        self.out.statuses = Counter(row.status for row in self.out.rows)


async def scenario(
    server: Server, plan: Plan, restart: Any, *, runtime: tuple[bool, ...]
) -> Outcome:
    """Play a plan in an organization of its own."""
    random.seed(5)
    tenant = await Tenant.make(server.port, f"acceptance-{secrets.token_hex(4)}")
    played = Scenario(server, tenant, runtime=runtime, pace=0.1)
    try:
        async with asyncio.timeout(150):
            return await played.play(plan, restart)
    finally:
        for worker in played.workers:
            worker.crash()
