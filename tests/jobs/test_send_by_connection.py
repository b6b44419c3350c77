"""What is said to Linear is said with the organization's own connection, if it has one."""

from dataclasses import replace

import pytest

import settings
from jobs.send_outbox import send_outbox
from services import linear_access
from tests.outbound.servers import FakeLinear, running

SERVERS, OWN, PROJECTS = "lin_oauth_of_the_tests", "lin_api_of_the_organization", "lin_oauth_x_of_p"


@pytest.fixture(autouse=True)
async def empty(owner, application):
    """Nothing of other tests is left to send."""
    await owner.execute("update outbox set status = 'dead' where status in ('waiting', 'sending')")


@pytest.fixture
async def bare(given):
    """Linear without a credential of the server's."""
    async with running(FakeLinear()) as fake:
        settings.use(replace(given, linear_api_url=fake.url, allowed_private_hosts=(fake.host,)))
        yield fake
        settings.use(given)


async def say(worker, session_id, text="Hm"):
    answer = await worker.client.post(
        f"/api/sessions/{session_id}/activity",
        json={"workerId": worker.id, "activity": {"type": "thought", "content": text}},
    )
    return answer.json()


def credentials(fake):
    return [asked.headers["authorization"] for asked in fake.asked]


async def test_the_organizations_connection_comes_before_the_servers_key(make, run_job, linear):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id)
    await run_job(send_outbox)
    connection_id = await make.connection(token=OWN)
    await say(worker, session_id)
    await run_job(send_outbox)
    await make.org.delete(f"/api/org/{make.org_id}/connections/{connection_id}")
    await say(worker, session_id)
    await run_job(send_outbox)

    assert credentials(linear) == [f"Bearer {SERVERS}", OWN, f"Bearer {SERVERS}"]


async def test_a_connection_is_enough_to_be_forwarded_and_its_end_ends_that(make, run_job, bare):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    without = await say(worker, session_id)
    connection_id = await make.connection(token=OWN)
    accepted = await say(worker, session_id, "Kept")
    await run_job(send_outbox)
    await make.org.delete(f"/api/org/{make.org_id}/connections/{connection_id}")
    after = await say(worker, session_id)

    assert [each["forwarded"] for each in (without, accepted, after)] == [False, True, False]
    assert after["reason"] == "no Linear credential is configured for the organization"
    assert bare.texts() == ["Kept"]
    assert credentials(bare) == [OWN]


async def test_a_project_is_spoken_for_by_the_connection_it_names(make, run_job, bare):
    await make.connection(token=OWN)
    await make.settings_of_project(
        connections={"linear": await make.connection(token=PROJECTS)},
    )
    other = await make.project()
    mine = await make.worker()
    theirs = await make.worker(await make.key(projects=[other]))

    for worker, session_id in (
        (mine, await make.claimed(mine)),
        (theirs, await make.claimed(theirs, project_id=other)),
    ):
        assert (await say(worker, session_id))["forwarded"] is True
    await run_job(send_outbox)

    assert sorted(credentials(bare)) == sorted([f"Bearer {PROJECTS}", OWN])


async def test_the_connection_of_one_organization_serves_no_other(
    make, run_job, bare, owner, application
):
    from tests.conftest import SYSTEM_KEY
    from tests.factories import Maker

    other = await Maker.begin(application, owner, SYSTEM_KEY)
    await other.connection(token=OWN)
    worker = await make.worker()

    answer = await say(worker, await make.claimed(worker))

    assert answer["forwarded"] is False
    await other.close()


async def test_what_was_accepted_and_lost_its_credential_is_given_up_with_the_reason(
    make, run_job, bare
):
    connection_id = await make.connection(token=OWN)
    worker = await make.worker()
    await say(worker, await make.claimed(worker))
    await make.org.delete(f"/api/org/{make.org_id}/connections/{connection_id}")

    await run_job(send_outbox)

    rows = await make.owner.execute(
        "select status, last_error from outbox where org_id = %s", (make.org_id,)
    )
    (row,) = await rows.fetchall()
    assert (row.status, row.last_error) == (
        "dead",
        "no Linear credential is configured for the organization",
    )
    assert bare.asked == []


async def test_a_connection_made_by_another_process_is_noticed_within_seconds(
    make, bare, monkeypatch
):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    await say(worker, session_id)
    monkeypatch.setattr(linear_access, "forget", lambda org_id: None)
    await make.connection(token=OWN)

    at_once = await say(worker, session_id)
    monkeypatch.setitem(linear_access._known, make.org_id, (False, 0.0))
    later = await say(worker, session_id)

    assert (at_once["forwarded"], later["forwarded"]) == (False, True)
