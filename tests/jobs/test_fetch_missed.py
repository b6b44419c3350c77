"""What GitHub failed to deliver is fetched once, from the app's own attempts of three days."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.deliver_events import deliver_events
from jobs.fetch_missed import fetch_missed
from tests import provider_payloads as payloads
from tests.outbound.servers import github as answer_of_github


@pytest.fixture
async def connected(make, github, app_key, owner):
    """A connection of the app whose webhook GitHub delivers; no other one is looked at."""
    await owner.execute(
        "insert into delivery_looks (org_id, connection_id, next_look_at)"
        " select org_id, id, now() + interval '1 day' from connections where provider = 'github'"
        " on conflict (org_id, connection_id) do update set next_look_at = excluded.next_look_at"
    )
    return await make.connection(
        "github",
        appId="4711",
        installationId="99",
        privateKey=app_key.as_pem(private=True).decode(),
    )


@pytest.fixture
def look(owner, connected, run_job):
    """Look at the connection's deliveries, as if the pause since the last look were over."""

    async def look():
        await owner.execute(
            "update delivery_looks set next_look_at = now() where connection_id = %s", [connected]
        )
        return await run_job(fetch_missed)

    return look


@pytest.fixture
def stored(owner, make):
    """(provider, delivery id, event name) of all that came in for this organization."""

    async def stored():
        rows = await owner.execute(
            "select provider, delivery_id, event_name from webhook_events where verified_by = %s"
            " order by position",
            [make.org_id],
        )
        return [tuple(row) for row in await rows.fetchall()]

    return stored


async def test_what_never_arrived_is_fetched_once_in_its_order(github, look, stored):
    first = github.attempt("pull_request", payloads.pull_request())
    github.attempt("pull_request", payloads.pull_request(), status=200)
    second = github.attempt("pull_request", payloads.pull_request("closed"), status=0)
    third = github.attempt(
        "workflow_run", payloads.pull_request(), path="/hooks/api/webhooks/ingest/github-actions"
    )

    counts = [await look() for _ in range(3)]

    assert counts == [3, 0, 0]
    assert await stored() == [
        ("github", first, "pull_request.opened"),
        ("github", second, "pull_request.closed"),
        ("github-actions", third, "workflow_run.opened"),
    ]


async def test_what_is_fetched_is_worked_on_like_what_was_delivered(
    github, look, run_job, owner, make
):
    await make.settings_of_project(
        repositories=[{"cloneUrl": f"https://{github.host}/acme/billing.git"}]
    )
    guid = github.attempt("pull_request", payloads.pull_request())

    await look()
    await run_job(deliver_events)

    rows = await owner.execute(
        "select status, org_id from webhook_events where delivery_id = %s", [guid]
    )
    assert [tuple(row) for row in await rows.fetchall()] == [("done", make.org_id)]


async def test_a_redelivery_that_arrived_makes_up_for_the_attempt_that_failed(github, look):
    guid = github.attempt("pull_request", payloads.pull_request())
    github.attempt("pull_request", payloads.pull_request(), guid=guid, status=200)

    assert await look() == 0


@pytest.mark.parametrize("by", ["the server's secret", "the organization's secret"])
async def test_what_was_stored_though_the_answer_was_lost_is_no_second_event(
    by, github, look, make, anonymous
):
    payload = payloads.pull_request()
    guid = github.attempt("pull_request", payload, status=0)
    secret = None
    await make.settings_of_project(
        repositories=[{"cloneUrl": f"https://{github.host}/acme/billing.git"}]
    )
    if by == "the organization's secret":
        secret = "gh_of_" + make.slug
        changed = await make.org.patch(
            f"/api/org/{make.org_id}/settings", json={"webhookSecrets": {"github": secret}}
        )
        assert changed.status_code == 200, changed.text
    sent = await anonymous.post(
        "/api/webhooks/ingest/github",
        **payloads.delivered("github", payload, event="pull_request", secret=secret, id_=guid),
    )
    assert sent.status_code == 200, sent.text

    assert await look() == 0


async def test_another_installations_and_another_servers_events_are_not_taken(github, look, stored):
    github.attempt("pull_request", payloads.pull_request(), installation_id=100)
    github.attempt("ping", {"zen": "Keep it simple."}, installation_id=None)
    github.attempt("pull_request", payloads.pull_request(), path="/somebody/elses/hook")

    assert await look() == 0
    assert await stored() == []


async def test_nothing_older_than_three_days_or_than_the_last_look_is_asked_for(github, look):
    for days in (5, 4):
        at = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        github.attempt("pull_request", payloads.pull_request(), delivered_at=at)
    hour = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for _ in range(4):
        github.attempt("pull_request", payloads.pull_request(), delivered_at=hour)

    first = await look()
    pages_before = len(github.asked)
    again = await look()

    assert (first, again) == (4, 0)
    assert len(github.asked) == pages_before + 1, "one page says that nothing is new"


async def test_what_github_will_not_tell_now_is_fetched_by_a_later_look(github, look, stored):
    first = github.attempt("pull_request", payloads.pull_request())
    second = github.attempt("pull_request", payloads.pull_request())
    github.trouble = [None, answer_of_github(502, {"message": "Server Error"}), None]

    counts = [await look(), await look()]

    assert counts == [1, 1]
    assert {guid for _, guid, _ in await stored()} == {first, second}


@pytest.mark.parametrize(
    "trouble",
    [
        answer_of_github(401, {"message": "A JSON web token could not be decoded"}),
        answer_of_github(500, {"message": "Server Error"}),
        answer_of_github(200, {"not": "a list"}),
        answer_of_github(200, [{"id": "none"}]),
    ],
)
async def test_a_look_that_fails_loses_nothing(trouble, github, look):
    github.attempt("pull_request", payloads.pull_request())
    github.trouble = [trouble]

    counts = [await look(), await look()]

    assert counts == [0, 1]


async def test_the_audit_log_says_that_it_was_fetched(github, look, owner, make):
    github.attempt("pull_request", payloads.pull_request())

    await look()

    rows = await owner.execute(
        "select payload from happened where org_id = %s and event_type = 'webhook.ingest'",
        [make.org_id],
    )
    (row,) = await rows.fetchall()
    assert row.payload["fetched"] is True


async def test_two_job_processes_do_not_look_at_one_connection_at_once(github, look, run_job):
    github.attempt("pull_request", payloads.pull_request())

    assert await look() == 1
    assert await run_job(fetch_missed) == 0, "the pause is not over"
