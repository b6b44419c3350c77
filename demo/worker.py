"""One simulated worker: `python -m demo.worker`, a process of its own so that it can be killed.

It behaves as real daemons do: it registers, sends heartbeats, polls, and works on each session
at the same time as on the others; it believes what the server says about ownership and stops.
Standard input gives its orders as one JSON object, see `Orders`.
"""

import asyncio
import json
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.connections import Answer, Caller
from demo.ledger import ACCEPTED, COMPLETED, DELIVERED, JOINED, REFUSED, STOPPED, Ledger

RETRY_SECONDS: Final = 0.2
WAIT_SECONDS: Final = 2

THOUGHTS: Final = (
    ("thought", "Reading the issue and the code it names"),
    ("action", "Changing the smallest part that can be right"),
    ("action", "Running the tests"),
    ("response", "All green; writing down what was done"),
)


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told at its start."""

    port: int
    key: str
    """A registration key."""
    hostname: str
    capacity: int
    ledger: str
    step_seconds: float
    """How long an agent takes from one report to the next, on average."""


class Worker:
    """A daemon with its agents."""

    def __init__(self, orders: Orders) -> None:
        self._orders: Final = orders
        self._ledger: Final = Ledger(Path(orders.ledger))
        self._holding: dict[str, asyncio.Task[None]] = {}
        self._ending: Final = asyncio.Event()
        self._id = ""
        self._heartbeat_seconds = 10.0

    async def run(self) -> None:
        """Work until SIGTERM, then say good-bye."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._ending.set)
        await self._register()
        async with asyncio.TaskGroup() as group:
            beating = group.create_task(self._beat())
            polling = group.create_task(self._poll(group))
            await self._ending.wait()
            for task in (beating, polling, *self._holding.values()):
                task.cancel()
        caller = self._caller()
        with suppress(OSError, TimeoutError):
            await caller.call("DELETE", f"/api/workers/{self._id}")

    def _caller(self) -> Caller:
        return Caller(self._orders.port, self._orders.key)

    async def _register(self) -> None:
        """Join the fleet, however long the server is away."""
        caller = self._caller()
        said = await caller.insist(
            "POST",
            "/api/workers/register",
            {"hostname": self._orders.hostname, "capacity": self._orders.capacity},
        )
        if said.status != 201:
            sys.exit(f"The server refused this worker: {said.status} {said.body.decode()}")
        answer = said.json()
        self._id = answer["workerId"]
        self._heartbeat_seconds = answer["heartbeatInterval"] / 1000
        self._ledger.note(JOINED, self._id)
        caller.close()

    async def _beat(self) -> None:
        caller = self._caller()
        while True:
            with suppress(OSError, TimeoutError):
                body = {"activeCount": len(self._holding)}
                await caller.post(f"/api/workers/{self._id}/heartbeat", body)
            await asyncio.sleep(self._heartbeat_seconds)

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        caller = self._caller()
        while True:
            try:
                answer = await caller.get(
                    f"/api/workers/{self._id}/poll?waitSeconds={WAIT_SECONDS}"
                )
            except (OSError, TimeoutError):
                answer = Answer()
            if answer.status != 200:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            said = answer.json()
            for work in said["work"]:
                session_id, epoch = work["sessionId"], work["leaseEpoch"]
                self._ledger.note(DELIVERED, self._id, session_id, epoch)
                if session_id not in self._holding:
                    self._holding[session_id] = group.create_task(self._work(session_id, epoch))
            await self._hear(said["inboxMessages"])
            if len(self._holding) >= self._orders.capacity:
                await asyncio.sleep(self._orders.step_seconds / 4)

    async def _hear(self, inbox: dict[str, list[dict[str, Any]]]) -> None:
        """Acknowledge every message; a stop ends the agent it is for."""
        for session_id, messages in inbox.items():
            caller = self._caller()
            for message in messages:
                body = {"messageId": message["id"], "lane": message["lane"]}
                with suppress(OSError, TimeoutError):
                    await caller.post(f"/api/sessions/{session_id}/inbox/ack", body)
                agent = self._holding.get(session_id)
                if message["type"] == "stop" and agent is not None:
                    agent.cancel()
                    body = {"workerId": self._id, "status": "finalizing"}
                    await caller.insist("POST", f"/api/sessions/{session_id}/status", body)
                    self._ledger.note(STOPPED, self._id, session_id)
            caller.close()

    async def _work(self, session_id: str, epoch: int) -> None:
        """A session from start to end, or until it is somebody else's."""
        caller = self._caller()
        steps: list[tuple[str, dict[str, Any]]] = [("status", {"status": "running"})]
        for number, (kind, content) in enumerate(THOUGHTS):
            moment = f"2026-07-01T09:{epoch % 60:02d}:{number:02d}Z"  # a repeat is the same one
            activity = {"type": kind, "content": content, "timestamp": moment}
            steps.append(("activity", {"activity": activity}))
        steps += [
            ("completion", {"summary": f"Done: {session_id}.\n\nWORK_RESULT:passed"}),
            ("status", {"status": "completed", "totalCostUsd": 0.04, "inputTokens": 900}),
        ]
        try:
            for path, body in steps:
                if not await self._report(caller, session_id, epoch, path, body):
                    return
                await asyncio.sleep(random.uniform(0.5, 1.5) * self._orders.step_seconds)  # noqa: S311
            self._ledger.note(COMPLETED, self._id, session_id, epoch)
        finally:
            caller.close()
            self._holding.pop(session_id, None)

    async def _report(
        self, caller: Caller, session_id: str, epoch: int, path: str, body: dict[str, Any]
    ) -> bool:
        """Post until there is an answer; False when the session is not ours any more."""
        whole = {"workerId": self._id, "leaseEpoch": epoch, **body}
        sent_at = time.time()
        answer = await caller.insist("POST", f"/api/sessions/{session_id}/{path}", whole)
        if answer.status == 200:
            self._ledger.note(ACCEPTED, self._id, session_id, epoch, path, sent_at)
            return True
        text = f"{path} {answer.status} {answer.body.decode()[:200]}"
        self._ledger.note(REFUSED, self._id, session_id, epoch, text, sent_at)
        return False


if __name__ == "__main__":
    asyncio.run(Worker(Orders(**json.loads(sys.stdin.readline()))).run())
