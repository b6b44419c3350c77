"""What must hold in every state of the model, and across every step between two."""

from collections import deque
from dataclasses import dataclass, field

from tests.models.leases import (
    ENDED,
    HELD,
    NOBODY,
    UNKNOWN,
    Rules,
    Scope,
    Session,
    State,
    Step,
    canonical,
)

TAKES: tuple[str, ...] = ("poll", "lost poll", "claim")


class Broken(AssertionError):
    """A promise that the rules do not keep."""


def _hold(promise: str, kept: bool, *where: object) -> None:
    if not kept:
        raise Broken(f"{promise}: {where}")


def check_state(rules: Rules, state: State) -> None:
    for x in set(state.sessions):
        _check_session(rules, x)
        accepted = [w for w in (0, 1) if rules.held(state, w, x, named=False) is not None]
        _hold("never two holders", len(accepted) <= 1, x)
    for w, worker in enumerate(state.workers):
        mine = [x for x in state.sessions if w in {x.slot, x.lost_by}]
        _hold("who left holds nothing", worker.here or not mine, state)
    _check_silence(rules, state)


def _check_session(rules: Rules, x: Session) -> None:
    _hold("who holds a session has a slot taken", x.status not in HELD or x.slot == x.owner >= 0, x)
    _hold("a waiting session is nobody's", x.status != "pending" or x.slot == x.owner == NOBODY, x)
    _hold("an end frees the slot", x.status not in {"completed", "failed"} or x.slot == NOBODY, x)
    _hold("only what waits is lost", x.lost_by == NOBODY or x.status == "pending", x)
    _hold("attempts are bounded", x.status in ENDED or x.attempts < rules.scope.attempts, x)
    _hold("nacks are bounded", x.waits or x.nacks < rules.scope.nacks, x)
    newcomer = x._replace(nacked_by=(False, False), lost_lately=False)
    offered = x.status == "pending" and not x.waits
    _hold("what waits is offered to a newcomer", not offered or rules.offered(newcomer, 0), x)


def _check_silence(rules: Rules, state: State) -> None:
    """Nothing needs anybody's help: after a silence nobody holds anything."""
    ((_, quiet),) = rules.take(state, ("tick",))
    for _, after in rules.take(quiet, ("sweep",)):
        for x in after.sessions:
            _hold("silence frees", x.status not in HELD and x.slot == NOBODY, state, after)


def check_step(rules: Rules, before: State, step: Step, answer: object, after: State) -> None:
    kind, *values = step
    for n, (x, z) in enumerate(zip(before.sessions, after.sessions, strict=True)):
        if x is z:
            continue
        _check_epoch(kind, x, z)
        _check_hands(before, step, n, x, z)
        if x.status in ENDED:
            _hold("an end is for good", z.status == x.status, step, x, z)
        lost = kind == "sweep" and x.status in HELD and z.status not in HELD
        _hold("an attempt is a lost lease", z.attempts == x.attempts + lost, step, x, z)
        if lost:
            worker = before.workers[x.slot]
            _hold("what is heard of is kept", not x.heard and not worker.covered, step, x)
            _hold("who lost it is known", z.status == "failed" or z.lost_by == x.slot, step, x, z)
    if (kind, answer) == ("nack", True):
        z = after.sessions[values[1]]
        _hold("a nack is remembered", z.nacked_by[values[0]], step, z)
    if kind in TAKES:
        _check_taking(rules, before, values[0], answer, after)
    if kind == "write" and answer in ENDED:
        z = after.sessions[values[1]]
        _hold("an end frees the slot", z.slot == NOBODY, step, z)
    if kind in {"write", "call"}:
        _check_write(before, step, answer)


def _check_epoch(kind: str, x: Session, z: Session) -> None:
    _hold("epochs only grow", z.epoch >= x.epoch, kind, x, z)
    begins = x.status == "pending" and z.status in (*HELD, "completed")
    _hold("a new hold has a new epoch", not begins or z.epoch > x.epoch, kind, x, z)
    passed_on = kind in {*TAKES, "transfer"} or z.epoch > x.epoch or x.owner == z.owner
    _hold("hands change under a new epoch", passed_on or z.owner < 0, kind, x, z)
    _hold("nobody knows what is to come", all(k in {UNKNOWN, *range(-9, z.epoch + 1)}
                                              for k in z.knows), kind, z)  # fmt: skip


