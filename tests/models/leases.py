"""Sessions between workers, as decided, small enough that every state of it can be visited.

A second telling of `claim_sessions`, `persistence/leases.py` and the handlers of workers and
sessions, as pure functions of a state. `test_leases.py` visits all states and checks the promises
in each; `test_leases_replay.py` walks the server through the same steps and compares.

Time has one step, longer than a lease and than the minute after a nack: an instant is from before
the last such step, or from after it. Who knows which lease epoch is part of the state, since a
worker names the one that it knows. What the steps may do is narrowed to `Scope`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any, Final, NamedTuple

NOBODY: Final = -1
GONE: Final = -2  # a worker id that was given up
UNKNOWN: Final = -9
HELD: Final = ("claimed", "running", "finalizing")
ENDED: Final = ("completed", "failed", "stopped")
MOST_PER_POLL: Final = 5


class Session(NamedTuple):
    """A session's row, and what each worker believes of it."""

    status: str = "pending"
    owner: int = NOBODY
    slot: int = NOBODY
    epoch: int = 0
    attempts: int = 0
    nacks: int = 0
    waits: bool = False  # for a person
    heard: bool = False  # a call about it came within a lease; once stopped: or the stop did
    confirmed: bool = False  # a call came since it was handed out
    offer_old: bool = False
    missed: int = 0  # heartbeats in a row since it was handed out that counted too few
    lost_by: int = NOBODY
    lost_as: str = ""
    lost_lately: bool = False
    nacked_by: tuple[bool, ...] = (False, False)  # within the last minute
    knows: tuple[int, ...] = (UNKNOWN, UNKNOWN)  # the epoch that each worker knows


class Worker(NamedTuple):
    here: bool = True
    beaten: bool = True  # a heartbeat came within a lease
    covered: bool = True  # one that counted all it holds
    peak: int = 0
    before: int = 0
    window_old: bool = False


class State(NamedTuple):
    sessions: tuple[Session, ...]
    workers: tuple[Worker, ...]


Step = tuple[Any, ...]
Outcome = tuple[Any, State]


@dataclass(frozen=True)
class Scope:
    """How much of the world is looked at."""

    sessions: int
    capacity: int
    attempts: int = 2
    nacks: int = 2
    counts: tuple[int, ...] = ()  # of heartbeats; empty: what the worker holds
    reports: tuple[str, ...] = ("running", "completed")
    kinds: tuple[str, ...] = ("poll", "claim", "write", "call", "beat", "tick", "sweep")
    in_order: bool = False  # polls take the first sessions, not just any
    epochs: bool = True  # whether it matters who knows which epoch

    def beginning(self) -> State:
        return State((Session(),) * self.sessions, (Worker(),) * 2)


def _with(values: tuple[Any, ...], at: int, value: Any) -> tuple[Any, ...]:
    return (*values[:at], value, *values[at + 1 :])


