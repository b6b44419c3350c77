"""The kinds of drift and of harmless edits, gathered from the modules beside this one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.drift.sources import Mutation, Place, Sources

Change = Callable[[Sources, Place, Random], Mutation | None]


@dataclass(frozen=True)
class Kind:
    name: str
    change: Change
    most: int


DRIFTS: Final[list[Kind]] = []
HARMLESS: Final[list[Kind]] = []


def drift(most: int = 7) -> Callable[[Change], Change]:
    """Register a kind of drift, to be tried on at most so many operations."""

    def register(change: Change) -> Change:
        DRIFTS.append(Kind(change.__name__, change, most))
        return change

    return register


def harmless(most: int = 6) -> Callable[[Change], Change]:
    def register(change: Change) -> Change:
        HARMLESS.append(Kind(change.__name__, change, most))
        return change

    return register


def spread(sources: Sources, kinds: list[Kind], seed: int) -> Iterator[Mutation]:
    """Every kind on operations of its own, so that together they reach all of them."""
    deck: list[Place] = []
    for kind in kinds:
        done: set[str] = set()
        tried: set[Place] = set()
        passed: list[Place] = []
        while len(done) < kind.most and len(tried) < len(sources.places):
            if not deck:
                deck = [place for place in sources.places if place not in tried]
                Random(f"{seed}-{kind.name}-{len(tried)}").shuffle(deck)
            place = deck.pop()
            if place in tried:
                passed.append(place)
                continue
            tried.add(place)
            made = kind.change(sources, place, Random(f"{seed}-{kind.name}-{place.id}"))
            if made is None:
                passed.append(place)
            elif made.about not in done:
                done.add(made.about)
                yield made
        # What this kind had no use for is offered to the next first.
        deck = deck + [place for place in passed if place not in deck]
