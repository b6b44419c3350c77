"""Every state of two workers and up to three sessions: nothing stuck, lost, doubled or leaked."""

import pytest

from tests.models import wrong_rules
from tests.models.leases import Rules, Scope
from tests.models.promises import Broken, explore
from tests.sampling import few

REPORTS = ("running", "finalizing", "completed", "stopped")
HAND_OVERS = ("nack", "transfer", "bye", "return", "stop", "prompt")
CALLS = ("poll", "lost poll", "write", "call", "read", "beat", "tick", "sweep")

# Three sessions: who gets what, room, leases, attempts, taking back.
THREE = Scope(sessions=3, capacity=2, epochs=False)
# Every way a session changes hands, every report, and who knows which epoch.
HANDS = Scope(sessions=1, capacity=1, reports=REPORTS, kinds=(*CALLS, "claim", *HAND_OVERS))
# Heartbeats that count too few, answers of polls that are lost.
LIES = Scope(
    sessions=1, capacity=1, counts=(0, 1),
    kinds=("poll", "lost poll", "call", "read", "beat", "tick", "sweep"),
)  # fmt: skip
# A slot that is taken by what was stopped, beside a session that waits.
BESIDE = Scope(
    sessions=2, capacity=1, epochs=False, reports=("completed",),
    kinds=("poll", "write", "beat", "stop", "tick", "sweep"),
)  # fmt: skip
# The same at a size that takes minutes.
TWO_HANDS = Scope(
    sessions=2, capacity=1, epochs=False, attempts=1, nacks=1, reports=("running", "completed"),
    kinds=("poll", "claim", "write", "beat", *HAND_OVERS, "tick", "sweep"),
)  # fmt: skip
TWO_LIES = Scope(
    sessions=2, capacity=2, epochs=False, attempts=1, counts=(0, 1, 2),
    kinds=("poll", "lost poll", "call", "beat", "tick", "sweep"),
)  # fmt: skip


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(THREE, id="three sessions"),
        pytest.param(HANDS, id="every hand over"),
        pytest.param(LIES, id="wrong counts and lost answers"),
        pytest.param(TWO_HANDS, id="two sessions handed over", marks=pytest.mark.prove),
        pytest.param(TWO_LIES, id="two sessions counted wrongly", marks=pytest.mark.prove),
    ],
)
def test_every_reachable_state_keeps_every_promise_and_can_end(scope):
    explored = explore(Rules(scope))

    print(f"\n{len(explored.found)} states, {explored.edges} steps")
    assert len(explored.found) > 3000
    if "write" in scope.kinds:
        assert explored.stuck() == []


def explore_all(rules):
    for scope in (BESIDE, HANDS, LIES):
        explored = explore(rules(scope))
        if "write" in scope.kinds and explored.stuck():
            raise Broken("every session can end")


@pytest.mark.parametrize("wrong", few(wrong_rules.BREAK_A_PROMISE, 12))
def test_a_rule_told_wrongly_breaks_a_promise(wrong):
    with pytest.raises(Broken) as broken:
        explore_all(wrong)

    print(f"\n{wrong.__name__}: {str(broken.value).split(':')[0]}")
