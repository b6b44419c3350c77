"""What must be true after a run of the acceptance scenario."""

from tests.acceptance.scenario import Outcome, Plan
from tests.acceptance.table import LINES


def keeps_its_promises(outcome: Outcome, plan: Plan) -> None:
    journal = outcome.journal
    rows = {row.id: row for row in outcome.rows}

    # Every session has ended once, as it should, and holds nothing any more.
    assert outcome.statuses == {
        "completed": plan.sessions - plan.stopped - plan.failed,
        "stopped": plan.stopped,
        "failed": plan.failed,
    }
    assert outcome.ends == dict.fromkeys(rows, 1)
    assert not [row for row in outcome.rows if row.slot_worker_id or row.holds_issue]

    # Every line of the table was spoken, and no answer broke the client.
    unspoken = {line for line in LINES if not journal.of(line)}
    assert unspoken == set()
    assert journal.broken == []
    assert [error for each in outcome.workers for error in each.failures] == []

    # Line 9's own id never overwrote the one of line 11.
    completed = [row for row in outcome.rows if row.status == "completed"]
    assert all(row.provider_session_id.startswith(f"agent-{row.id}-") for row in completed)

    # The issue's state lets the client do the kind of work that was queued, the first time.
    # A run that had no answer before it knew the state has chosen nothing.
    chosen = {
        session_id: [run for run in outcome.runs(session_id) if run.work_type]
        for session_id in outcome.wanted
        if rows[session_id].attempts == 0
    }
    first = {session_id: runs[0] for session_id, runs in chosen.items() if runs}
    assert {sid: run.work_type for sid, run in first.items()} == {
        sid: outcome.wanted[sid] for sid in first
    }

    # Each word reached the agent that it was for, and nobody else.
    for session_id, word in outcome.words.items():
        assert outcome.runs(session_id)[-1].heard == [word]
    silent = [run for each in outcome.workers for run in each.ended if run.id not in outcome.words]
    assert [run.heard for run in silent if run.heard] == []

    # What a worker lost, whether by kill -9 or by standing still, another one finished.
    assert len(outcome.held_at_crash) == plan.crashed
    assert all(rows[each].attempts > 0 for each in outcome.held_at_crash)
    assert len(outcome.held_while_frozen) == plan.frozen
    for session_id in outcome.held_while_frozen:
        # The one that stood still heard of it, and left the session alone.
        assert "taken" in [run.ended for run in outcome.runs(session_id)]
    assert len(outcome.held_at_restart) == plan.restarted
    assert outcome.count("transferred") >= plan.transferred
    assert outcome.count("registered again") >= 2
    assert outcome.count("inbox") >= plan.told
