"""Every kind of drift, on operations chosen by seed: named; every harmless edit: no alarm."""

from functools import cache
from random import Random
from typing import Final

import pytest

from tests.drift import judging
from tests.drift.sources import Mutation

pytestmark = pytest.mark.prove

SEED: Final = 2026
PARTS: Final = 4
ENOUGH: Final = 8
"""Of each part, in a shorter run: `make test` has judged others of every sort."""


@cache
def all_drift() -> list[Mutation]:
    drift = judging.mutations(SEED)
    Random(SEED).shuffle(drift)
    return drift


def judged(mutations: list[Mutation], count: int) -> list[str]:
    """What is wrong with the reports of so many of them."""
    # What the checker found in the texts of one is still known for others that leave them alone.
    chosen = sorted(mutations[:count], key=lambda each: sorted(each.edits))
    return [told for each in chosen if (told := judging.judge(each))]


@pytest.mark.parametrize("part", range(PARTS))
def test_all_drift_is_named(part, scaled):
    mine = all_drift()[part::PARTS]

    assert judged(mine, scaled(len(mine), enough=ENOUGH)) == []


def test_no_harmless_edit_raises_an_alarm(scaled):
    edits = judging.harmless(SEED)
    Random(SEED).shuffle(edits)

    assert judged(edits, scaled(len(edits), enough=ENOUGH)) == []
