"""Whose event it is: by the secret, the mappings, and the repositories of projects."""

import secrets

import pytest

from jobs.deliver_events import deliver_events
from tests.provider_payloads import GITHUB_SECRET, delivered, pull_request

OWN_SECRET = "an organization's own secret"
INGEST = "/api/webhooks/ingest"


@pytest.fixture
def name():
    """A repository that no other test names."""
    return f"Acme-{secrets.token_hex(4)}/Billing"


@pytest.fixture
def send(anonymous, run_job, owner):
    """Deliver an event about a repository and let it be worked on; returns its row."""

    async def send(name, secret=GITHUB_SECRET, provider="github"):
        request = delivered(
            provider, pull_request(full_name=name), event="pull_request", secret=secret
        )
        answer = await anonymous.post(f"{INGEST}/{provider}", **request)
        if answer.status_code != 200:
            return answer
        await run_job(deliver_events)
        rows = await owner.execute(
            "select * from webhook_events where id = %s", [answer.json()["eventId"]]
        )
        return await rows.fetchone()

    return send


async def own_secret(make, provider="github", org_id=None):
    answer = await make.system.patch(
        f"/api/org/{org_id or make.org_id}/settings",
        json={"webhookSecrets": {provider: OWN_SECRET}},
    )
    assert answer.status_code == 200


async def map_workspace(make, workspace_id, project_id=None, by=None):
    answer = await (by or make.system).post(
        f"/api/org/{make.org_id}/workspaces",
        json={
            "provider": "github",
            "workspaceId": workspace_id,
            "projectId": project_id or make.project_id,
        },
    )
    assert answer.status_code == 201, answer.text


async def works_in(make, name, project_id=None):
    await make.settings_of_project(
        project_id, repositories=[{"cloneUrl": f"git@github.com:{name}.git"}]
    )


async def opened_by_github(make, name, app_key, when="now"):
    """A connection for which GitHub has made a token that opens the repository."""
    connection_id = await make.connection(
        "github",
        appId="4711",
        installationId="99",
        privateKey=app_key.as_pem(private=True).decode(),
    )
    await make.owner.execute(
        "insert into opened_repositories (org_id, connection_id, place, opened_at)"
        " values (%s, %s, %s, %s)",
        (make.org_id, connection_id, f"github.com/{name.lower()}", when),
    )
    return connection_id


@pytest.mark.parametrize("provider", ["github", "github-actions"])
async def test_an_own_secret_and_a_project_in_the_repository_need_no_mapping(
    make, send, name, provider
):
    await own_secret(make, provider)
    await works_in(make, name)

    event = await send(name, OWN_SECRET, provider)

    assert (event.status, event.org_id, event.verified_by) == ("done", make.org_id, make.org_id)


async def test_a_repository_made_with_the_project_counts_as_well(make, send, name):
    await own_secret(make)
    body = {"name": "x", "slug": "x", "repository": f"https://github.com/{name}"}
    made = await make.org.post(f"/api/org/{make.org_id}/projects", json=body)

    event = await send(name, OWN_SECRET)

    assert made.status_code == 201
    assert (event.status, event.org_id) == ("done", make.org_id)


async def test_a_repository_that_the_project_has_left_is_nobodys_again(make, send, name):
    await own_secret(make)
    await works_in(make, name)
    await works_in(make, "acme/other")

    assert (await send(name, OWN_SECRET)).status_code == 401


async def test_who_only_names_a_repository_gets_nothing_that_the_servers_secret_verified(
    make, send, name, app_key
):
    await works_in(make, name)
    await make.connection(
        "github", appId="1", installationId="2", privateKey=app_key.as_pem(private=True).decode()
    )

    event = await send(name)

    assert (event.status, event.org_id) == ("parked", None)


async def test_a_repository_that_github_has_opened_to_the_connection_is_the_projects(
    make, send, name, app_key
):
    await works_in(make, name)
    await opened_by_github(make, name, app_key)

    event = await send(name)

    assert (event.status, event.org_id, event.verified_by) == ("done", make.org_id, "")


@pytest.mark.parametrize("lost", ["age", "key", "connection", "own secret"])
async def test_what_the_connection_opened_counts_no_longer(make, send, name, app_key, lost):
    await works_in(make, name)
    when = "2026-01-01" if lost == "age" else "now"
    if lost == "age":
        rows = await make.owner.execute("select now() - interval '31 days' as at")
        when = (await rows.fetchone()).at
    url = f"/api/org/{make.org_id}/connections/" + await opened_by_github(make, name, app_key, when)
    if lost == "key":
        headers = {"If-Match": '"1"'}
        assert (await make.org.patch(url, json={"appId": "5"}, headers=headers)).status_code == 200
    if lost == "connection":
        assert (await make.org.delete(url)).status_code == 200
    if lost == "own secret":
        await own_secret(make)

    assert (await send(name)).status == "parked"


async def test_a_token_that_github_gives_proves_the_repository(make, send, github, app_key):
    github.repositories = (make.slug,)
    await make.connection(
        "github",
        appId="4711",
        installationId="99",
        privateKey=app_key.as_pem(private=True).decode(),
    )
    await make.settings_of_project(
        repositories=[{"cloneUrl": f"https://{github.host}/acme/{make.slug}"}]
    )
    worker = await make.worker()

    await make.claimed(worker)
    event = await send(f"acme/{make.slug}")

    assert (event.status, event.org_id) == ("done", make.org_id)


async def test_several_projects_in_one_repository_are_never_guessed_between(make, send, name):
    await own_secret(make)
    other = await make.project()
    await works_in(make, name)
    await works_in(make, name, other)

    guessed = await send(name, OWN_SECRET)
    await map_workspace(make, name.lower(), other, by=make.org)
    mapped = await send(name, OWN_SECRET)

    assert (guessed.status, guessed.org_id) == ("parked", make.org_id)
    assert guessed.outcome.startswith("several projects")
    assert mapped.status == "done"


async def test_another_organizations_secret_does_not_reach_a_repository_of_ours(make, send, name):
    await own_secret(make)
    await works_in(make, name)
    stranger = await make.organization()
    await make.system.patch(
        f"/api/org/{stranger}/settings", json={"webhookSecrets": {"github": "theirs"}}
    )

    assert (await send(name, "theirs")).status_code == 401
    assert (await send(name)).status == "parked"


async def test_a_mapping_of_the_owner_says_the_organization_and_the_repository_the_project(
    make, send, name
):
    session_id = await make.session(issue_identifier="ENG-7")
    other = await make.project()
    theirs = await make.session(other, issue_identifier="ENG-7")
    await map_workspace(make, name.partition("/")[0].lower())
    await works_in(make, name, other)

    event = await send(name)

    assert (event.status, event.org_id) == ("done", make.org_id)
    rows = await make.owner.execute(
        "select session_id from session_links where org_id = %s", [make.org_id]
    )
    assert [row.session_id for row in await rows.fetchall()] == [theirs]
    assert session_id != theirs
