"""Several sessions of one issue: one at a time, and everyone's turn comes."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from jobs.deliver_events import deliver_events
from jobs.promote_parked import promote_parked
from tests.conftest import LINEAR_SECRET
from tests.factories import linear_event, signed
from tests.machines.front_door import SIZES, Machine, run

STATES = {"Backlog": "development", "Finished": "qa", "Delivered": "acceptance"}
HELD = ("claimed", "running")
MOST = 8


class IssueMachine(Machine):
    """An issue whose sessions come from its tracker, and two workers of one machine."""

    numbers = iter(range(10**6))

    def begin(self):
        self.project = self.wait(self.make.project())
        key = self.wait(self.make.key(projects=[self.project]))
        self.workers = [self.wait(self.make.worker(key=key)) for _ in range(2)]
        number = next(self.numbers)
        self.workspace, self.issue = f"lin-{self.make.slug}-{number}", f"issue-m{number}"
        answer = self.wait(
            self.make.system.post(
                f"/api/org/{self.make.org_id}/workspaces",
                json={"provider": "linear", "workspaceId": self.workspace,
                      "projectId": self.project},
            )
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        self.anonymous = self.make.client()
        self.status, self.kind, self.place, self.owner = {}, {}, {}, {}
        self.holder = None

    def of(self, *statuses):
        return [each for each, status in self.status.items() if status in statuses]

    def queue(self, session_id, priority):
        """It takes the issue when that is free, and is parked when it is not."""
        self.place[session_id] = (priority, next(self.numbers))
        self.status[session_id] = "parked" if self.holder else "queued"
        if self.holder is None:
            self.holder = session_id

    def let_go(self, session_id, status):
        self.status[session_id] = status
        if self.holder == session_id:
            self.holder = None

    @precondition(lambda self: len(self.status) < MOST)
    @rule(state=st.sampled_from(sorted(STATES)))
    def ask_for_work(self, state):
        event = linear_event(self.workspace, id=self.issue, state={"name": state})
        session_id, kind = event["agentSession"]["id"], STATES[state]
        self.wait(
            self.anonymous.post("/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event))
        )
        self.job(deliver_events)

        self.kind[session_id] = kind
        self.queue(session_id, self.stored(session_id).priority)
        if self.status[session_id] == "parked":
            for older in self.of("parked"):
                if older != session_id and self.kind[older] == kind:
                    self.status[older] = "stopped"

    @rule(w=st.integers(0, 1))
    def poll_for_work(self, w):
        claimed = self.poll(self.workers[w])["claimedSessionIds"]

        assert claimed == self.of("queued")
        for session_id in claimed:
            self.status[session_id], self.owner[session_id] = "claimed", w

    @precondition(lambda self: self.of(*HELD))
    @rule(status=st.sampled_from(("running", "completed", "failed")))
    def report(self, status):
        (session_id,) = self.of(*HELD)
        self.about(self.workers[self.owner[session_id]], session_id, "status", status=status)
        if status == "running":
            self.status[session_id] = status
        else:
            self.let_go(session_id, status)

    @precondition(lambda self: self.of("queued", "parked", *HELD))
    @rule(data=st.data())
    def stop(self, data):
        session_id = data.draw(st.sampled_from(self.of("queued", "parked", *HELD)))
        assert self.steer(session_id, "stop").json()["newStatus"] == "stopped"
        self.let_go(session_id, "stopped")

    @precondition(lambda self: self.of("completed", "failed", "stopped"))
    @rule(data=st.data())
    def prompt_again(self, data):
        session_id = data.draw(st.sampled_from(self.of("completed", "failed", "stopped")))
        answer = self.steer(session_id, "prompt", prompt="Go on")
        self.owner.pop(session_id, None)
        self.queue(session_id, 2)
        assert answer.json()["status"] == self.status[session_id]

    @precondition(lambda self: self.of("claimed"))
    @rule()
    def nack(self):
        (session_id,) = self.of("claimed")
        work = {"sessionId": session_id, "issueId": "", "issueIdentifier": "", "priority": 1,
                "queuedAt": 0}  # fmt: skip
        w = self.owner.pop(session_id)
        assert self.about(self.workers[w], session_id, "nack", work=work).json()["requeued"]
        self.status[session_id] = "queued"
        self.change(
            "update session_nacks set nacked_at = nacked_at - interval '61 s'"
            " where org_id = %(org)s"
        )

    @precondition(lambda self: self.of(*HELD))
    @rule()
    def hand_over(self):
        (session_id,) = self.of(*HELD)
        old = self.owner[session_id]
        new = 1 - old
        ids = {"newWorkerId": self.workers[new].id, "oldWorkerId": self.workers[old].id}
        answer = self.about(self.workers[new], session_id, "transfer-ownership", **ids)
        assert answer.json()["transferred"] is True
        self.owner[session_id] = new

    @precondition(lambda self: self.status)
    @rule(w=st.integers(0, 1), data=st.data())
    def refresh_the_lock(self, w, data):
        session_id = data.draw(st.sampled_from(list(self.status)))
        answer = self.about(self.workers[w], session_id, "lock-refresh", issueId=self.issue)

        if self.owner.get(session_id) != w:
            assert answer.status_code == 403
            return
        held = session_id == self.holder
        assert held is (self.status[session_id] in HELD)
        stop = {"stop": True} if self.status[session_id] == "stopped" else {}
        assert answer.json() == {"refreshed": held, **stop}

    @rule()
    def promote(self):
        self.job(promote_parked)
        parked = sorted(self.of("parked"), key=self.place.__getitem__)
        if parked and self.holder is None:
            self.holder = parked[0]
            self.status[self.holder] = "queued"

    @invariant()
    def the_issue_is_held_by_one_and_the_others_wait(self):
        rows = self.rows(
            "select id, status, waits_for, holds_issue from sessions"
            " where org_id = %(org)s and issue_id = %(issue)s",
            issue=self.issue,
        )
        words = {"queued": ("pending", None), "parked": ("pending", "issue")}
        assert {row.id: (row.status, row.waits_for) for row in rows} == {
            each: words.get(status, (status, None)) for each, status in self.status.items()
        }
        assert [row.id for row in rows if row.holds_issue] == [self.holder][: bool(self.holder)]

    def teardown(self):
        """Everyone's turn comes, once those before have ended."""
        for _ in range(2 * MOST):
            self.promote()
            self.poll_for_work(0)
            if self.of(*HELD):
                self.report("completed")
        self.the_issue_is_held_by_one_and_the_others_wait()
        assert self.of("queued", "parked", *HELD) == []


@pytest.mark.parametrize("size", SIZES)
def test_one_session_of_an_issue_works_and_everyones_turn_comes(door, size):
    run(IssueMachine, door, size)