def _check_hands(before: State, step: Step, n: int, x: Session, z: Session) -> None:
    """A session that is held moves only by its holder's deed, a person's, or the lease's end."""
    if x.status not in HELD or (x.status, x.owner, x.slot) == (z.status, z.owner, z.slot):
        return
    kind, *values = step
    by_holder = kind in {"write", "nack", "bye"} and values[0] == x.owner
    by_hand_over = kind == "transfer" and values[1] == x.owner
    _hold("only its holder moves it", by_holder or by_hand_over or kind in {"sweep", "stop"},
          step, n, x, z)  # fmt: skip


def _check_taking(rules: Rules, before: State, w: int, answer: object, after: State) -> None:
    had, has = len(rules.slots(before, w)), len(rules.slots(after, w))
    _hold("room is never exceeded", has <= max(had, rules.scope.capacity), before, after)
    delivered = answer if isinstance(answer, tuple) else ()
    for n, (x, z) in enumerate(zip(before.sessions, after.sessions, strict=True)):
        if x.status == "pending" and z.status == "claimed":
            _hold("a nack is remembered", not x.nacked_by[w], x)
            _hold("what was just lost goes to others", x.lost_by != w or not x.lost_lately, x)
        elif n in delivered:
            unheard = not x.confirmed and x.missed == 2 and x.offer_old
            same = x.slot == w and x.epoch == z.epoch
            _hold("only an unheard offer comes again", unheard and same, x, z)


def _check_write(before: State, step: Step, answer: object) -> None:
    w, s, *more = step[1:]
    x = before.sessions[s]
    if answer in {"refused", "conflict"}:
        return
    holder = x.owner == w or (x.status == "pending" and x.lost_by == w)
    _hold("only its holder writes", holder, step, x)
    named = more[-1]
    _hold("no epoch that is over writes", not named or x.knows[w] == x.epoch, step, x)


@dataclass
class Explored:
    """All states there are, and how one comes to each."""

    found: dict[State, int] = field(default_factory=dict)
    came: list[tuple[int, Step]] = field(default_factory=list)
    before: list[set[int]] = field(default_factory=list)
    edges: int = 0

    def stuck(self) -> list[State]:
        """The states from which no way of workers and time leads to all sessions ended."""
        states = list(self.found)
        goal = {
            n for n, state in enumerate(states)
            if all(x.status in ENDED and x.slot == NOBODY for x in state.sessions)
        }  # fmt: skip
        seen, ahead = set(goal), deque(goal)
        while ahead:
            for n in self.before[ahead.popleft()] - seen:
                seen.add(n)
                ahead.append(n)
        return [state for n, state in enumerate(states) if n not in seen]


def explore(rules: Rules) -> Explored:
    """Visit every state, breadth first; raises `Broken` at the first promise that is not kept."""
    all_of_them = Explored()
    beginning = canonical(rules.scope.beginning(), rules.scope)
    all_of_them.found[beginning] = 0
    all_of_them.came.append((0, ()))
    all_of_them.before.append(set())
    ahead = deque([beginning])
    while ahead:
        state = ahead.popleft()
        number = all_of_them.found[state]
        check_state(rules, state)
        for step in rules.steps(state):
            for answer, after in rules.take(state, step):
                all_of_them.edges += 1
                if after is state:
                    if step[0] in {"write", "call"}:
                        _check_write(state, step, answer)
                    continue
                check_step(rules, state, step, answer, after)
                _arrive(all_of_them, ahead, number, step, after, rules.scope)
    return all_of_them


def _arrive(
    explored: Explored,
    ahead: deque[State],
    number: int,
    step: Step,
    after: State,
    scope: Scope,
) -> None:
    small = canonical(after, scope)
    place = explored.found.get(small)
    if place is None:
        place = explored.found[small] = len(explored.came)
        explored.came.append((number, step))
        explored.before.append(set())
        ahead.append(small)
    if step[0] != "stop":  # a person may end anything; nothing may need one
        explored.before[place].add(number)
