"""The first two rows of the table of work types (decision 26)."""

import pytest

from domain.work_types import for_agent_session


@pytest.mark.parametrize(
    ("state", "description", "work_type"),
    [
        ("Icebox", None, "research"),
        ("Icebox", "", "research"),
        ("Icebox", " \n", "research"),
        ("Icebox", "Do it", "backlog-creation"),
        ("Backlog", "Do it", "development"),
        ("Started", None, "inflight"),
        ("Finished", None, "qa"),
        ("Delivered", None, "acceptance"),
        ("Rejected", None, "refinement"),
        ("Triage", None, "development"),
        ("", None, "development"),
        (None, None, "development"),
        (" finished ", None, "qa"),
        ("DELIVERED", None, "acceptance"),
    ],
)
def test_the_state_of_the_issue_decides_the_work(state, description, work_type):
    assert for_agent_session(state, description) == work_type
