"""The open-source worker, line by line of the table (`table.py`); its agents follow orders.

What its agents do stands in the prompt: some words, then an end; or waiting for a directive, or for
a stop. Times that are fixed in the real worker are multiplied by `pace`.
"""

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.acceptance.table import OWNED_BY_ANOTHER, Broken
from tests.acceptance.wire import Journal, NoAnswerError, Wire

WAIT_FOR_A_WORD: Final = "wait for a word"
WAIT_FOR_A_STOP: Final = "wait for a stop"
FAIL: Final = "fail"
WORK_TYPE_OF: Final = {
    "Icebox": "research",
    "Backlog": "development",
    "Started": "inflight",
    "Finished": "qa",
    "Delivered": "acceptance",
    "Rejected": "refinement",
}
ENDINGS: Final = {"completed": "WORK_RESULT:passed", "failed": ""}


class _AgentFailed(Exception):
    pass


@dataclass
class Run:
    """A session in a worker's hands."""

    work: dict[str, Any]
    task: "asyncio.Task[None] | None" = None
    agent: "asyncio.Task[None] | None" = None
    issue_id: str = ""
    work_type: str = ""
    words: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    heard: list[str] = field(default_factory=list)
    stopped: bool = False
    taken: bool = False
    silenced: bool = False
    unsettled: bool = False
    """Whether server and worker may differ about who has it in hand: the worker has a new id and
    nothing was transferred yet, or its last report is under way."""
    ended: str = ""

    @property
    def id(self) -> str:
        return str(self.work["sessionId"])


