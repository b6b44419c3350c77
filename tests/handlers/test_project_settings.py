"""A project's settings."""

import asyncio

import pytest

UNCHANGED = {
    "name": "Test",
    "repositories": [],
    "connections": {"linear": None, "github": None, "vercel": None},
    "automation": {
        "development": False,
        "qa": False,
        "acceptance": False,
        "refinement": False,
        "failedRuns": False,
        "failedDeployments": False,
    },
    "disabledWorkTypes": [],
    "excludedLabels": [],
    "stateNames": {},
    "limits": {"triesPerWorkType": 3, "sessionsPerIssue": 8},
}
BILLING = {"cloneUrl": "https://github.com/acme/billing", "defaultBranch": "main"}
LEDGER = {"cloneUrl": "git@github.com:acme/ledger.git", "defaultBranch": None}


def settings_of(make, project_id=None):
    return f"/api/org/{make.org_id}/projects/{project_id or make.project_id}/settings"


async def change(make, body, **headers):
    return await make.org.patch(settings_of(make), json=body, headers=headers)


def merged(before, body):
    """The settings as a change should leave them: groups member by member, the rest whole."""
    return {
        name: {**value, **body[name]}
        if isinstance(value, dict) and name in body
        else body.get(name, value)
        for name, value in before.items()
    }


async def test_a_new_project_starts_nothing_by_itself(make, audit_log):
    answer = await make.org.get(settings_of(make))

    assert answer.json() == {"settings": UNCHANGED}
    assert answer.headers["etag"] == '"1"'
    assert await audit_log() == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Billing"},
        {"repositories": [BILLING]},
        {"repositories": [BILLING, LEDGER]},
        {"repositories": []},
        {"automation": {"development": True}},
        {"automation": {"qa": True}},
        {"automation": {"acceptance": True}},
        {"automation": {"refinement": True}},
        {"automation": {"failedRuns": True}},
        {"automation": {"failedDeployments": True}},
        {"disabledWorkTypes": ["research", "qa"]},
        {"excludedLabels": ["no-agent", "Ärger"]},
        {"stateNames": {"finished": "In Review"}},
        {"limits": {"triesPerWorkType": 5}},
        {"limits": {"sessionsPerIssue": 20}},
        {"automation": {"qa": True, "acceptance": True}, "limits": {"triesPerWorkType": 1}},
    ],
)
async def test_settings_are_changed_member_by_member(make, body, audit_log):
    start = {
        "repositories": [LEDGER],
        "automation": {"development": True},
        "excludedLabels": ["wip"],
        "disabledWorkTypes": ["security"],
        "stateNames": {"backlog": "Todo"},
        "limits": {"sessionsPerIssue": 4},
    }
    before = (await change(make, start, **{"If-Match": '"1"'})).json()["settings"]

    answer = await change(make, body, **{"If-Match": '"2"'})

    assert before == merged(UNCHANGED, start)
    assert answer.json()["settings"] == merged(before, body)
    assert answer.headers["etag"] == '"3"'
    assert (await make.org.get(settings_of(make))).json() == answer.json()
    assert [event for event, _ in await audit_log()] == ["project.settings_changed"] * 2


@pytest.mark.parametrize("provider", ["linear", "github", "vercel"])
async def test_a_project_names_a_connection_and_lets_it_go(make, provider, app_key):
    secret = {"token": "x" * 20}
    if provider == "github":
        secret = {
            "appId": "1",
            "installationId": "2",
            "privateKey": app_key.as_pem(private=True).decode(),
        }
    connection_id = await make.connection(provider, **secret)

    named = await change(make, {"connections": {provider: connection_id}})
    let_go = await change(make, {"connections": {provider: None}})

    assert named.json()["settings"]["connections"] == {
        **UNCHANGED["connections"],
        provider: connection_id,
    }
    assert let_go.json()["settings"] == UNCHANGED


async def test_a_connection_must_be_ones_own_and_to_the_provider_it_is_named_for(make):
    linear = await make.connection(token="x" * 20)
    other_org = await make.organization()
    foreign = await make.system.post(
        f"/api/org/{other_org}/connections",
        json={"provider": "linear", "name": "x", "token": "x" * 20},
    )

    answers = [
        await change(make, {"connections": {"github": linear}}),
        await change(make, {"connections": {"linear": foreign.json()["connection"]["id"]}}),
        await change(make, {"connections": {"linear": "conn_of_nobody"}}),
    ]

    assert [answer.status_code for answer in answers] == [400, 404, 404]
    assert answers[0].json() == {"error": "body.connections.github: is a connection to linear"}
    assert answers[1].text == answers[2].text
    assert (await make.org.get(settings_of(make))).json()["settings"] == UNCHANGED


async def test_the_repository_of_a_project_is_the_first_of_its_settings(make):
    made = await make.org.post(
        f"/api/org/{make.org_id}/projects",
        json={"name": "x", "slug": "x", "repository": BILLING["cloneUrl"]},
    )
    project_id = made.json()["project"]["id"]
    path = settings_of(make, project_id)
    before = (await make.org.get(path)).json()["settings"]["repositories"]

    await make.settings_of_project(project_id, repositories=[LEDGER, BILLING])

    project = (await make.org.get(path.removesuffix("/settings"))).json()["project"]
    assert before == [{**BILLING, "defaultBranch": None}]
    assert project == {**made.json()["project"], "repository": LEDGER["cloneUrl"]}


