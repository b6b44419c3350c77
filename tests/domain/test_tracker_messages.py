"""What a session's reports look like in the tracker."""

import pytest

from domain import tracker_messages as messages


@pytest.mark.parametrize(
    ("session_id", "provider_session_id", "target"),
    [
        ("ses-1", None, "ses-1"),
        ("ses-1", "claude-7", "ses-1"),
        ("ses-1", "governor-7", None),
        ("governor-1", None, None),
        ("governor-1", "governor-2", None),
        ("governor-1", "ses-9", "ses-9"),
    ],
)
def test_a_session_writes_to_the_agent_session_it_is_bound_to(
    session_id, provider_session_id, target
):
    assert messages.agent_session_of(session_id, provider_session_id) == target


@pytest.mark.parametrize("kind", ["thought", "response", "error"])
def test_texts_are_told_as_they_are(kind):
    assert messages.activity({"type": kind, "content": "Hm"}) == {"type": kind, "body": "Hm"}


def test_an_action_is_told_with_its_tool_and_result():
    action = {"type": "action", "content": "Ran the tests", "toolName": "Bash", "toolOutput": "ok"}

    assert messages.activity(action) == {
        "type": "action",
        "action": "Bash",
        "parameter": "Ran the tests",
        "result": "ok",
    }
    assert messages.activity({"type": "action", "content": "x"}) == {
        "type": "action",
        "action": "Step",
        "parameter": "x",
    }


@pytest.mark.parametrize("kind", ["context", "progress"])
def test_other_activities_are_not_told(kind):
    assert messages.activity({"type": kind, "content": "x"}) is None


def test_a_short_text_is_one_comment_without_a_header():
    assert messages.comments("Done.") == (["Done."], 0)
    assert messages.comments("x" * 9_900) == (["x" * 9_900], 0)


def test_a_long_text_is_split_between_paragraphs_and_numbered():
    text = "\n\n".join(["word " * 900] * 5)

    parts, left = messages.comments(text)

    assert left == 0
    assert [part.splitlines()[0] for part in parts] == [
        f"**Part {n} of {len(parts)}**" for n in range(1, len(parts) + 1)
    ]
    assert all(len(part) <= 10_000 for part in parts)
    assert " ".join(part.partition("\n\n")[2] for part in parts).split() == text.split()


def test_a_text_without_any_break_loses_nothing():
    parts, left = messages.comments("x" * 25_000)

    assert left == 0
    assert sum(part.count("x") for part in parts) == 25_000
    assert all(len(part) <= 10_000 for part in parts)


def test_ten_comments_are_the_most_and_the_rest_is_counted():
    parts, left = messages.comments("x" * 100_000)

    assert len(parts) == 10
    assert left == 100_000 - 10 * 9_900


def test_a_plan_is_a_list_of_boxes():
    plan = [
        {"title": "Read", "state": "completed"},
        {"title": "Write", "state": "inProgress"},
        {"title": "Rest", "state": "canceled"},
        {"title": "Later", "state": "pending"},
    ]

    assert messages.completion("Done.", plan).splitlines() == [
        "Done.",
        "",
        "- [x] Read",
        "- [ ] Write (in progress)",
        "- [ ] Rest (canceled)",
        "- [ ] Later",
    ]
    assert messages.completion("Done.", None) == "Done."


def test_a_failure_says_why_when_it_closes():
    assert messages.closing("failed", "it {broke}") == {
        "type": "response",
        "body": "The session failed: it {broke}",
    }


def test_a_broken_tool_is_told_in_bounds():
    title, description = messages.tool_error("Bash", "\n", {"Session": "ses-1"})
    long_title, long = messages.tool_error("Bash", "x``` " * 9_000, {"Tool": "Bash", "Issue": None})

    assert title == "Tool error: Bash: "
    assert "- Session: ses-1" in description
    assert len(long_title) <= 200
    assert len(long) <= 10_000
    assert long.count("```") == 2
    assert "- Tool: Bash" in long
