"""The outbox: rows of one session one after the other, sessions apart."""

import asyncio

import pytest

from persistence import database, outbox


@pytest.fixture
async def line(make, jobs_database):
    """Uses the outbox as the job process does, in this test's organization alone."""
    # What other tests left is none of this test's business.
    await make.owner.execute(
        "update outbox set status = 'dead' where status in ('waiting', 'sending')"
    )
    return Line(make, jobs_database)


class Line:
    def __init__(self, make, jobs_database):
        self.make, self.jobs = make, jobs_database

    async def add(self, session_id, *texts):
        async with database.transaction() as db:
            for text in texts:
                await outbox.add(db, self.make.org_id, session_id, "activity", {"text": text})

    async def take(self):
        with database.using(self.jobs):
            async with database.transaction() as db:
                return await outbox.next_due(db, 60)

    async def settle(self, row, status="sent", error=None):
        with database.using(self.jobs):
            async with database.transaction() as db:
                await outbox.settle(db, row.id, status, error)

    async def put_off(self, row, seconds=60.0, most_tries=8):
        with database.using(self.jobs):
            async with database.transaction() as db:
                return await outbox.put_off(db, row, seconds, most_tries, "no answer")

    async def stored(self):
        rows = await self.make.owner.execute(
            "select o.*, extract(epoch from o.next_try_at - now()) as seconds_left"
            "  from outbox o where org_id = %s order by id",
            (self.make.org_id,),
        )
        return await rows.fetchall()

    async def later(self, seconds):
        await self.make.owner.execute(
            "update outbox set next_try_at = next_try_at - make_interval(secs => %s)"
            " where org_id = %s",
            (seconds, self.make.org_id),
        )


def text_of(row):
    return row and row.payload["text"]


async def test_rows_of_a_session_come_one_after_the_other(make, line):
    session_id = await make.session()
    await line.add(session_id, "a", "b")

    first = await line.take()
    meanwhile = await line.take()
    await line.settle(first)
    second = await line.take()

    assert (text_of(first), meanwhile, text_of(second)) == ("a", None, "b")
    assert [row.status for row in await line.stored()] == ["sent", "sending"]
    assert (await line.stored())[0].sent_at is not None


async def test_sessions_do_not_wait_for_each_other(make, line):
    one, other = await make.session(), await make.session()
    await line.add(one, "a1", "a2")
    await line.add(other, "b1")

    taken = [text_of(await line.take()) for _ in range(3)]

    assert taken == ["a1", "b1", None]


async def test_a_row_put_off_holds_back_its_session_until_it_is_due(make, line):
    session_id = await make.session()
    await line.add(session_id, "a", "b")

    await line.put_off(await line.take(), seconds=100)
    waiting = await line.take()
    (row, _) = await line.stored()
    await line.later(126)
    again = await line.take()

    assert waiting is None
    assert 99 < row.seconds_left <= 126
    assert (row.status, row.attempts, row.last_error) == ("waiting", 1, "no answer")
    assert (text_of(again), again.attempts) == ("a", 2)


async def test_the_last_try_gives_up_and_the_next_row_goes_on(make, line):
    session_id = await make.session()
    await line.add(session_id, "a", "b")

    became = await line.put_off(await line.take(), most_tries=1)
    following = await line.take()

    assert became == "dead"
    assert text_of(following) == "b"


async def test_a_row_whose_sender_is_gone_is_due_again(make, line):
    session_id = await make.session()
    await line.add(session_id, "a", "b")
    lost = await line.take()

    await line.later(59)
    early = await line.take()
    await line.later(2)
    again = await line.take()

    assert early is None
    assert (again.id, again.created_at, again.attempts) == (lost.id, lost.created_at, 2)


async def test_who_comes_too_late_cannot_put_off_what_another_has_taken(make, line):
    session_id = await make.session()
    await line.add(session_id, "a")
    late = await line.take()
    await line.later(61)
    await line.take()

    said = await line.put_off(late, most_tries=1)

    assert said == "sending"
    assert [row.status for row in await line.stored()] == ["sending"]


async def test_holding_back_moves_what_waits_in_the_organization_and_nothing_else(make, line):
    one, other = await make.session(), await make.session()
    await line.add(one, "a1", "a2")
    await line.add(other, "b1")
    taken = await line.take()

    with database.using(line.jobs):
        async with database.transaction() as db:
            await outbox.hold_back(db, make.org_id, 300)
            await outbox.hold_back(db, "org_other", 3000)

    left = {row.payload["text"]: round(row.seconds_left) for row in await line.stored()}
    assert text_of(taken) == "a1"
    assert left["a1"] <= 60
    assert left["a2"] == left["b1"] == 300
    assert await line.take() is None


async def test_many_at_once_never_take_one_row_twice(make, line):
    sessions = [await make.session() for _ in range(5)]
    for session_id in sessions:
        await line.add(session_id, *(f"{session_id}-{n}" for n in range(4)))

    async def work():
        taken = []
        while row := await line.take():
            taken.append(text_of(row))
            await line.settle(row)
        return taken

    shares = await asyncio.gather(*(work() for _ in range(8)))

    everything = [text for share in shares for text in share]
    assert len(everything) == len(set(everything)) == 20
    rows = await line.stored()
    for session_id in sessions:
        sent = [row for row in rows if row.session_id == session_id]
        assert [row.sent_at for row in sent] == sorted(row.sent_at for row in sent)
        assert {row.attempts for row in sent} == {1}


async def test_the_web_may_add_and_do_nothing_else(make, line):
    from sqlalchemy import exc, text

    for statement in ("select 1 from outbox", "update outbox set kind = 'x'", "delete from outbox"):
        with pytest.raises(exc.ProgrammingError):
            async with database.transaction() as db:
                await db.execute(text(statement))
