"""`python -m bench.frames`: how long what an agent says takes to reach those who read along.

Workers post frames that carry the time they were sent at; readers of their interviews' streams
note how old each is when it arrives. Client and server share the machine.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench import processes
from bench.connections import Caller, request
from bench.servers import Server
from bench.tenants import Tenant

FRAMES: Final = 5
"""In one post."""

WARM_UP_SECONDS: Final = 3.0
TEXT: Final = b'"text":"'


class Reader:
    """One stream; `waits` is when its frames were sent, and how old they were on arrival."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.waits: list[tuple[float, float]] = []
        self.places: list[bytes] = []

    async def read(self, port: int, interview_id: str, key: str) -> None:
        """Read until cancelled."""
        incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
        outgoing.write(request("GET", f"/api/interview/{interview_id}/stream", key))
        try:
            while line := await incoming.readline():
                if line.startswith(b"event: status"):
                    self.is_open.set()
                elif line.startswith(b"id: "):
                    self.places.append(line[4:].strip())
                elif TEXT in line:
                    sent_at = float(line.partition(TEXT)[2].partition(b'"')[0])
                    self.waits.append((sent_at, time.perf_counter() - sent_at))
        finally:
            outgoing.close()


async def talk(caller: Caller, session_id: str, per_second: float, until: float) -> int:
    """Post frames at a steady rate, as an agent does; returns how many."""
    count = 0
    await asyncio.sleep(random.random() / per_second)  # noqa: S311
    begun = time.perf_counter()
    while time.perf_counter() < until:
        frames = [{"index": count + n, "text": f"{time.perf_counter():.6f}"} for n in range(FRAMES)]
        body = {"turnId": "turn-0", "frames": frames}
        answer = await caller.post(f"/api/sessions/{session_id}/token-delta", body)
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())
        count += FRAMES
        await asyncio.sleep(begun + count / FRAMES / per_second - time.perf_counter())
    return count


async def measure(
    server: Server, interviews: int, readers: int, rate: float, seconds: float
) -> str:
    """Let so many interviews be read by so many readers in all."""
    tenant = await Tenant.make(server.port, "frames")
    people = Caller(server.port, tenant.org_key)
    held: list[tuple[str, str, Caller]] = []
    for _ in range(interviews):
        asked = {"projectId": tenant.project_id, "initialPrompt": "Ask me"}
        made: Any = (await people.post("/api/interview", asked)).json()["interview"]
        worker = await tenant.worker()
        caller = Caller(server.port, worker.token)
        await caller.get(f"/api/workers/{worker.id}/poll")
        held.append((made["id"], made["sessionId"], caller))
    following = [Reader() for _ in range(readers)]
    reading = [
        asyncio.create_task(each.read(server.port, held[n % interviews][0], tenant.org_key))
        for n, each in enumerate(following)
    ]
    for each in following:
        await each.is_open.wait()
    begins_at = time.perf_counter() + WARM_UP_SECONDS
    web = server.web().pid
    spent = processes.cpu_seconds(web)
    until = begins_at + seconds
    counts = await asyncio.gather(
        *(talk(caller, session_id, rate, until) for _, session_id, caller in held)
    )
    await asyncio.sleep(2)
    spent = processes.cpu_seconds(web) - spent
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    for n, each in enumerate(following):
        wanted = [f"1-{index}".encode() for index in range(counts[n % interviews])]
        if each.places != wanted:
            raise RuntimeError(f"a reader saw {len(each.places)} frames of {len(wanted)}")
    waits = sorted(
        wait for each in following for sent_at, wait in each.waits if sent_at >= begins_at
    )
    return (
        f"{interviews} interviews, {readers} readers, {sum(counts)} frames in posts of {FRAMES}, "
        f"{len(waits)} arrivals: p50 {waits[len(waits) // 2] * 1000:.1f} ms, "
        f"p99 {waits[len(waits) * 99 // 100] * 1000:.1f} ms; "
        f"web {spent / (WARM_UP_SECONDS + seconds) * 100:.0f} % of one core"
    )


def main() -> int:
    """Run one measurement and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.frames", description=__doc__)
    parser.add_argument("--interviews", type=int, default=1)
    parser.add_argument("--readers", type=int, default=100, help="in all")
    parser.add_argument("--rate", type=float, default=10.0, help="posts a second and interview")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="rensei-bench-") as folder,
        Server(Path(folder)) as server,
    ):
        figures = asyncio.run(
            measure(server, given.interviews, given.readers, given.rate, given.seconds)
        )
    sys.stdout.write(figures + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
