"""Workers that hold work get tokens for the project's repositories, and wait for none."""

import asyncio
from datetime import UTC, datetime

import pytest

from services import git_tokens
from tests.outbound.servers import github as answer_of_github
from tests.outbound.servers import reply


@pytest.fixture
async def connected(make, github, app_key):
    """The id of a GitHub connection; the project's work is done in acme/billing."""
    connection_id = await make.connection(
        "github",
        appId="4711",
        installationId="99",
        privateKey=app_key.as_pem(private=True).decode(),
    )
    await make.settings_of_project(repositories=[{"cloneUrl": url(github)}])
    return connection_id


def url(github, name="billing"):
    return f"ssh://git@{github.host}/acme/{name}.git"


async def poll(worker):
    answer = await worker.client.get(f"/api/workers/{worker.id}/poll")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def tokens_of(worker):
    return [each["token"] for each in (await poll(worker))["gitCredentials"]]


async def until(condition, seconds=5.0):
    """Wait until something that goes on beside has happened."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def idle():
    return not git_tokens.current()._minting


async def refusals(make):
    rows = await make.owner.execute(
        "select payload from happened where org_id = %s and event_type = 'git_token.refused'"
        " order by place",
        (make.org_id,),
    )
    return [row.payload["reason"] for row in await rows.fetchall()]


@pytest.fixture
def soon(monkeypatch):
    """After a refusal the next poll may ask again."""
    monkeypatch.setattr(git_tokens, "AGAIN_SECONDS", 0.0)


async def test_work_comes_with_a_token_for_the_projects_repository(make, github, connected, owner):
    worker = await make.worker()
    await make.session()

    said = await poll(worker)

    (credential,) = said["gitCredentials"]
    left = datetime.fromisoformat(credential["expiresAt"]) - datetime.now(UTC)
    assert credential["token"] == "ghs_1"
    assert credential["cloneUrl"] == "https://127.0.0.1/acme/billing.git"
    assert 3500 < left.total_seconds() <= 3600
    assert github.minted == [["billing"]]
    rows = await owner.execute(
        "select entity_id, payload, payload::text as text from happened"
        " where org_id = %s and event_type = 'git_token.minted'",
        (make.org_id,),
    )
    (event,) = await rows.fetchall()
    assert event.entity_id == connected
    assert event.payload["projectId"] == make.project_id
    assert "ghs_" not in event.text


async def test_every_repository_on_github_has_its_credential_and_no_other_one(
    make, github, connected
):
    await make.settings_of_project(
        repositories=[
            {"cloneUrl": url(github, "ledger")},
            {"cloneUrl": "https://gitlab.com/acme/wiki"},
            {"cloneUrl": url(github, "billing")},
        ]
    )
    worker = await make.worker()
    await make.session()

    found = (await poll(worker))["gitCredentials"]

    assert [each["cloneUrl"].rpartition("/")[2] for each in found] == ["ledger.git", "billing.git"]
    assert {each["token"] for each in found} == {"ghs_1"}
    assert github.minted == [["billing", "ledger"]]


async def test_one_token_serves_all_polls_until_shortly_before_its_end(make, github, connected):
    workers = [await make.worker() for _ in range(4)]
    for _ in workers:
        await make.session()
        await make.session()

    first = await asyncio.gather(*(tokens_of(each) for each in workers))
    then = [await tokens_of(each) for each in workers]

    busy = [n for n, tokens in enumerate(then) if tokens]
    assert busy
    assert all(then[n] == ["ghs_1"] for n in busy)
    assert {token for tokens in first for token in tokens} == {"ghs_1"}
    assert len(github.minted) == 1


async def test_who_holds_no_work_gets_no_token_and_github_is_not_asked(make, github, connected):
    worker = await make.worker()

    assert await tokens_of(worker) == []
    session_id = await make.claimed(worker)
    assert await tokens_of(worker) == ["ghs_1"]
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "running"}
    )
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "completed"}
    )

    assert await tokens_of(worker) == []
    assert len(github.minted) == 1


async def test_a_token_about_to_end_is_replaced_beside_the_polls(make, github, connected, soon):
    github.lifetime = git_tokens.RENEW_SECONDS - 1
    worker = await make.worker()
    await make.claimed(worker)
    github.lifetime = 3600
    github.door.clear()

    old = [await tokens_of(worker) for _ in range(2)]
    github.door.set()
    await until(idle)
    new = await tokens_of(worker)

    assert (old, new) == ([["ghs_1"], ["ghs_1"]], ["ghs_2"])
    assert len(github.minted) == 2


async def test_a_token_that_has_ended_is_never_handed_out(make, github, connected, soon):
    github.lifetime = git_tokens.LEAST_SECONDS - 1
    worker = await make.worker()
    await make.session()

    said = await poll(worker)

    assert len(said["work"]) == 1
    assert said["gitCredentials"] == []
    await until(idle)
    github.lifetime = 3600
    await poll(worker)
    await until(idle)
    (token,) = await tokens_of(worker)
    assert int(token.removeprefix("ghs_")) == len(github.minted) > 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(500),
        reply(503, b"<html>", Retry_After="0"),
        answer_of_github(401, {"message": "Bad credentials"}),
        answer_of_github(404, {"message": "Not Found"}),
        answer_of_github(422, {"message": "There is at least one repository"}),
        reply(201, b"nonsense"),
    ],
)
async def test_work_is_never_lost_to_a_refusal_and_the_token_follows(
    make, github, connected, soon, answer
):
    github.trouble = [answer]
    worker = await make.worker()
    session_id = await make.session()

    said = await poll(worker)
    await poll(worker)
    await until(idle)
    later = await tokens_of(worker)

    assert said["claimedSessionIds"] == [session_id]
    assert said["gitCredentials"] == []
    assert later == ["ghs_1"]
    assert len(await refusals(make)) == 1


async def test_a_slow_github_holds_no_poll_up_for_long(make, github, connected, monkeypatch):
    monkeypatch.setattr(git_tokens, "PATIENCE_SECONDS", 0.1)
    github.door.clear()
    worker = await make.worker()
    session_id = await make.session()

    said, empty = await poll(worker), await poll(worker)
    was_waiting = not idle()
    github.door.set()
    await until(idle)

    assert said["claimedSessionIds"] == [session_id]
    assert said["gitCredentials"] == empty["gitCredentials"] == []
    assert was_waiting
    assert await tokens_of(worker) == ["ghs_1"]
    assert len(github.minted) == 1


async def test_a_github_that_is_away_is_not_asked_with_every_poll(make, github, connected):
    github.trouble = [reply(500)] * 9
    worker = await make.worker()
    await make.session()

    for _ in range(5):
        assert await tokens_of(worker) == []
        await make.session()
    await until(idle)

    assert len(github.asked) == 1
    assert await refusals(make) == ["500"]


async def test_the_same_refusal_is_told_once_and_another_one_anew(make, github, connected, soon):
    no, other = (answer_of_github(404, {"message": text}) for text in ("Not Found", "Suspended"))
    github.trouble = [no, no, other]
    worker = await make.worker()
    await make.session()

    for _ in range(3):
        await poll(worker)
        await until(idle)

    assert await refusals(make) == ["404 Not Found", "404 Suspended"]


async def test_a_name_that_means_another_accounts_repository_opens_nothing(make, github, connected):
    evil = f"https://{github.host.partition(':')[0]}/evil/billing"
    await make.settings_of_project(repositories=[{"cloneUrl": evil}])
    worker = await make.worker()
    await make.session()

    assert await tokens_of(worker) == []
    (reason,) = await refusals(make)
    assert "acme/billing" in reason


async def test_a_mended_connection_counts_with_the_next_poll(make, github, connected):
    path = f"/api/org/{make.org_id}/connections/{connected}"
    await make.org.patch(path, json={"installationId": "1"})
    worker = await make.worker()
    await make.session()
    without = await tokens_of(worker)

    await make.org.patch(path, json={"installationId": "99"})
    await poll(worker)
    await until(idle)

    assert without == []
    assert await tokens_of(worker) == ["ghs_1"]


async def test_a_removed_connection_or_repository_ends_the_tokens_at_once(make, github, connected):
    worker = await make.worker()
    await make.session()
    before = await tokens_of(worker)

    await make.settings_of_project(repositories=[])
    without_repository = await tokens_of(worker)
    await make.settings_of_project(repositories=[{"cloneUrl": url(github)}])
    await make.org.delete(f"/api/org/{make.org_id}/connections/{connected}")

    assert before == ["ghs_1"]
    assert without_repository == []
    assert await tokens_of(worker) == []


async def test_a_project_uses_the_connection_it_names_and_else_the_oldest(
    make, github, connected, app_key
):
    second = await make.connection(
        "github",
        appId="4712",
        installationId="99",
        privateKey=app_key.as_pem(private=True).decode(),
    )
    worker = await make.worker()
    await make.session()
    oldest = await tokens_of(worker)
    github.app_id = "4712"
    await make.settings_of_project(connections={"github": second})
    await poll(worker)
    await until(idle)

    assert oldest == ["ghs_1"]
    assert await tokens_of(worker) == ["ghs_2"]


async def test_tokens_are_a_projects_own(make, github, connected):
    other = await make.project()
    await make.settings_of_project(other, repositories=[{"cloneUrl": url(github, "ledger")}])
    mine = await make.worker()
    theirs = await make.worker(await make.key(projects=[other]))
    await make.session()
    await make.session(other)

    found = [(await poll(each))["gitCredentials"][0] for each in (mine, theirs)]

    assert [each["token"] for each in found] == ["ghs_1", "ghs_2"]
    assert github.minted == [["billing"], ["ledger"]]


async def test_without_a_connection_nothing_is_asked(make, github):
    await make.settings_of_project(repositories=[{"cloneUrl": url(github)}])
    worker = await make.worker()
    await make.session()

    said = await poll(worker)

    assert len(said["work"]) == 1
    assert said["gitCredentials"] == []
    assert github.asked == []


# --- the repository of the work ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ("{}", ("https://github.com/acme/billing", "trunk")),
        ('{"repository": ""}', ("https://github.com/acme/billing", "trunk")),
        ('{"ref": "v2"}', ("https://github.com/acme/billing", "v2")),
        ('{"repository": "https://git.example/x"}', ("https://git.example/x", None)),
    ],
)
async def test_work_without_a_repository_is_about_the_projects_first(make, work, expected):
    await make.settings_of_project(
        repositories=[
            {"cloneUrl": "https://github.com/acme/billing", "defaultBranch": "trunk"},
            {"cloneUrl": "https://github.com/acme/ledger"},
        ]
    )
    worker = await make.worker()
    await make.session(work=work)
    by_name = await make.session(work=work, priority=9, queued_at="2036-01-01T00:00:00Z")

    (polled, *_) = (await poll(worker))["work"]
    claimed = await worker.client.post(
        f"/api/sessions/{by_name}/claim", json={"workerId": worker.id}
    )

    for found in (polled, claimed.json()["work"]):
        assert (found["repository"], found.get("ref")) == expected


async def test_a_project_without_a_repository_adds_none(make):
    worker = await make.worker()
    await make.session()

    (work,) = (await poll(worker))["work"]

    assert "repository" not in work
    assert "ref" not in work
