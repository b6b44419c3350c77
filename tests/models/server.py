"""The server beside the model: it takes the same steps, and is looked at in the same words."""

from typing import Any, Final

from jobs.requeue_orphans import requeue_orphans
from tests.models.leases import (
    GONE,
    NOBODY,
    Rules,
    Scope,
    Session,
    State,
    Step,
    Worker,
    plain,
)

TICK_SECONDS: Final = 61
BY_ACTIVITY: Final = {"type": "thought", "content": "still here"}

SESSIONS: Final = """
select s.*, w.short_at, w.short_before_at,
       case when s.status = 'stopped' then greatest(s.last_call_at, s.finished_at)
            else s.last_call_at end > now() - interval '50 seconds' as heard,
       s.offered_at < now() - interval '45 seconds' as offer_old,
       s.lost_at > now() - interval '50 seconds' as lost_lately,
       array(select n.worker_id from session_nacks n
              where n.org_id = s.org_id and n.session_id = s.id
                and n.nacked_at > now() - interval '60 seconds') as nacked_by
  from sessions s left join workers w on w.id = s.slot_worker_id
 where s.org_id = %s and s.id = any (%s)
"""
WORKERS: Final = """
select id, left_at is null as here, peak_count, peak_count_before,
       last_heartbeat_at > now() - interval '50 seconds' as beaten,
       covered_at > now() - interval '50 seconds' as covered,
       peak_since < now() - interval '50 seconds' as window_old
  from workers where id = any (%s)
"""
AGE: Final = (
    """
    update sessions set last_call_at = last_call_at - %(t)s::interval,
           lost_at = lost_at - %(t)s::interval, offered_at = offered_at - %(t)s::interval,
           finished_at = finished_at - %(t)s::interval
     where org_id = %(org)s and id = any (%(sessions)s)
    """,
    """
    update workers set last_heartbeat_at = last_heartbeat_at - %(t)s::interval,
           covered_at = covered_at - %(t)s::interval, peak_since = peak_since - %(t)s::interval,
           short_at = short_at - %(t)s::interval,
           short_before_at = short_before_at - %(t)s::interval
     where id = any (%(workers)s)
    """,
    """
    update session_nacks set nacked_at = nacked_at - %(t)s::interval where org_id = %(org)s
    """,
)


class Differs(AssertionError):
    """The server did something else than the model."""


