"""One session through all its statuses, in whatever order callers think of."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from domain.session_states import public_status
from tests.machines.front_door import SIZES, Machine, run

HELD = ("claimed", "running", "finalizing")
# What a report does, told again: rows are what is, columns what is reported.
#               running finalizing completed failed stopped
TABLE = {
    "claimed": (">", "x", ">", ">", ">"),
    "running": ("=", ">", ">", ">", ">"),
    "finalizing": ("x", "=", ">", ">", ">"),
    "completed": ("x", "x", "=", "x", "x"),
    "failed": ("x", "x", "x", "=", "x"),
    "stopped": ("x", "s", "s", "s", "s"),
}
REPORTS = ("running", "finalizing", "completed", "failed", "stopped")


class SessionMachine(Machine):
    """Two workers, a person, and one session between them."""

    def begin(self):
        self.workers = [self.wait(self.make.worker()) for _ in range(2)]
        self.id = self.wait(self.make.session())
        self.status, self.owner, self.slot, self.epoch = "pending", None, None, 0
        self.cost, self.prompt = None, None
        self.happened = []

    def happens(self, status):
        self.status = status
        self.happened.append(f"session.{status}")

    @rule(w=st.sampled_from((0, 1)))
    def poll_for_work(self, w):
        said = self.poll(self.workers[w])

        if self.status != "pending":
            assert said["work"] == []
            return
        assert said["claimedSessionIds"] == [self.id]
        assert said["work"][0].get("prompt") == self.prompt
        self.epoch += 1
        self.owner = self.slot = w
        self.happens("claimed")

    @rule(
        by_holder=st.sampled_from((True, True, True, False)),
        reported=st.sampled_from(REPORTS),
        named=st.sampled_from((None, 0, -1)),
        times=st.sampled_from((1, 2)),
    )
    def report(self, by_holder, reported, named, times):
        w = (self.owner or 0) if by_holder else 1 - (self.owner or 0)
        for _ in range(times):
            cost = float(len(self.happened))
            body = {} if named is None else {"leaseEpoch": self.epoch + named}
            if named == -1 and self.epoch == 0:
                body = {}
            answer = self.about(
                self.workers[w], self.id, "status", status=reported, totalCostUsd=cost, **body
            )
            self._follow(answer, w, reported, body.get("leaseEpoch", self.epoch), cost)

    def _follow(self, answer, w, reported, epoch, cost):
        if self.owner != w or epoch != self.epoch:
            assert answer.status_code == 403
            assert "owned by another worker" in answer.json()["error"]
            return
        mark = TABLE[self.status][REPORTS.index(reported)]
        assert answer.status_code == (409 if mark == "x" else 200), answer.text
        if mark == "x":
            return
        if reported != "running":
            self.cost = cost
        if mark == "s":
            self.slot = None
        if mark == ">":
            self.happens(reported)
            self.slot = w if reported in HELD else None
        assert answer.json()["session"]["status"] == self.status

    @rule()
    def stop(self):
        answer = self.steer(self.id, "stop")

        if self.status in {"completed", "failed"}:
            assert answer.status_code == 409
            return
        said = answer.json()
        assert (said["previousStatus"], said["newStatus"]) == (self.status, "stopped")
        if self.status != "stopped":
            self.happens("stopped")

    @rule(text=st.sampled_from(("Go on", "Also the refunds")))
    def prompt_it(self, text):
        answer = self.steer(self.id, "prompt", prompt=text)

        self.happened.append("session.prompted")
        if self.status in {"completed", "failed", "stopped"}:
            self.status, self.owner, self.slot, self.prompt = "pending", None, None, text
            self.happened.append("session.queued")
        assert answer.json()["status"] == public_status(self.status)

    @precondition(lambda self: self.owner is not None)
    @rule()
    def leave_it_to_the_other(self):
        old, new = self.owner, 1 - self.owner
        answer = self.about(
            self.workers[new],
            self.id,
            "transfer-ownership",
            newWorkerId=self.workers[new].id,
            oldWorkerId=self.workers[old].id,
        )

        assert answer.json()["transferred"] is (self.status in HELD)
        if self.status in HELD:
            self.owner = self.slot = new
            self.happened.append("session.transferred")

    @invariant()
    def what_is_read_is_what_happened(self):
        state = self.wait(self.workers[0].client.get(f"/api/sessions/{self.id}/status")).json()
        owner = None if self.owner is None else self.workers[self.owner].id
        slot = None if self.slot is None else self.workers[self.slot].id

        assert (state["status"], state["workerId"]) == (self.status, owner)
        assert state["leaseEpoch"] == self.epoch
        assert state.get("totalCostUsd") == self.cost
        assert self.stored(self.id).slot_worker_id == slot

    def teardown(self):
        rows = self.rows(
            "select event_type from happened where org_id = %(org)s and entity_id = %(id)s"
            " order by place",
            id=self.id,
        )
        assert [row.event_type for row in rows] == self.happened
        # The next run's workers are not to find it.
        self.change(
            "update sessions set status = 'completed', slot_worker_id = null where id = %(id)s",
            id=self.id,
        )


@pytest.mark.parametrize("size", SIZES)
def test_a_session_is_always_in_the_status_that_its_reports_make(door, size):
    run(SessionMachine, door, size)