class Worker:
    """One process of the open-source worker, or a task that plays it."""

    def __init__(
        self,
        port: int,
        key: str,
        name: str,
        journal: Journal,
        *,
        capacity: int = 2,
        projects: tuple[str, ...] = (),
        runtime: bool = False,
        pace: float = 0.1,
        claims: bool = False,
        forgets_work_type: bool = False,
        prefix: str = "",
        loses_every: int = 0,
    ) -> None:
        """`runtime`: it uses the runtime token, else the key for everything. `claims`: it believes
        no `preClaimed`. `forgets_work_type`: its queue knows none. `prefix`: its URL ends so."""
        self.name, self.capacity, self.projects = name, capacity, projects
        self.journal = journal
        self.ids: list[str] = []
        self.runs: dict[str, Run] = {}
        self.ended: list[Run] = []
        self.failures: list[BaseException] = []
        self.seen: Counter[str] = Counter()
        self.deaf = 0
        self._key, self._runtime, self._pace = key, runtime, pace
        self._claims, self._forgets = claims, forgets_work_type
        self._wire = Wire(port, name, journal, prefix=prefix, pace=pace)
        self._wire.loses_every = loses_every
        self._missed = 0
        self._heartbeat = self._poll_pause = 1.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._standing = asyncio.Event()
        self._standing.set()

    @property
    def id(self) -> str:
        return self.ids[-1]

    # ---- the life of the worker

    async def start(self) -> None:
        """Register and begin; whatever goes wrong later is in `failures`."""
        await self._register()
        if not self.projects:
            await self._call("2", "GET", "/api/config")
        self._spawn(self._beat())
        self._spawn(self._poll())

    async def leave(self) -> None:
        """SIGTERM: say good-bye; agents in flight get no status."""
        self._cancel()
        _, said = await self._call("22", "DELETE", f"/api/workers/{self.id}")
        self.seen["left with"] += len(said["unclaimedSessions"])
        self._wire.close()

    def crash(self) -> list[str]:
        """`kill -9`: no task goes on, no connection stays; what it held."""
        self._cancel()
        self._wire.close()
        return list(self.runs)

    def freeze(self) -> None:
        """SIGSTOP: everything stands still."""
        self._standing.clear()

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had been."""
        self._standing.set()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # What has no answer while the server is started anew ends a session here, as it does there.
        if error is not None and not isinstance(error, _AgentFailed | NoAnswerError):
            self.failures.append(error)

    async def _call(
        self, line: str, method: str, path: str, body: Any = None, about: Run | None = None
    ) -> tuple[int, dict[str, Any]]:
        # Whose id is in the body is also whose token is sent, however often it has to be sent.
        token = self._key if line == "1" else self._wire.token
        await self._standing.wait()
        answer = await self._wire.call(
            line, method, path, body, about=about.id if about else None, token=token
        )
        await self._standing.wait()
        self.seen[line] += 1
        return answer

    # ---- lines 1 to 4: the worker

    async def _register(self) -> None:
        body: dict[str, Any] = {
            "hostname": f"host-of-{self.name}",
            "capacity": self.capacity,
            "version": "1.0.0",
        }
        if self.projects:
            body["projects"] = list(self.projects)
        # Line 1: any 2xx; everything else ends the process at once.
        status, said = await self._call("1", "POST", "/api/workers/register", body)
        if status >= 300:
            raise NoAnswerError("the worker exits")
        self._heartbeat, self._poll_pause = (
            said[name] / 1000 for name in ("heartbeatInterval", "pollInterval")
        )
        self._wire.token = said["runtimeToken"] if self._runtime else self._key
        self.ids.append(said["workerId"])

    async def _register_again(self) -> None:
        """A new id; every agent in flight is handed over to it, or ends."""
        old = self.id
        await self._register()
        for run in self.runs.values():
            run.unsettled = True
        self._missed = 0
        self.seen["registered again"] += 1
        for run in list(self.runs.values()):
            _, said = await self._call(
                "again",
                "POST",
                f"/api/sessions/{run.id}/transfer-ownership",
                {"newWorkerId": self.id, "oldWorkerId": old},
                run,
            )
            run.unsettled = False
            if said.get("transferred"):
                self.seen["transferred"] += 1
            else:
                self._take_away(run)

    async def _beat(self) -> None:
        # Line 3: at the start and each interval.
        while True:
            body = {
                "activeCount": len(self.runs),
                "load": {"cpu": os.getloadavg()[0], "memory": 0.5},
            }
            try:
                status, said = await self._call(
                    "3", "POST", f"/api/workers/{self.id}/heartbeat", body
                )
            except NoAnswerError:
                status, said = 0, {}
            if self.deaf:
                self.deaf, status, said = self.deaf - 1, 0, {}
            self._missed = 0 if 200 <= status < 300 else self._missed + 1
            unknown = status == 404 and "Worker not found" in said.get("error", "")
            if unknown or self._missed >= 3:
                with suppress(NoAnswerError):
                    await self._register_again()
            await asyncio.sleep(self._heartbeat)

    async def _poll(self) -> None:
        # Line 4: each interval and up to 40 % more, one at a time.
        while True:
            with suppress(NoAnswerError):
                await self._poll_once()
            await asyncio.sleep(self._poll_pause * random.uniform(1, 1.4))

    async def _poll_once(self) -> None:
        worker_id = self.id
        status, said = await self._call("4", "GET", f"/api/workers/{worker_id}/poll")
        if status == 404 and worker_id == self.id:
            await self._register_again()
        if status != 200:
            return
        # What is beyond its capacity, outside its projects or in its hands already, it drops: a
        # server that gives such a thing loses it.
        # A poll under an id that it has given up meanwhile brings nothing that it could report on.
        work_for_us = said["work"] if worker_id == self.id else []
        room = self.capacity - len(self.runs)
        if len(work_for_us) > room:
            if len(work_for_us) > room + self._uncertain():
                held = [(each.id, each.stopped, each.ended) for each in self.runs.values()]
                self._broken(f"line 4: {len(work_for_us)} given with room for {room}: {held}")
            work_for_us = work_for_us[: max(0, room)]
            self.seen["dropped"] += 1
        for work in work_for_us:
            if self.projects and work.get("projectName") not in self.projects:
                self._broken(f"line 4: work of project {work.get('projectName')} given")
            if work["sessionId"] in self.runs:
                self._broken(f"line 4: {work['sessionId']} is given twice")
            run = Run(work)
            if self._claims or not said["preClaimed"]:
                path = f"/api/sessions/{run.id}/claim"
                _, claimed = await self._call("4b", "POST", path, {"workerId": worker_id}, run)
                if not claimed.get("claimed"):
                    continue
            self.runs[run.id] = run
            run.task = self._spawn(self._work(run))
        for session_id, messages in said["inboxMessages"].items():
            for message in messages:
                await self._hear(session_id, message)

    def _uncertain(self) -> int:
        """How many of its sessions the server may count as gone: of a stopped one any lower count
        of a heartbeat says so, the one before the last poll included."""
        stopping = self.journal.stopping
        return sum(run.unsettled or run.id in stopping for run in self.runs.values())

    async def _hear(self, session_id: str, message: dict[str, Any]) -> None:
        """Deliver by the key of the map; then acknowledge."""
        run = self.runs.get(session_id)
        if message["sessionId"] != session_id:
            self._broken(f"inbox: a message of {message['sessionId']} under {session_id}")
        if run is not None and message["type"] == "stop":
            self._stop(run)
        elif run is not None and message["type"] == "directive":
            run.heard.append(message["payload"])
            # One runner ends its agent and starts it anew inside the poll loop.
            await asyncio.sleep(1.5 * self._pace)
            run.words.put_nowait(message["payload"])
        ack = {"messageId": message["id"], "lane": message["lane"]}
        await self._call(
            "inbox",
            "POST",
            f"/api/sessions/{session_id}/inbox/ack",
            ack,
            run or Run({"sessionId": session_id}),
        )

    def _broken(self, text: str) -> None:
        broken = Broken(f"{self.name}: {text}")
        self.journal.broken.append(broken)
        raise broken

    # ---- lines 5 to 21: one session

    async def _post(self, line: str, run: Run, path: str, **body: Any) -> dict[str, Any]:
        _, said = await self._call(
            line, "POST", f"/api/sessions/{run.id}/{path}", body or None, run
        )
        return said

    async def _status(self, line: str, run: Run, status: str, **more: Any) -> None:
        await self._post(line, run, "status", workerId=self.id, status=status, **more)

    async def _progress(self, line: str, run: Run, milestone: str) -> None:
        await self._post(
            line, run, "progress", workerId=self.id, milestone=milestone, message=milestone
        )

    async def _tracked(self, line: str, run: Run, method: str, *args: Any) -> Any:
        _, said = await self._call(
            line, "POST", "/api/issue-tracker-proxy", {"method": method, "args": list(args)}, run
        )
        return said.get("data")

    async def _work(self, run: Run) -> None:
        try:
            await self._whole_session(run)
        except NoAnswerError:
            # The real worker gives the session up; its lease gives it to the next.
            run.ended = run.ended or "lost"
        finally:
            if self.runs.get(run.id) is run:
                del self.runs[run.id]
                self.ended.append(run)

    async def _whole_session(self, run: Run) -> None:
        resumed = bool(run.work.get("providerSessionId"))
        await self._status("5", run, "running")
        await self._progress("6", run, "resumed" if resumed else "claimed")
        issue = await self._tracked("7", run, "getIssue", run.work["issueIdentifier"])
        if issue is None:  # only while the server is started anew
            raise NoAnswerError("getIssue")
        run.issue_id = issue["id"]
        if self._forgets or not run.work.get("workType"):
            await self._tracked("7b", run, "isChildIssue", run.issue_id)
        state = (issue.get("state") or {}).get("name")
        run.work_type = WORK_TYPE_OF.get(state) or run.work.get("workType") or "development"
        await self._tracked("8", run, "updateIssueStatus", run.issue_id, "Started")
        worktree = f"/worktrees/{run.work['issueIdentifier']}"
        provider = f"agent-{run.id}-{next(self._numbers)}"
        # Lines 9 and 10 are not awaited and race line 11.
        racing = [
            self._spawn(
                self._quietly(
                    self._status(
                        "9", run, "running", providerSessionId=run.id, worktreePath=worktree
                    )
                )
            ),
            self._spawn(self._quietly(self._progress("10", run, "started"))),
        ]
        await self._status("11", run, "running", providerSessionId=provider)
        run.agent = self._spawn(self._agent(run))
        watching = self._spawn(self._watch(run))
        locking = self._spawn(self._refresh(run))
        outcome = "completed"
        try:
            await run.agent
        except asyncio.CancelledError:
            if not run.stopped and not run.taken:
                raise
            outcome = "stopped"
        except _AgentFailed:
            outcome = "failed"
        finally:
            for task in (watching, locking):
                task.cancel()
        await asyncio.gather(*racing)
        if run.taken:
            run.ended = "taken"
            return
        await self._end(run, outcome, provider, worktree)

    async def _quietly(self, report: Coroutine[Any, Any, None]) -> None:
        with suppress(NoAnswerError):
            await report

    async def _agent(self, run: Run) -> None:
        orders = f"{run.work.get('prompt', '')} {run.work.get('promptContext', '')}"
        words: list[dict[str, Any]] = [
            {"type": "thought", "content": "Reading"},
            {"type": "action", "content": "grep", "toolName": "Grep", "toolCategory": "search"},
            {"type": "context", "content": "-", "contextKey": "branch", "contextValue": "main"},
        ]
        for each in words:
            await self._say(run, each)
        if WAIT_FOR_A_STOP in orders:
            await asyncio.Event().wait()
        if WAIT_FOR_A_WORD in orders:
            await run.words.get()
        if FAIL in orders:
            raise _AgentFailed
        await self._say(run, {"type": "response", "content": "See https://github.com/a/b/pull/7"})
        # Line 15: twice, once by each of two listeners.
        for _ in range(2):
            urls = [{"label": "PR", "url": "https://github.com/a/b/pull/7"}]
            with suppress(NoAnswerError):
                await self._post("15", run, "external-urls", externalUrls=urls)

    async def _say(self, run: Run, activity: dict[str, Any]) -> None:
        # Line 12: at least half a second apart; after a 403 of the known text silent for good.
        if not run.silenced:
            with suppress(NoAnswerError):
                said = await self._post("12", run, "activity", workerId=self.id, activity=activity)
                run.silenced = OWNED_BY_ANOTHER in str(said.get("error", ""))
        await asyncio.sleep(0.5 * self._pace)

    async def _watch(self, run: Run) -> None:
        # Line 13: two timers of five seconds.
        while True:
            await asyncio.sleep(2.5 * self._pace)
            with suppress(NoAnswerError):
                _, said = await self._call("13", "GET", f"/api/sessions/{run.id}/status", None, run)
                if said.get("status") == "stopped":
                    self._stop(run)
                elif said.get("workerId") and said["workerId"] not in self.ids:
                    self._take_away(run)

    async def _refresh(self, run: Run) -> None:
        # Line 14: each minute, if the work has an issue.
        while run.work.get("issueId"):
            await asyncio.sleep(3 * self._pace)
            with suppress(NoAnswerError):
                await self._post(
                    "14", run, "lock-refresh", workerId=self.id, issueId=run.work["issueId"]
                )

    def _stop(self, run: Run) -> None:
        if not run.stopped and run.agent is not None:
            run.stopped = True
            run.agent.cancel()

    def _take_away(self, run: Run) -> None:
        if run.agent is not None:
            run.taken = True
            run.agent.cancel()

    async def _end(self, run: Run, outcome: str, provider: str, worktree: str) -> None:
        if outcome == "stopped":
            await self._say(run, {"type": "response", "content": "Stopped."})
        else:
            # Line 16: errors are only logged.
            with suppress(NoAnswerError):
                await self._tracked("16", run, "createComment", run.issue_id, "Done.")
                await self._tracked("16", run, "updateIssueStatus", run.issue_id, "Finished")
                await self._tracked("16", run, "unassignIssue", run.issue_id)
        if outcome == "completed":
            await self._post("17", run, "completion", summary=f"Done.\n\n{ENDINGS[outcome]}")
        await self._post("18", run, "files/release-all")
        run.unsettled |= outcome == "stopped"  # then `finalizing` frees the slot
        await self._status("19", run, "finalizing")
        await self._progress("20", run, outcome)
        run.unsettled = True
        # Line 21; a stopped session gets no final status.
        if outcome == "completed":
            await self._status(
                "21",
                run,
                "completed",
                providerSessionId=provider,
                worktreePath=worktree,
                totalCostUsd=0.25,
                inputTokens=1200,
                outputTokens=80,
            )
        elif outcome == "failed":
            await self._status("21", run, "failed", error={"message": "the agent gave up"})
        run.ended = outcome
