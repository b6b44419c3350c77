"""The checker in front of a mutation: whether it raised an alarm, and named the culprit."""

import re
from collections.abc import Mapping
from functools import cache

from scripts import sync_spec
from scripts.tree import read_tree
from settings import PROJECT
from tests.drift.kinds import DRIFTS, HARMLESS, Kind, spread
from tests.drift.sources import Mutation, Sources

NARROW = 30
"""Operations that a report may name at most when one of them has drifted."""


@cache
def sources() -> Sources:
    return Sources(read_tree(PROJECT))


def mutations(seed: int, kinds: list[Kind] | None = None) -> list[Mutation]:
    """Drift of every kind, spread over the operations."""
    return list(spread(sources(), DRIFTS if kinds is None else kinds, seed))


def harmless(seed: int) -> list[Mutation]:
    return list(spread(sources(), HARMLESS, seed))


def mutated(mutation: Mutation) -> Mapping[str, str]:
    tree = {**sources().texts, **mutation.edits}
    return {path: text for path, text in tree.items() if text is not None}


def judge(mutation: Mutation) -> str:
    """What is wrong with the checker's report of this mutation; empty when nothing is."""
    report, status = sync_spec.report(mutated(mutation))
    if not mutation.word:
        return "" if status == 0 else f"{mutation.name}: a false alarm\n{report[:800]}"
    if status == 0:
        return f"{mutation.name}: slipped through"
    if not re.search(rf"(?<!\w){re.escape(mutation.word)}(?!\w)", report):
        return f"{mutation.name}: {mutation.word} is not named\n{report[:800]}"
    named = {each.id for each in sources().places if f"{each.id}: " in report}
    if not mutation.wide and len(named) > NARROW:
        return f"{mutation.name}: names {len(named)} operations\n{report[:800]}"
    return ""
