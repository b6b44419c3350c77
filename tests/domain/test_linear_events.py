"""Linear's payloads: what is read of them, and what makes one unreadable."""

import pytest

from domain.linear_events import NewSession, Unreadable, created_session, kind

FULL = {
    "type": "AgentSessionEvent",
    "action": "created",
    "promptContext": "<issue/>",
    "agentSession": {
        "id": "ses-1",
        "issue": {
            "id": "b1d2",
            "identifier": "ENG-204",
            "title": "Keep the currency",
            "description": "Refunds lose it.",
            "priority": 2,
            "state": {"name": "Finished"},
            "project": {"name": "billing"},
        },
    },
}


def event(**agent_session):
    return {"agentSession": {"id": "ses-1", **agent_session}}


def test_a_full_event_is_read_whole():
    assert created_session(FULL) == NewSession(
        session_id="ses-1",
        issue_id="b1d2",
        issue_identifier="ENG-204",
        issue_title="Keep the currency",
        project_name="billing",
        work_type="qa",
        priority=2,
        work={
            "linearSessionId": "ses-1",
            "title": "Keep the currency",
            "body": "Refunds lose it.",
            "promptContext": "<issue/>",
        },
    )


def test_an_event_with_a_session_id_alone_is_development_of_middle_priority():
    read = created_session(event())

    assert (read.issue_id, read.issue_identifier, read.issue_title) == ("", "", None)
    assert (read.work_type, read.priority, read.project_name) == ("development", 3, None)
    assert read.work == {"linearSessionId": "ses-1"}


def test_the_issue_may_be_named_by_its_id_alone():
    assert created_session(event(issueId="b1d2")).issue_id == "b1d2"


def test_the_prompt_may_stand_inside_the_agent_session():
    assert created_session(event(promptContext="go")).work["promptContext"] == "go"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [(1, 1), (4, 4), (0, 3), (5, 3), (-1, 3), (None, 3), ("2", 3), (True, 3), (2.0, 3), ([], 3)],
)
def test_a_priority_is_one_to_four_or_the_middle(sent, stored):
    assert created_session(event(issue={"priority": sent})).priority == stored


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"agentSession": None},
        {"agentSession": []},
        {"agentSession": {}},
        {"agentSession": {"id": ""}},
        {"agentSession": {"id": 7}},
        {"agentSession": {"id": "x" * 201}},
    ],
)
def test_an_event_without_a_usable_session_id_is_unreadable(payload):
    with pytest.raises(Unreadable, match=r"agentSession\.id"):
        created_session(payload)


@pytest.mark.parametrize("issue", [None, [], "ENG-1", {"state": "Finished", "project": ["x"]}])
def test_members_of_a_wrong_type_count_as_absent(issue):
    read = created_session(event(issue=issue))

    assert (read.work_type, read.project_name, read.issue_title) == ("development", None, None)


def test_a_kind_is_type_and_action_in_one_word():
    assert kind(FULL) == "AgentSessionEvent.created"
    assert kind({}) == "None.None"
    assert len(kind({"type": "x" * 5000})) == 200
