"""Ways through the model that are worth walking beside the server."""

import random
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Any

from tests.models.leases import Rules, Session, State, Step, canonical, plain

Edge = tuple[Any, ...]


def arrivals(rules: Rules) -> Iterator[tuple[list[Step], State, Step]]:
    """Every step from every state, the nearest first: the way there, the state, the step.

    States that differ in names only count as one; ways lead through steps of one outcome.
    """
    beginning = rules.scope.beginning()
    seen = {canonical(beginning, rules.scope)}
    ahead: list[tuple[list[Step], State]] = [([], beginning)]
    for way, state in ahead:
        for step in rules.steps(state):
            yield way, state, step
            outcomes = rules.take(state, step)
            if len(outcomes) > 1:
                continue
            small = canonical(outcomes[0][1], rules.scope)
            if small not in seen:
                seen.add(small)
                ahead.append(([*way, step], outcomes[0][1]))


def first_difference(
    pairs: list[tuple[Rules, Rules]],
) -> tuple[Rules, Rules, list[Step]] | None:
    """The shortest way to a step that two rules of a pair tell differently; None without one."""
    searches = [_differences(right, wrong) for right, wrong in pairs]
    for found in chain.from_iterable(zip_longest(*searches)):
        if found is not None:
            return found
    return None


def _differences(right: Rules, wrong: Rules) -> Iterator[tuple[Rules, Rules, list[Step]] | None]:
    for way, state, step in arrivals(right):
        differ = _told(right, state, step).isdisjoint(_told(wrong, state, step))
        yield (right, wrong, [*way, step]) if differ else None


def _told(rules: Rules, state: State, step: Step) -> set[Any]:
    return {(answer, plain(after)) for answer, after in rules.take(state, step)}


def covering(rules: Rules) -> list[list[Step]]:
    """Ways that together take every kind of step between every two kinds of a session's states."""
    ways: dict[Edge, list[Step]] = {}
    for way, state, step in arrivals(rules):
        for answer, after in rules.take(state, step):
            for edge in edges(state, step, answer, after):
                ways.setdefault(edge, [*way, step])
    chosen: list[list[Step]] = []
    covered: set[Edge] = set()
    for edge, way in sorted(ways.items(), key=lambda each: -len(each[1])):
        if edge not in covered:
            chosen.append(way)
            covered |= _along(rules, way)
    return chosen


def _along(rules: Rules, way: list[Step]) -> set[Edge]:
    state, passed = rules.scope.beginning(), set()
    for step in way:
        answer, after = rules.take(state, step)[0]
        passed |= edges(state, step, answer, after)
        state = after
    return passed


def edges(before: State, step: Step, answer: Any, after: State) -> set[Edge]:
    """What a step is to each session that it is about: by whom, from what, to what."""
    kind, *values = step
    w = values[0] if values and kind not in {"stop", "prompt"} else 0
    here = before.workers[w].here
    said = len(answer) if isinstance(answer, tuple) else answer
    more = tuple(values[2:]) if kind in {"write", "call"} else ()
    about = {
        (kind, *more, here, said, _seen(x, w), _seen(z, w))
        for n, (x, z) in enumerate(zip(before.sessions, after.sessions, strict=True))
        if x != z or n in values[1:]
    }
    return about or {(kind, *more, here, said)}


def _seen(x: Session, w: int) -> tuple[Any, ...]:
    who = [each if each < 0 else each == w for each in (x.owner, x.slot, x.lost_by)]
    known = x.knows[w] - x.epoch if x.knows[w] >= 0 else None
    return (x.status, *who, x.lost_as, x.waits, x.attempts, known is not None and known == 0)


def wandering(rules: Rules, chance: random.Random, state: State, seen: set[Edge]) -> Step:
    """A step to take next: one that leads to something new, if one is near."""
    steps = list(rules.steps(state))
    chance.shuffle(steps)
    for step in steps[:12]:
        answer, after = rules.take(state, step)[0]
        if not edges(state, step, answer, after) <= seen:
            return step
    return steps[0]
