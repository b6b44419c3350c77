"""Our names of states and a team's, both ways."""

import pytest

from domain.issue_states import STATES, ours, theirs

LINEAR = {
    "s1": ("Triage", "triage"),
    "s2": ("Backlog", "backlog"),
    "s3": ("Todo", "unstarted"),
    "s4": ("In Progress", "started"),
    "s5": ("In Review", "started"),
    "s6": ("Done", "completed"),
    "s7": ("Canceled", "canceled"),
    "s8": ("Duplicate", "duplicate"),
}
"""What a new team of Linear has."""


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("Finished", "started", "finished"),
        (" delivered ", "started", "delivered"),
        ("Todo", "unstarted", "backlog"),
        ("In Review", "started", "started"),
        ("Done", "completed", "accepted"),
        ("Triage", "triage", "icebox"),
        ("Duplicate", "duplicate", "canceled"),
        ("Someday", None, None),
    ],
)
def test_without_a_setting_the_name_decides_and_then_the_type(name, type_, expected):
    assert ours(name, type_, {}) == expected


def test_the_projects_names_come_first():
    names = {"finished": "In Review", "accepted": "Shipped", "started": "Doing"}

    assert ours("in review", "started", names) == "finished"
    assert ours("Shipped", "completed", names) == "accepted"
    # The team's state of our own name means something else now: its type decides.
    assert ours("Accepted", "unstarted", names) == "backlog"


def test_the_states_that_a_new_team_has_and_those_that_it_lacks():
    found = {state: theirs(state, LINEAR, {}) for state in STATES}

    assert found == {
        "icebox": "s1",
        "backlog": "s2",
        "started": "s4",
        "finished": None,
        "delivered": None,
        "accepted": "s6",
        "rejected": None,
        "canceled": "s7",
    }


@pytest.mark.parametrize("names", [{}, {"finished": "In Review", "accepted": "Done"}])
def test_there_and_back_is_the_same_state(names):
    for state in STATES:
        state_id = theirs(state, LINEAR, names)
        if state_id is not None:
            assert ours(*LINEAR[state_id], names) == state


def test_a_name_that_the_team_lacks_is_not_guessed_by_type():
    assert theirs("accepted", LINEAR, {"accepted": "Shipped"}) is None
