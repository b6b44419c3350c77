"""Machines of Hypothesis that act through the front door.

Hypothesis calls plain functions, and the application is asynchronous. A machine's rule hands each
of its calls to the loop that the application lives on; between two calls that loop stands still.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.factories import Made, Maker

T = TypeVar("T")

SHARE: Final = float(os.environ.get("PROVE_SHARE", "1"))
SIZES: Final = [
    pytest.param((12, 30), id="short"),
    pytest.param((max(5, int(250 * SHARE)), 60), id="long", marks=pytest.mark.prove),
]
"""How many runs of a machine, and of how many steps."""


@dataclass(frozen=True)
class FrontDoor:
    """The application, as a machine reaches it."""

    loop: asyncio.AbstractEventLoop
    make: Maker
    run_job: Callable[..., Awaitable[int]]

    def wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(call)


class Machine(RuleBasedStateMachine):
    """Steps through the front door, and what should come of them."""

    def __init__(self, door: FrontDoor) -> None:
        super().__init__()
        self.make, self.wait, self.door = door.make, door.wait, door
        self.begin()

    def begin(self) -> None:
        """What every run starts with."""

    def job(self, job: Callable[[], Awaitable[int]]) -> int:
        return self.wait(self.door.run_job(job))

    def post(self, worker: Made, path: str, **body: Any) -> Any:
        return self.wait(worker.client.post(path, json=body))

    def about(self, worker: Made, session_id: str, what: str, **body: Any) -> Any:
        """Post something of a session, as this worker."""
        body = {"workerId": worker.id, **body}
        return self.post(worker, f"/api/sessions/{session_id}/{what}", **body)

    def poll(self, worker: Made) -> dict[str, Any]:
        answer = self.wait(worker.client.get(f"/api/workers/{worker.id}/poll"))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def beat(self, worker: Made, count: int, **body: Any) -> None:
        path = f"/api/workers/{worker.id}/heartbeat"
        answer = self.post(worker, path, activeCount=count, **body)
        assert answer.status_code == 200, answer.text

    def steer(self, session_id: str, what: str, **body: Any) -> Any:
        """Prompt or stop a session, as somebody with a key."""
        path = f"/api/public/sessions/{self.stored(session_id).public_id}/{what}"
        return self.wait(self.make.org.post(path, json=body))

    def stored(self, session_id: str) -> Any:
        return self.wait(self.make.stored(session_id))

    def change(self, statement: str, **values: Any) -> None:
        """Change something as the owner: let time pass, above all."""
        values = {"org": self.make.org_id, **values}
        self.wait(self.make.owner.execute(statement, values))

    def rows(self, statement: str, **values: Any) -> list[Any]:
        async def fetch() -> list[Any]:
            cursor = await self.make.owner.execute(statement, {"org": self.make.org_id, **values})
            return list(await cursor.fetchall())

        return self.wait(fetch())


def run(machine: type[Machine], door: FrontDoor, size: tuple[int, int]) -> None:
    """Run a machine so many times, so many steps each; always the same steps.

    A failing way is told as it was walked; finding a shorter one takes minutes. `make prove` does.
    """
    phases = [Phase.generate] if size == SIZES[0].values[0] else [Phase.generate, Phase.shrink]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: machine(door),
        settings=settings(
            max_examples=size[0],
            stateful_step_count=size[1],
            derandomize=True,
            database=None,
            deadline=None,
            phases=phases,
            verbosity=Verbosity.normal,
            suppress_health_check=list(HealthCheck),
        ),
    )
