"""Which move starts which work, and where a result moves an issue."""

from dataclasses import replace

import pytest

from domain import issue_rules, issue_states

ALL = issue_rules.Rules(
    automatic=frozenset({"development", "qa", "acceptance", "refinement"}),
    disabled=frozenset(),
    excluded_labels=frozenset({"No-Agent"}),
    tries=3,
    sessions=8,
)
WORKED = issue_rules.Past({"development": 1}, was_worked_on=True)
MOVES = [
    (before, after) for before in (None, *issue_states.STATES) for after in issue_states.STATES
]


def after(before, state, labels=(), is_child=False, rules=ALL, past=WORKED):
    return issue_rules.next_work(before, state, labels, is_child=is_child, rules=rules, past=past)


@pytest.mark.parametrize(("before", "state"), MOVES)
def test_the_table_of_moves(before, state):
    expected = {
        "finished": "qa",
        "delivered": "acceptance",
        "rejected": "refinement",
    }.get(state)
    if state == "backlog" and before in {"icebox", "rejected", "canceled"}:
        expected = "development"
    if before == state:
        expected = None

    assert after(before, state).work_type == expected


@pytest.mark.parametrize("kind", sorted(ALL.automatic))
def test_each_kind_of_work_is_switched_by_itself(kind):
    off = replace(ALL, automatic=ALL.automatic - {kind})
    disabled = replace(ALL, disabled=frozenset({kind}))

    for rules in (off, disabled):
        started = {after(before, state, rules=rules).work_type for before, state in MOVES}
        assert started == {None, *ALL.automatic} - {kind}


def test_an_excluded_label_keeps_agents_away_however_it_is_spelled():
    found = after("started", "finished", labels=["billing", "no-agent "])

    assert (found.work_type, found.question) == (None, None)


def test_sub_issues_are_left_out_of_qa_and_acceptance_alone():
    started = {after(before, state, is_child=True).work_type for before, state in MOVES}

    assert started == {None, "development", "refinement"}


def test_qa_is_for_what_an_agent_has_worked_on():
    untouched = issue_rules.Past({}, was_worked_on=False)

    assert after("started", "finished", past=untouched).work_type is None
    assert after("finished", "delivered", past=untouched).work_type == "acceptance"


@pytest.mark.parametrize(("tries", "starts"), [(0, True), (2, True), (3, False), (9, False)])
def test_after_three_tries_a_person_is_asked(tries, starts):
    found = after(
        "started",
        "finished",
        past=issue_rules.Past({"qa": tries}, was_worked_on=True),
        rules=replace(ALL, sessions=100),
    )

    assert (found.work_type == "qa") is starts
    assert (found.question is None) is starts


def test_what_is_not_deployed_is_not_checked():
    broken = issue_rules.Past({"development": 1}, was_worked_on=True, deployment_failed=True)

    assert after("started", "finished", past=broken).why == "the last deployment has failed"
    assert after("finished", "delivered", past=broken).work_type == "acceptance"


@pytest.mark.parametrize(("count", "starts"), [(7, True), (8, False)])
def test_after_eight_sessions_of_an_issue_a_person_is_asked(count, starts):
    found = after(
        "started",
        "finished",
        past=issue_rules.Past({"inflight": count}, was_worked_on=True),
    )

    assert (found.work_type == "qa") is starts
    assert (found.question is None) is starts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Done.\n\nWORK_RESULT:passed", "passed"),
        ("WORK_RESULT: failed", "failed"),
        ("<!-- WORK_RESULT:PASSED -->", "passed"),
        ("WORK_RESULT:failed, then WORK_RESULT:passed", "passed"),
        ("WORK_RESULT:unknown", None),
        ("It passed.", None),
        ("", None),
    ],
)
def test_the_last_marker_is_the_result(text, expected):
    assert issue_rules.result(text) == expected


@pytest.mark.parametrize(
    ("work_type", "outcome", "state", "expected"),
    [
        ("development", "passed", "started", "finished"),
        ("inflight", "passed", "started", "finished"),
        ("security", "passed", None, "finished"),
        ("qa", "passed", "finished", "delivered"),
        ("acceptance", "passed", "delivered", "accepted"),
        ("refinement", "passed", "rejected", "backlog"),
        ("qa", "failed", "finished", "rejected"),
        ("acceptance", "failed", "delivered", "rejected"),
        ("development", "failed", "started", None),
        ("research", "passed", "icebox", None),
        # Twice is once, and who has moved it further or closed it is not overruled.
        ("development", "passed", "finished", None),
        ("development", "passed", "delivered", None),
        ("development", "passed", "canceled", None),
        ("qa", "passed", "accepted", None),
        ("qa", "passed", "rejected", None),
        ("qa", "failed", "accepted", None),
        ("refinement", "passed", "finished", None),
    ],
)
def test_where_a_result_moves_the_issue(work_type, outcome, state, expected):
    assert issue_rules.concluded(work_type, outcome, state) == expected


def test_the_start_of_development_moves_the_issue_and_no_other_work_does():
    assert issue_rules.begun("development", "backlog") == "started"
    assert issue_rules.begun("development", None) == "started"
    assert issue_rules.begun("development", "started") is None
    assert issue_rules.begun("development", "canceled") is None
    assert issue_rules.begun("qa", "finished") is None
