"""Every kind of drift, on operations chosen by seed: named; every harmless edit: no alarm."""

from random import Random
from typing import Final

import pytest

from tests.drift import judging

pytestmark = pytest.mark.prove

SEED: Final = 2026
PARTS: Final = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_all_drift_is_named(part, scaled):
    drift = judging.mutations(SEED)
    Random(SEED).shuffle(drift)
    mine = drift[part::PARTS]

    wrong = [told for each in mine[: scaled(len(mine))] if (told := judging.judge(each))]

    assert wrong == []


def test_no_harmless_edit_raises_an_alarm(scaled):
    edits = judging.harmless(SEED)
    Random(SEED).shuffle(edits)

    wrong = [told for each in edits[: scaled(len(edits))] if (told := judging.judge(each))]

    assert wrong == []