class Rules:
    """What each step does. A step has one outcome, or several where the decisions leave it open."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    # --- the steps that there are ---

    def steps(self, state: State) -> Iterator[Step]:
        workers, sessions = range(2), range(len(state.sessions))
        for kind in self.scope.kinds:
            if kind in {"tick", "sweep"}:
                yield (kind,)
            elif kind in {"poll", "lost poll", "bye"}:
                yield from ((kind, w) for w in workers)
            elif kind == "return":
                yield from ((kind, w) for w in workers if not state.workers[w].here)
            elif kind == "beat":
                for w in workers:
                    held = len(self.slots(state, w))
                    yield from ((kind, w, count) for count in self.scope.counts or (held,))
            elif kind in {"stop", "prompt"}:
                yield from (
                    (kind, s) for s in sessions if kind == "stop" or state.sessions[s].waits
                )
            elif kind == "transfer":
                yield from ((kind, w, 1 - w, s) for w, s in product(workers, sessions))
            else:
                yield from self._about(kind, state)

    def _about(self, kind: str, state: State) -> Iterator[Step]:
        for w, s in product(range(2), range(len(state.sessions))):
            known = state.sessions[s].knows[w] != UNKNOWN
            if kind == "write":
                for status, named in product(self.scope.reports, (False, True)):
                    if (known and self.scope.epochs) or not named:
                        yield kind, w, s, status, named
            elif kind == "call":
                yield kind, w, s, False
                if known and self.scope.epochs:
                    yield kind, w, s, True
            elif known or kind != "read":
                yield kind, w, s

    def take(self, state: State, step: Step) -> list[Outcome]:
        """What the step may answer, and the state after it."""
        kind, *values = step
        outcomes: list[Outcome] = getattr(self, f"_{kind.replace(' ', '_')}")(state, *values)
        return outcomes

    # --- rules that several steps share, each of which can be told wrongly ---

    def slots(self, state: State, w: int) -> list[int]:
        return [n for n, x in enumerate(state.sessions) if x.slot == w]

    def room(self, state: State, w: int) -> int:
        return self.scope.capacity - len(self.slots(state, w))

    def offered(self, x: Session, w: int) -> bool:
        return (
            x.status == "pending"
            and not x.waits
            and not (x.lost_by == w and x.lost_lately)
            and not x.nacked_by[w]
        )

    def offered_again(self, x: Session, w: int) -> bool:
        return (
            (x.slot, x.status, x.confirmed) == (w, "claimed", False)
            and x.missed == 2
            and x.offer_old
        )

    def claimed(self, x: Session, w: int, *, confirmed: bool) -> Session:
        return self.unlost(x)._replace(
            status="claimed", owner=w, slot=w, epoch=x.epoch + 1, heard=True,
            confirmed=confirmed, offer_old=False, missed=0,
        )  # fmt: skip

    def unlost(self, x: Session) -> Session:
        return x._replace(lost_by=NOBODY, lost_as="", lost_lately=False)

    def taken_back(self, x: Session, w: int) -> Session:
        return self.unlost(x)._replace(
            status=x.lost_as, owner=w, slot=w, epoch=x.epoch + 1, heard=True, missed=0
        )

    def held(self, state: State, w: int, x: Session, named: bool) -> Session | None:
        """The session for a write of the worker, taken back where need be; None: refused."""
        if not state.workers[w].here or (named and x.knows[w] != x.epoch):
            return None
        if x.status == "pending":
            return self.taken_back(x, w) if x.lost_by == w else None
        return x if x.owner == w else None

    def reported(self, x: Session, status: str) -> Session | None:
        """The session after a report; None: there is no such step."""
        if x.status == "stopped" and (status in ENDED or status == "finalizing"):
            return x._replace(slot=NOBODY)
        if x.status == status:
            return x
        order = ("claimed", "running", "finalizing")
        next_in_order = x.status in order[:2] and status == order[order.index(x.status) + 1]
        if next_in_order or (x.status in order and status in ENDED):
            return x._replace(status=status, slot=NOBODY if status in ENDED else x.slot)
        return None

    def ends(self, state: State, w: int) -> tuple[list[int], int]:
        """The sessions that a worker may lose now, and how many of them it does."""
        worker = state.workers[w]
        quiet = [
            n for n in self.slots(state, w)
            if state.sessions[n].status in HELD and not state.sessions[n].heard
            and not worker.covered
        ]  # fmt: skip
        if not worker.beaten:
            return quiet, len(quiet)
        missing = len(self.slots(state, w)) - max(worker.peak, worker.before)
        return quiet, min(len(quiet), max(0, missing))

    def lost(self, x: Session) -> Session:
        free = x._replace(owner=NOBODY, slot=NOBODY, attempts=x.attempts + 1)
        if free.attempts >= self.scope.attempts:
            return free._replace(status="failed")
        return free._replace(status="pending", lost_by=x.slot, lost_as=x.status, lost_lately=True)

    def given_back(self, x: Session) -> Session:
        return x._replace(status="pending", owner=NOBODY, slot=NOBODY)

    def nacked(self, x: Session, w: int) -> Session:
        nacks = x.nacks + 1
        return self.given_back(x)._replace(
            nacks=nacks, waits=nacks >= self.scope.nacks, nacked_by=_with(x.nacked_by, w, True)
        )

    def freed(self, x: Session) -> bool:
        """Whether the slot of a stopped session is freed like a lease."""
        return x.status == "stopped" and not x.heard

    # --- the steps ---

    def _tick(self, state: State) -> list[Outcome]:
        sessions = tuple(
            x._replace(heard=False, lost_lately=False, offer_old=True, nacked_by=(False, False))
            for x in state.sessions
        )
        workers = tuple(
            y._replace(beaten=False, covered=False, window_old=True) for y in state.workers
        )
        return [(None, State(sessions, workers))]

    def _sweep(self, state: State) -> list[Outcome]:
        state = _changed(
            state,
            {
                n: x._replace(slot=NOBODY)
                for n, x in enumerate(state.sessions)
                if x.slot >= 0 and self.freed(x)
            },
        )
        choices = [
            list(combinations(quiet, many)) for quiet, many in (self.ends(state, w) for w in (0, 1))
        ]
        return [
            (None, _changed(state, {n: self.lost(state.sessions[n]) for n in (*one, *two)}))
            for one, two in product(*choices)
        ]

    def _poll(self, state: State, w: int) -> list[Outcome]:
        return [
            (delivered, _knowing(after, w, delivered if isinstance(delivered, tuple) else ()))
            for delivered, after in self._lost_poll(state, w)
        ]

    def _lost_poll(self, state: State, w: int) -> list[Outcome]:
        if not state.workers[w].here:
            return [("gone", state)]
        again = [n for n, x in enumerate(state.sessions) if self.offered_again(x, w)]
        waiting = [n for n, x in enumerate(state.sessions) if self.offered(x, w)]
        many = max(0, min(MOST_PER_POLL - len(again), self.room(state, w), len(waiting)))
        handed = {n: state.sessions[n]._replace(offer_old=False, missed=0) for n in again}
        picks: Iterable[tuple[int, ...]] = combinations(waiting, many)
        if self.scope.in_order:
            picks = [tuple(waiting[:many])]
        return [
            (
                tuple(sorted([*again, *pick])),
                _changed(
                    state,
                    handed | {n: self.claimed(state.sessions[n], w, confirmed=False) for n in pick},
                ),
            )
            for pick in picks
        ]

    def _claim(self, state: State, w: int, s: int) -> list[Outcome]:
        if not state.workers[w].here:
            return [("gone", state)]
        x = state.sessions[s]
        if (x.status, x.owner) == ("claimed", w):
            return [(True, _knowing(state, w, (s,)))]
        if not self.offered(x, w) or x.lost_by == w or self.room(state, w) < 1:
            return [(False, state)]
        return [(True, _knowing(_changed(state, {s: self.claimed(x, w, confirmed=True)}), w, (s,)))]

    def _write(self, state: State, w: int, s: int, status: str, named: bool) -> list[Outcome]:
        x = self.held(state, w, state.sessions[s], named)
        if x is None:
            return [("refused", state)]
        x = self.reported(x._replace(heard=True, confirmed=True), status)
        if x is None:
            return [("conflict", state)]
        return [(x.status, _knowing(_changed(state, {s: x}), w, (s,)))]

    def _call(self, state: State, w: int, s: int, named: bool) -> list[Outcome]:
        x = self.held(state, w, state.sessions[s], named)
        if x is None:
            return [("refused", state)]
        return [("taken", _changed(state, {s: x._replace(heard=True, confirmed=True)}))]

    def _read(self, state: State, w: int, s: int) -> list[Outcome]:
        if not state.workers[w].here:
            return [("gone", state)]
        x = state.sessions[s]
        if x.lost_by == w:
            x = self.taken_back(x, w)
        if x.slot == w:
            x = x._replace(heard=True, confirmed=True)
        return [(x.status, _knowing(_changed(state, {s: x}), w, (s,)))]

    def _beat(self, state: State, w: int, count: int) -> list[Outcome]:
        y = state.workers[w]
        if not y.here:
            return [("gone", state)]
        held = self.slots(state, w)
        short = count < len(held)
        y = y._replace(
            beaten=True,
            covered=y.covered if short else True,
            before=y.peak if y.window_old else y.before,
            peak=count if y.window_old else max(y.peak, count),
            window_old=False,
        )
        state = _changed(
            State(state.sessions, _with(state.workers, w, y)),
            {
                n: state.sessions[n]._replace(
                    missed=min(2, state.sessions[n].missed + 1) if short else 0
                )
                for n in held
            },
        )
        ended = [n for n in held if state.sessions[n].status == "stopped"]
        return [
            ("taken", back)
            for freed in combinations(ended, min(len(ended), max(0, len(held) - count)))
            for back in self._taken_back_counted(
                _changed(state, {n: state.sessions[n]._replace(slot=NOBODY) for n in freed}),
                w,
                count,
            )
        ]

    def _taken_back_counted(self, state: State, w: int, count: int) -> Iterator[State]:
        """As many as the heartbeat counts beyond what is held, the last ones lost first."""
        many = count - len(self.slots(state, w))
        lost = [n for n, x in enumerate(state.sessions) if x.lost_by == w]
        lately = [n for n in lost if state.sessions[n].lost_lately]
        before = [n for n in lost if n not in lately]
        for new in combinations(lately, min(len(lately), max(0, many))):
            for old in combinations(before, min(len(before), max(0, many - len(new)))):
                yield _changed(
                    state, {n: self.taken_back(state.sessions[n], w) for n in (*new, *old)}
                )

    def _nack(self, state: State, w: int, s: int) -> list[Outcome]:
        x = state.sessions[s]
        if not state.workers[w].here:
            return [("refused", state)]
        if x.owner != w:
            return [(False if x.nacked_by[w] else "refused", state)]
        if x.status != "claimed":
            return [(False, state)]
        return [(True, _changed(state, {s: self.nacked(x, w)}))]

    def _transfer(self, state: State, new: int, old: int, s: int) -> list[Outcome]:
        x = state.sessions[s]
        if not state.workers[new].here or x.status in ENDED:
            return [(False, state)]
        if x.owner == new:
            return [(True, _knowing(state, new, (s,)))]
        if old not in {x.owner, x.lost_by}:
            return [(False, state)]
        after = self.transferred(x, new)
        return [(True, _knowing(_changed(state, {s: after}), new, (s,)))]

    def transferred(self, x: Session, new: int) -> Session:
        x = self.taken_back(x, new) if x.status == "pending" else x
        return x._replace(owner=new, slot=new, heard=True, confirmed=True)

    def _bye(self, state: State, w: int) -> list[Outcome]:
        if not state.workers[w].here:
            return [("gone", state)]
        back = tuple(n for n, x in enumerate(state.sessions) if x.owner == w and x.status in HELD)
        state = State(
            tuple(self.left(x, w) for x in state.sessions),
            _with(state.workers, w, Worker(here=False)),
        )
        return [(back, state)]

    def left(self, x: Session, w: int) -> Session:
        if x.owner == w and x.status in HELD:
            x = self.given_back(x)
        if x.slot == w:
            x = x._replace(slot=NOBODY)
        return self.unlost(x) if x.lost_by == w else x

    def _return(self, state: State, w: int) -> list[Outcome]:
        """A worker that left registers anew, under another id."""
        sessions = tuple(
            x._replace(
                owner=GONE if x.owner == w else x.owner,
                nacked_by=_with(x.nacked_by, w, False),
                knows=_with(x.knows, w, UNKNOWN),
            )
            for x in state.sessions
        )
        return [(None, State(sessions, _with(state.workers, w, Worker())))]

    def _stop(self, state: State, s: int) -> list[Outcome]:
        x = state.sessions[s]
        if x.status in {"completed", "failed"}:
            return [("conflict", state)]
        if x.status == "stopped":
            return [("stopped", state)]
        after = self.unlost(x)._replace(status="stopped", waits=False, heard=True)
        return [("stopped", _changed(state, {s: after}))]

    def _prompt(self, state: State, s: int) -> list[Outcome]:
        x = state.sessions[s]
        return [(None, _changed(state, {s: x._replace(waits=False, nacks=0)}))]


def _changed(state: State, sessions: dict[int, Session]) -> State:
    if not sessions:
        return state
    return State(tuple(sessions.get(n, x) for n, x in enumerate(state.sessions)), state.workers)


def _knowing(state: State, w: int, told: tuple[int, ...]) -> State:
    """The state once the worker was told of these sessions, their epochs included."""
    return _changed(
        state,
        {
            n: state.sessions[n]._replace(
                knows=_with(state.sessions[n].knows, w, state.sessions[n].epoch)
            )
            for n in told
        },
    )


def plain(state: State) -> State:
    """The state without what no rule looks at any more."""
    return State(tuple(map(_plain, state.sessions)), tuple(map(_plain_worker, state.workers)))


@cache
def _plain(x: Session) -> Session:
    unheard = x.status == "claimed" or x.lost_as == "claimed"
    if x.status not in HELD and not (x.status == "stopped" and x.slot >= 0):
        x = x._replace(heard=False)
    if not unheard or x.confirmed:
        x = x._replace(confirmed=unheard and x.confirmed, offer_old=False, missed=0)
    return x if x.status == "claimed" else x._replace(missed=0)


@cache
def _plain_worker(y: Worker) -> Worker:
    return y if y.here else Worker(here=False)


def canonical(state: State, scope: Scope) -> State:
    """One state for all that differ in names only: of sessions, of workers, of epochs.

    Where every heartbeat counts all that is held, what counts too low would do is left out.
    """
    sessions = [_small(x, scope.epochs, bool(scope.counts)) for x in state.sessions]
    workers = tuple(_small_worker(y, bool(scope.counts)) for y in state.workers)
    one = State(tuple(sorted(sessions)), workers)
    other = State(tuple(sorted(map(_swapped, sessions))), workers[::-1])
    return min(one, other)


@cache
def _small(x: Session, epochs: bool, counts: bool) -> Session:
    x = _plain(x)
    knows = tuple(k if k == UNKNOWN else -(k != x.epoch) for k in x.knows)
    if x.status in ENDED:
        x = x._replace(attempts=0, nacks=0)
    if not counts:
        x = x._replace(confirmed=False, offer_old=False, missed=0)
    return x._replace(epoch=0, knows=knows if epochs else (UNKNOWN, UNKNOWN))


@cache
def _small_worker(y: Worker, counts: bool) -> Worker:
    y = _plain_worker(y)
    return y if counts else y._replace(peak=0, before=0, window_old=False)


@cache
def _swapped(x: Session) -> Session:
    return x._replace(
        owner=_SWAP.get(x.owner, x.owner),
        slot=_SWAP.get(x.slot, x.slot),
        lost_by=_SWAP.get(x.lost_by, x.lost_by),
        nacked_by=x.nacked_by[::-1],
        knows=x.knows[::-1],
    )


_SWAP: Final = {0: 1, 1: 0}
