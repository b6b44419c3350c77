"""The queue: who gets what, in which order, and that nothing stays behind."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from persistence import handover
from tests.machines.front_door import SIZES, Machine, run

MOST_NACKS = 3
NAMES = ("billing", "shop", None)
FILTERS = ([], ["billing"], ["billing", "shop"])


class QueueMachine(Machine):
    """Three workers with filters of their own, and sessions of three projects' names."""

    def begin(self):
        self.project = self.wait(self.make.project())
        key = self.wait(self.make.key(projects=[self.project]))
        self.workers = [
            self.wait(self.make.worker(key=key, capacity=2, projects=names)) for names in FILTERS
        ]
        self.capacity, self.draining = [2, 2, 2], [False] * 3
        self.names, self.priority = {}, {}  # by session, in the order of their coming
        self.waiting, self.for_a_person = set(), set()
        self.held, self.stopped = {}, {}  # by whom
        self.nacks, self.nacked = {}, set()
        self.done = []

    def room(self, w):
        return self.capacity[w] - sum(h == w for h in (*self.held.values(), *self.stopped.values()))

    def fits(self, w, session_id):
        return (
            session_id in self.waiting
            and session_id not in self.for_a_person
            and (not FILTERS[w] or self.names[session_id] in FILTERS[w])
            and (session_id, w) not in self.nacked
        )

    @rule(priority=st.integers(1, 3), name=st.sampled_from(NAMES), many=st.sampled_from((1, 1, 4)))
    def enqueue(self, priority, name, many):
        for _ in range(many):
            session_id = self.wait(
                self.make.session(self.project, priority=priority, project_name=name)
            )
            self.names[session_id], self.priority[session_id] = name, priority
            self.waiting.add(session_id)

    @rule(w=st.integers(0, 2))
    def poll_for_work(self, w):
        fitting = [each for each in self.names if self.fits(w, each)]
        best = sorted(fitting, key=self.priority.__getitem__)[: max(0, min(5, self.room(w)))]

        claimed = self.poll(self.workers[w])["claimedSessionIds"]

        assert claimed == ([] if self.draining[w] else best)
        self.waiting -= set(claimed)
        self.held |= dict.fromkeys(claimed, w)

    @precondition(lambda self: self.names)
    @rule(w=st.integers(0, 2), data=st.data())
    def claim_by_name(self, w, data):
        session_id = data.draw(st.sampled_from(list(self.names)))

        said = self.about(self.workers[w], session_id, "claim").json()

        may = self.fits(w, session_id) and self.room(w) > 0 and not self.draining[w]
        again = self.held.get(session_id) == w and self.stored(session_id).status == "claimed"
        assert said["claimed"] is (may or again)
        if may:
            self.waiting.discard(session_id)
            self.held[session_id] = w

    @precondition(lambda self: self.held)
    @rule(data=st.data(), status=st.sampled_from(("running", "completed", "failed")))
    def report(self, data, status):
        session_id, w = data.draw(st.sampled_from(list(self.held.items())))

        answer = self.about(self.workers[w], session_id, "status", status=status)

        assert answer.status_code == 200
        if status != "running":
            del self.held[session_id]
            self.done.append(session_id)

    @precondition(lambda self: self.names)
    @rule(w=st.integers(0, 2), data=st.data())
    def nack(self, w, data):
        session_id = data.draw(st.sampled_from(list(self.held) or list(self.names)))
        w = self.held.get(session_id, w)
        claimed = session_id in self.held and self.stored(session_id).status == "claimed"
        work = {"sessionId": session_id, "issueId": "", "issueIdentifier": "", "priority": 9,
                "queuedAt": 0}  # fmt: skip

        answer = self.about(self.workers[w], session_id, "nack", work=work)

        assert (answer.status_code == 200 and answer.json()["requeued"]) is claimed
        if claimed:
            del self.held[session_id]
            self.waiting.add(session_id)
            self.nacked.add((session_id, w))
            assert self.stored(session_id).priority == self.priority[session_id]
            self.nacks[session_id] = self.nacks.get(session_id, 0) + 1
            if self.nacks[session_id] >= MOST_NACKS:
                self.for_a_person.add(session_id)

    @precondition(lambda self: self.for_a_person)
    @rule()
    def let_a_person_say_go_on(self):
        session_id = next(each for each in self.names if each in self.for_a_person)
        self.for_a_person.discard(session_id)
        assert self.steer(session_id, "prompt", prompt="Go on").json()["status"] == "queued"
        del self.nacks[session_id]

    @precondition(lambda self: self.waiting or self.held)
    @rule(data=st.data())
    def stop(self, data):
        # In the order of their coming: ids are random, and every run must draw the same.
        stoppable = [each for each in self.names if each in self.waiting or each in self.held]
        session_id = data.draw(st.sampled_from(stoppable))

        assert self.steer(session_id, "stop").json()["newStatus"] == "stopped"
        if session_id in self.held:
            self.stopped[session_id] = self.held.pop(session_id)
        self.waiting.discard(session_id)
        self.for_a_person.discard(session_id)
        self.done.append(session_id)

    @precondition(lambda self: self.stopped)
    @rule(status=st.sampled_from(("finalizing", "stopped", "failed")))
    def say_that_it_stopped(self, status):
        session_id, w = self.stopped.popitem()
        answer = self.about(self.workers[w], session_id, "status", status=status)
        assert answer.json()["session"]["status"] == "stopped"

    @rule()
    def let_a_minute_pass(self):
        self.nacked.clear()
        self.change(
            "update session_nacks set nacked_at = nacked_at - interval '61 s'"
            " where org_id = %(org)s"
        )

    @rule(w=st.integers(0, 2), capacity=st.sampled_from((0, 1, 2, 3, 9)), draining=st.booleans())
    def change_the_worker(self, w, capacity, draining):
        held = self.capacity[w] - self.room(w)
        status = "draining" if draining else "idle"
        self.beat(self.workers[w], held, maxSessions=capacity, status=status)
        self.capacity[w], self.draining[w] = capacity, draining

    def teardown(self):
        """Nothing is stuck, lost or doubled: one willing worker ends all that is left."""
        self.let_a_minute_pass()
        while self.for_a_person:
            self.let_a_person_say_go_on()
        for session_id in list(self.held):
            self.about(self.workers[self.held[session_id]], session_id, "status", status="failed")
            self.done.append(session_id)
        while self.stopped:
            self.say_that_it_stopped("finalizing")
        self.beat(self.workers[0], 0, maxSessions=5, status="idle")
        while claimed := self.poll(self.workers[0])["claimedSessionIds"]:
            for session_id in claimed:
                self.about(self.workers[0], session_id, "status", status="completed")
            self.done += claimed
        assert sorted(self.done) == sorted(self.names)
        taken = self.rows(
            "select id from sessions where project_id = %(p)s and slot_worker_id is not null",
            p=self.project,
        )
        assert taken == []


@pytest.mark.parametrize("size", SIZES)
def test_the_queue_gives_each_worker_what_is_due_and_leaves_nothing_behind(door, monkeypatch, size):
    monkeypatch.setattr(handover, "MOST_NACKS", MOST_NACKS)

    run(QueueMachine, door, size)
