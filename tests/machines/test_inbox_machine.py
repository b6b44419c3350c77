"""The inbox: what is offered, when again, how often, and to whom after a hand-over."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from persistence import database, inbox, sessions
from tests.machines.front_door import SIZES, Machine, run

MOST_OFFERS = 5
MOST_PER_SESSION = 10


@dataclass
class Message:
    text: str
    lane: str
    id: str = ""
    offers: int = 0
    lately: bool = False
    over: bool = False  # acknowledged, or withdrawn


class InboxMachine(Machine):
    """Two workers, two sessions, and what people say to the agents."""

    def begin(self):
        self.project = self.wait(self.make.project())
        self.key = self.wait(self.make.key(projects=[self.project]))
        self.workers = [self._worker() for _ in range(2)]
        self.said, self.status, self.holder = {}, {}, {}
        self.issues = {}
        for _ in range(2):
            session_id = self.wait(self.make.session(self.project))
            self.said[session_id], self.status[session_id] = [], "pending"
            self.issues[session_id] = self.stored(session_id).issue_id
        self.number = 0

    def _worker(self):
        return self.wait(self.make.worker(key=self.key))

    def due(self, w):
        """What the worker's next poll must offer, by session and in order."""
        offered = {}
        for session_id, messages in self.said.items():
            working = self.status[session_id] in {"running", "winding down"}
            if not working or self.holder[session_id] != w:
                continue
            left = [m for m in messages if not m.over]
            held_back = any(m.lane == "urgent" and m.offers == 0 for m in left)
            ready = [
                m for m in left
                if m.offers < MOST_OFFERS and not m.lately
                and (m.lane == "urgent" or not held_back)
            ]  # fmt: skip
            ready.sort(key=lambda m: m.lane == "normal")
            if ready:
                offered[session_id] = ready[:MOST_PER_SESSION]
        return offered

    @rule(w=st.integers(0, 1))
    def poll_for_messages(self, w):
        due = self.due(w)
        pending = [each for each in self.said if self.status[each] == "pending"]

        said = self.poll(self.workers[w])

        assert sorted(said["claimedSessionIds"]) == sorted(pending)
        for session_id in pending:
            self.status[session_id], self.holder[session_id] = "claimed", w
        offered = said["inboxMessages"]
        assert {s: [m["payload"] for m in offered[s]] for s in offered} == {
            s: [m.text for m in due[s]] for s in due
        }
        assert said["hasInboxMessages"] is bool(due)
        for session_id, messages in due.items():
            for mine, theirs in zip(messages, offered[session_id], strict=True):
                assert theirs["lane"] == mine.lane
                assert mine.id in {"", theirs["id"]}
                mine.id, mine.lately = theirs["id"], True
                mine.offers += 1

    @precondition(lambda self: "claimed" in self.status.values())
    @rule()
    def begin_to_work(self):
        for session_id, status in self.status.items():
            if status == "claimed":
                worker = self.workers[self.holder[session_id]]
                self.about(worker, session_id, "status", status="running")
                self.status[session_id] = "running"

    @rule(data=st.data(), many=st.sampled_from((1, 2, 12)))
    def say(self, data, many):
        session_id = data.draw(st.sampled_from(list(self.said)))
        for _ in range(many):
            self.number += 1
            text = f"text {self.number}"
            self.steer(session_id, "prompt", prompt=text)
            if self.status[session_id] in {"ended", "winding down"}:
                self.status[session_id] = "pending"
                for message in self.said[session_id]:
                    message.over = message.over or message.text.startswith("Stop")
            else:
                self.said[session_id].append(Message(text, "urgent"))

    @rule(data=st.data())
    def nudge(self, data):
        session_id = data.draw(st.sampled_from(list(self.said)))
        self.number += 1
        text = f"text {self.number}"

        async def put():
            async with database.transaction() as db:
                await sessions.lock_by_id(db, self.make.org_id, session_id)
                await inbox.put(db, self.make.org_id, session_id, "nudge", text)

        self.wait(put())
        self.said[session_id].append(Message(text, "normal"))

    @precondition(lambda self: "running" in self.status.values())
    @rule(data=st.data(), how=st.sampled_from(("ack", "lock-refresh")), times=st.integers(1, 2))
    def acknowledge(self, data, how, times):
        working = [s for s, status in self.status.items() if status == "running"]
        session_id = data.draw(st.sampled_from(working))
        offered = [m for m in self.said[session_id] if m.id]
        if not offered:
            return
        message = data.draw(st.sampled_from(offered))
        worker = self.workers[self.holder[session_id]]
        for _ in range(times):
            if how == "ack":
                answer = self.about(
                    worker, session_id, "inbox/ack", messageId=message.id, lane=message.lane
                )
            else:
                body = {"issueId": self.issues[session_id], "acknowledged": [message.id]}
                answer = self.about(worker, session_id, "lock-refresh", **body)
            assert answer.status_code == 200, answer.text
        message.over = True

    @rule()
    def let_half_a_minute_pass(self):
        for messages in self.said.values():
            for message in messages:
                message.lately = False
        self.change(
            "update inbox_messages set offered_at = offered_at - interval '31 s'"
            " where org_id = %(org)s"
        )

    @rule(w=st.integers(0, 1))
    def leave(self, w):
        """The worker says good-bye; who takes over gets what was not acknowledged."""
        self.wait(self.workers[w].client.delete(f"/api/workers/{self.workers[w].id}"))
        self.workers[w] = self._worker()
        for session_id, status in self.status.items():
            if self.holder.get(session_id) == w and status in {"claimed", "running"}:
                self.status[session_id] = "pending"
            elif self.holder.get(session_id) == w and status == "winding down":
                self.status[session_id] = "ended"

    @precondition(lambda self: "running" in self.status.values())
    @rule(data=st.data(), how=st.sampled_from(("complete", "stop")))
    def end(self, data, how):
        working = [s for s, status in self.status.items() if status == "running"]
        session_id = data.draw(st.sampled_from(working))
        if how == "stop":
            self.steer(session_id, "stop")
            self.said[session_id].append(Message("Stop signal received", "urgent"))
            self.status[session_id] = "winding down"
        else:
            worker = self.workers[self.holder[session_id]]
            self.about(worker, session_id, "status", status="completed")
            self.status[session_id] = "ended"

    @precondition(lambda self: "winding down" in self.status.values())
    @rule()
    def say_that_it_stopped(self):
        for session_id, status in self.status.items():
            if status == "winding down":
                worker = self.workers[self.holder[session_id]]
                self.about(worker, session_id, "status", status="finalizing")
                self.status[session_id] = "ended"

    def teardown(self):
        """Every message was acknowledged or withdrawn, or is offered to the end of its offers."""
        for session_id, status in self.status.items():
            if status in {"ended", "winding down"}:
                self.steer(session_id, "prompt", prompt="Go on")
                self.status[session_id] = "pending"
                for message in self.said[session_id]:
                    message.over = message.over or message.text.startswith("Stop")
        self.poll_for_messages(0)
        self.begin_to_work()
        left = sum(len(messages) for messages in self.said.values())
        for _ in range(MOST_OFFERS * (left // MOST_PER_SESSION + 2)):
            self.let_half_a_minute_pass()
            for w in (0, 1):
                self.poll_for_messages(w)
        for messages in self.said.values():
            assert all(m.over or m.offers == MOST_OFFERS for m in messages)
        self.leave(0)
        self.leave(1)


@pytest.mark.parametrize("size", SIZES)
def test_each_message_is_offered_to_its_sessions_holder_and_to_nobody_else(door, size):
    run(InboxMachine, door, size)