class Server:
    """Workers and sessions of one walk, in a project of their own."""

    def __init__(self, make: Any, run_job: Any, scope: Scope) -> None:
        self.make, self.run_job, self.scope = make, run_job, scope
        self.workers: list[Any] = []
        self.sessions: list[str] = []

    async def begin(self) -> State:
        self.project = await self.make.project()
        self.key = await self.make.key(projects=[self.project])
        self.workers = [await self._worker() for _ in range(2)]
        self.sessions = [
            await self.make.session(project_id=self.project) for _ in range(self.scope.sessions)
        ]
        return self.scope.beginning()

    async def _worker(self) -> Any:
        return await self.make.worker(key=self.key, capacity=self.scope.capacity)

    async def follow(self, rules: Rules, state: State, step: Step) -> State:
        """Take one step; returns the model's state after it, or raises `Differs`."""
        answer = await getattr(self, f"_{step[0].replace(' ', '_')}")(state, *step[1:])
        seen = await self.seen()
        expected = rules.take(state, step)
        for said, after in expected:
            if said == answer and plain(after) == plain(_believing(seen, after)):
                return after
        raise Differs(f"{step}\nbefore {state}\nserver {answer} {seen}\nmodel  {expected}")

    async def seen(self) -> State:
        owner = self.make.owner
        rows = await owner.execute(SESSIONS, (self.make.org_id, self.sessions))
        sessions = {row.id: row for row in await rows.fetchall()}
        ids = [worker.id for worker in self.workers]
        rows = await owner.execute(WORKERS, (ids,))
        workers = {row.id: row for row in await rows.fetchall()}
        return State(
            tuple(self._session(sessions[each]) for each in self.sessions),
            tuple(_worker(workers[each]) for each in ids),
        )

    def _session(self, row: Any) -> Session:
        missed = 0
        if row.short_at and row.offered_at:
            missed = int(row.short_at > row.offered_at)
        if row.short_before_at and row.offered_at:
            missed += row.short_before_at > row.offered_at
        return Session(
            status=row.status,
            owner=self._index(row.worker_id),
            slot=self._index(row.slot_worker_id),
            epoch=row.lease_epoch,
            attempts=row.attempts,
            nacks=row.nacks,
            waits=row.waits_for == "person",
            heard=bool(row.heard),
            confirmed=row.confirmed,
            offer_old=bool(row.offer_old),
            missed=missed,
            lost_by=self._index(row.lost_by_worker_id),
            lost_as=row.lost_status or "" if row.lost_by_worker_id else "",
            lost_lately=bool(row.lost_by_worker_id and row.lost_lately),
            nacked_by=tuple(worker.id in row.nacked_by for worker in self.workers),
        )

    def _index(self, worker_id: str | None) -> int:
        if worker_id is None:
            return NOBODY
        ids = [worker.id for worker in self.workers]
        return ids.index(worker_id) if worker_id in ids else GONE

    # --- the steps ---

    async def _call_of(self, w: int, method: str, path: str, **body: Any) -> Any:
        return await self.workers[w].client.request(
            method, path, **({"json": body} if body else {})
        )

    async def _about(self, w: int, s: int, what: str, **body: Any) -> Any:
        path = f"/api/sessions/{self.sessions[s]}/{what}"
        return await self._call_of(w, "POST", path, **{"workerId": self.workers[w].id, **body})

    async def _poll(self, state: State, w: int) -> Any:
        answer = await self._call_of(w, "GET", f"/api/workers/{self.workers[w].id}/poll")
        if answer.status_code == 404:
            return "gone"
        return tuple(sorted(map(self.sessions.index, answer.json()["claimedSessionIds"])))

    _lost_poll = _poll

    async def _claim(self, state: State, w: int, s: int) -> Any:
        answer = await self._about(w, s, "claim")
        return "gone" if answer.status_code == 404 else answer.json()["claimed"]

    async def _write(self, state: State, w: int, s: int, status: str, named: bool) -> Any:
        answer = await self._about(w, s, "status", status=status, **_epoch(state, w, s, named))
        return _word(answer) or answer.json()["session"]["status"]

    async def _call(self, state: State, w: int, s: int, named: bool) -> Any:
        before = (await self.make.stored(self.sessions[s])).activity_count
        answer = await self._about(
            w, s, "activity", activity=BY_ACTIVITY, **_epoch(state, w, s, named)
        )
        if answer.status_code == 200:
            assert (await self.make.stored(self.sessions[s])).activity_count == before + 1
        return _word(answer) or "taken"

    async def _read(self, state: State, w: int, s: int) -> Any:
        answer = await self._call_of(w, "GET", f"/api/sessions/{self.sessions[s]}/status")
        return "gone" if answer.status_code == 401 else answer.json()["status"]

    async def _beat(self, state: State, w: int, count: int) -> Any:
        path = f"/api/workers/{self.workers[w].id}/heartbeat"
        answer = await self._call_of(w, "POST", path, activeCount=count)
        return "gone" if answer.status_code == 404 else "taken"

    async def _nack(self, state: State, w: int, s: int) -> Any:
        work = {
            "sessionId": self.sessions[s], "issueId": "", "issueIdentifier": "", "priority": 1,
            "queuedAt": 0,
        }  # fmt: skip
        answer = await self._about(w, s, "nack", work=work)
        return _word(answer) or answer.json()["requeued"]

    async def _transfer(self, state: State, new: int, old: int, s: int) -> Any:
        answer = await self._about(
            new,
            s,
            "transfer-ownership",
            newWorkerId=self.workers[new].id,
            oldWorkerId=self.workers[old].id,
        )
        return answer.json()["transferred"]

    async def _bye(self, state: State, w: int) -> Any:
        answer = await self._call_of(w, "DELETE", f"/api/workers/{self.workers[w].id}")
        if answer.status_code == 404:
            return "gone"
        return tuple(sorted(map(self.sessions.index, answer.json()["unclaimedSessions"])))

    async def _return(self, state: State, w: int) -> Any:
        self.workers[w] = await self._worker()

    async def _stop(self, state: State, s: int) -> Any:
        answer = await self._steer(s, "stop")
        return _word(answer) or answer.json()["newStatus"]

    async def _prompt(self, state: State, s: int) -> Any:
        answer = await self._steer(s, "prompt", prompt="Go on")
        assert answer.status_code == 200

    async def _steer(self, s: int, what: str, **body: Any) -> Any:
        public_id = (await self.make.stored(self.sessions[s])).public_id
        return await self.make.org.post(f"/api/public/sessions/{public_id}/{what}", json=body)

    async def _tick(self, state: State) -> Any:
        values = {
            "t": f"{TICK_SECONDS} seconds",
            "org": self.make.org_id,
            "sessions": self.sessions,
            "workers": [worker.id for worker in self.workers],
        }
        for statement in AGE:
            await self.make.owner.execute(statement, values)

    async def _sweep(self, state: State) -> Any:
        await self.make.owner.execute(
            "update service_pulse set alive_since = now() - interval '1 hour',"
            " last_pulse_at = now()"
        )
        await self.run_job(requeue_orphans)


def _worker(row: Any) -> Worker:
    return Worker(
        here=row.here,
        beaten=row.beaten,
        covered=row.covered,
        peak=row.peak_count,
        before=row.peak_count_before,
        window_old=row.window_old,
    )


def _believing(seen: State, model: State) -> State:
    """What was seen, with what the workers believe: only the model knows that."""
    return State(
        tuple(
            x._replace(knows=y.knows) for x, y in zip(seen.sessions, model.sessions, strict=True)
        ),
        seen.workers,
    )


def _epoch(state: State, w: int, s: int, named: bool) -> dict[str, int]:
    return {"leaseEpoch": state.sessions[s].knows[w]} if named else {}


def _word(answer: Any) -> str | None:
    return {403: "refused", 409: "conflict", 200: None}[answer.status_code]
