"""What each report does in each state, all pairs of them."""

import pytest

from domain.errors import Conflict
from domain.session_states import Step, public_status, step

STATES = ("pending", "claimed", "running", "finalizing", "completed", "failed", "stopped")

# One row per present state, one column per reported state, in the order of STATES.
TABLE = {
    #             pend clai runn fina comp fail stop
    "pending": "    =    x    x    x    x    x    x",
    "claimed": "    x    =    >    x    >    >    >",
    "running": "    x    x    =    >    >    >    >",
    "finalizing": " x    x    x    =    >    >    >",
    "completed": "  x    x    x    x    =    x    x",
    "failed": "     x    x    x    x    x    =    x",
    "stopped": "    x    x    x    s    s    s    s",
}
MEANS = {"=": Step.REPEAT, ">": Step.MOVE, "s": Step.AFTER_STOP}
PAIRS = [
    (present, reported, mark)
    for present, marks in TABLE.items()
    for reported, mark in zip(STATES, marks.split(), strict=True)
]


@pytest.mark.parametrize(("present", "reported", "mark"), [p for p in PAIRS if p[2] != "x"])
def test_a_report_that_the_states_have_is_taken(present, reported, mark):
    assert step(present, reported) is MEANS[mark]


@pytest.mark.parametrize(("present", "reported"), [p[:2] for p in PAIRS if p[2] == "x"])
def test_any_other_report_is_a_conflict_that_names_both_states(present, reported):
    with pytest.raises(Conflict, match=f"Session is {present} and cannot become {reported}"):
        step(present, reported)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("pending", "queued"),
        ("claimed", "working"),
        ("running", "working"),
        ("finalizing", "working"),
        ("completed", "completed"),
        ("failed", "failed"),
        ("stopped", "stopped"),
    ],
)
def test_people_see_the_public_word_for_a_status(status, shown):
    assert public_status(status) == shown