async def test_a_state_is_named_renamed_and_given_back_to_the_tracker(make):
    await change(make, {"stateNames": {"finished": "In Review", "backlog": "Todo"}})
    await change(make, {"stateNames": {"finished": "Review", "started": "Doing"}})
    answer = await change(make, {"stateNames": {"backlog": None, "icebox": None}})

    names = answer.json()["settings"]["stateNames"]
    assert names == {"finished": "Review", "started": "Doing"}


@pytest.mark.parametrize("second", ["Done", "done", " DONE "])
async def test_two_states_never_have_one_name(make, second):
    await change(make, {"stateNames": {"finished": "Done"}})

    answer = await change(make, {"stateNames": {"delivered": second}})
    swapped = await change(make, {"stateNames": {"finished": None, "delivered": "Done"}})

    assert answer.status_code == 400
    assert "finished and delivered" in answer.json()["error"]
    assert swapped.json()["settings"]["stateNames"] == {"delivered": "Done"}


# --- If-Match ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [{"repositories": []}, {"disabledWorkTypes": []}, {"name": "x", "excludedLabels": []}]
)
async def test_a_list_is_replaced_by_who_says_which_one(make, body):
    blind = await change(make, body)
    stale = await change(make, body, **{"If-Match": '"9"'})
    seen = await change(make, body, **{"If-Match": '"1"'})

    assert [each.status_code for each in (blind, stale, seen)] == [428, 412, 200]
    assert "If-Match" in blind.json()["error"]


async def test_a_switch_needs_no_if_match_and_honours_one(make):
    body = {"automation": {"qa": True}}

    stale = await change(make, body, **{"If-Match": '"9"'})
    blind = await change(make, body)

    assert (stale.status_code, blind.status_code) == (412, 200)


async def test_of_many_lists_made_from_one_state_one_is_kept(make):
    answers = await asyncio.gather(
        *(change(make, {"excludedLabels": [f"l{n}"]}, **{"If-Match": '"1"'}) for n in range(6))
    )

    (kept,) = [each for each in answers if each.status_code == 200]
    assert sorted(each.status_code for each in answers) == [200] + [412] * 5
    assert (await make.org.get(settings_of(make))).json() == kept.json()


async def test_of_switches_that_are_thrown_at_once_none_is_lost(make):
    names = list(UNCHANGED["automation"])

    await asyncio.gather(*(change(make, {"automation": {name: True}}) for name in names))

    shown = (await make.org.get(settings_of(make))).json()["settings"]
    assert shown["automation"] == dict.fromkeys(names, True)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"slug": "x"},
        {"name": " "},
        {"repository": "https://github.com/acme/billing"},
        {"repositories": None},
        {"repositories": ["https://github.com/acme/billing"]},
        {"repositories": [{"defaultBranch": "main"}]},
        {"repositories": [{"cloneUrl": "https://user:secret@github.com/acme/billing"}]},
        {"repositories": [{"cloneUrl": "https://ghp_secret@github.com/acme/billing"}]},
        {"repositories": [{"cloneUrl": "http://github.com/acme/billing"}]},
        {"repositories": [{"cloneUrl": "file:///etc/passwd"}]},
        {"repositories": [{"cloneUrl": "--upload-pack=x"}]},
        {"repositories": [{"cloneUrl": "https://github.com/a b"}]},
        {"repositories": [{**BILLING, "defaultBranch": "a b"}]},
        {"repositories": [BILLING] * 21},
        {"connections": {}},
        {"connections": {"gitlab": "x"}},
        {"automation": {}},
        {"automation": {"deployment": True}},
        {"automation": {"qa": 1}},
        {"automation": None},
        {"disabledWorkTypes": ["QA"]},
        {"excludedLabels": [""]},
        {"excludedLabels": ["x"] * 101},
        {"stateNames": {"done": "Done"}},
        {"stateNames": {"finished": ""}},
        {"limits": {"triesPerWorkType": 0}},
        {"limits": {"triesPerWorkType": 21}},
        {"limits": {"sessionsPerIssue": 101}},
        {"limits": {"sessionsPerIssue": 2.5}},
    ],
)
async def test_a_change_that_breaks_the_contract_changes_nothing(make, body, audit_log):
    answer = await change(make, body, **{"If-Match": "*"})

    assert answer.status_code == 400
    assert "secret" not in answer.text
    assert (await make.org.get(settings_of(make))).json()["settings"] == UNCHANGED
    assert await audit_log() == []


# --- who may -------------------------------------------------------------------------------------


async def test_a_project_and_its_settings_are_for_who_may_see_it(make):
    elsewhere = await make.project()
    of_project = make.client(await make.key(projects=[make.project_id], scopes=["projects:read"]))
    reader = make.client(await make.key(scopes=["projects:read"]))
    writer = make.client(await make.key(scopes=["projects:write"]))
    path, other = settings_of(make), settings_of(make, elsewhere)

    answers = [
        await of_project.get(path),
        await of_project.get(path.removesuffix("/settings")),
        await of_project.get(other),
        await of_project.get(other.removesuffix("/settings")),
        await reader.get(other),
        await reader.patch(other, json={"name": "x"}),
        await writer.patch(other, json={"name": "x"}),
        await make.org.get(settings_of(make, "proj_of_nobody")),
        await make.system.get(path),
    ]

    assert [each.status_code for each in answers] == [200, 200, 404, 404, 200, 403, 200, 404, 200]
