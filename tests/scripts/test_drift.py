"""A sample of all drift: what no longer agrees is named, what still agrees raises no alarm.

`make prove` tries every kind on several operations (tests/prove/test_drift.py).
"""

from random import Random
from typing import Final

from scripts import sync_spec
from tests.drift import judging
from tests.drift.kinds import DRIFTS

SEED: Final = 11
SAMPLE: Final = 10
QUIET: Final = 3


def _sample() -> list[judging.Mutation]:
    """One mutation of some kinds, and some harmless edits, the same ones every time."""
    random = Random(SEED)
    kinds = random.sample(DRIFTS, SAMPLE)
    firsts = {each.kind: each for each in judging.mutations(SEED, kinds)}
    return [*firsts.values(), *random.sample(judging.harmless(SEED), QUIET)]


def test_the_project_as_it_is_agrees() -> None:
    text, status = sync_spec.report(judging.sources().texts)

    assert status == 0, text


def test_drift_is_named_and_a_harmless_edit_is_not() -> None:
    wrong = [told for each in _sample() if (told := judging.judge(each))]

    assert wrong == []


def test_there_are_kinds_enough() -> None:
    drift, quiet = judging.mutations(SEED), judging.harmless(SEED)

    assert len({each.kind for each in drift}) >= 25
    assert len(drift) >= 300
    assert len(quiet) >= 50
    assert {each.about for each in drift} == {each.id for each in judging.sources().places}
