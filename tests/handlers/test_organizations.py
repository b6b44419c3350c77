"""Organizations, projects and settings."""

import asyncio
import secrets

import pytest

ORGANIZATIONS = "/api/admin/organizations"
SECRET = "lin_wh_5d0c9e7a1b2c3d4e"


def projects(make):
    return f"/api/org/{make.org_id}/projects"


def settings_of(make):
    return f"/api/org/{make.org_id}/settings"


async def make_project(client, make, slug="billing", **body):
    return await client.post(projects(make), json={"name": "Billing", "slug": slug, **body})


# --- organizations -------------------------------------------------------------------------------


async def test_the_system_key_makes_an_organization(make, owner):
    slug = f"acme-{secrets.token_hex(4)}"

    answer = await make.system.post(ORGANIZATIONS, json={"name": "Acme", "slug": slug})

    org = answer.json()["organization"]
    rows = await owner.execute(
        "select event_type, actor_type, payload from happened where org_id=%s", [org["id"]]
    )
    assert answer.status_code == 201
    assert org.keys() == {"id", "name", "slug", "createdAt"}
    assert (org["name"], org["slug"]) == ("Acme", slug)
    assert [tuple(row) for row in await rows.fetchall()] == [
        ("organization.created", "system", {"slug": slug})
    ]


async def test_a_slug_belongs_to_one_organization(make):
    answer = await make.system.post(ORGANIZATIONS, json={"name": "Acme", "slug": make.slug})

    assert answer.status_code == 409
    assert make.slug in answer.json()["error"]


async def test_of_two_equal_slugs_at_once_one_is_made(make):
    body = {"name": "Acme", "slug": f"acme-{secrets.token_hex(4)}"}

    answers = await asyncio.gather(*(make.system.post(ORGANIZATIONS, json=body) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "slug", ["", "-a", "a-", "A", "a_b", "a b", "a/b", "é", "a" * 64, "a\n", None, 7]
)
async def test_a_slug_is_small_letters_digits_and_dashes(make, slug):
    answers = [
        await make.system.post(ORGANIZATIONS, json={"name": "Acme", "slug": slug}),
        await make_project(make.org, make, slug),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert "body.slug" in answers[0].json()["error"]


async def test_organizations_are_for_the_system_key_alone(make):
    body = {"name": "Acme", "slug": f"acme-{secrets.token_hex(4)}"}
    callers = [make.org, make.client(make.worker_key), (await make.worker()).client]

    made = [await each.post(ORGANIZATIONS, json=body) for each in callers]
    listed = [await each.get(ORGANIZATIONS) for each in callers]
    nobody = await make.client().get(ORGANIZATIONS)

    assert [answer.status_code for answer in made + listed] == [403] * 6
    assert nobody.status_code == 401


async def test_organizations_are_listed_newest_first_page_by_page(make, owner):
    made = [await make.organization() for _ in range(3)]
    await owner.execute("update organizations set created_at=now() where id=any(%s)", [made])

    first = (await make.system.get(ORGANIZATIONS, params={"limit": 2})).json()
    then = (
        await make.system.get(ORGANIZATIONS, params={"limit": 2, "cursor": first["nextCursor"]})
    ).json()

    listed = [org["id"] for org in first["organizations"] + then["organizations"]]
    assert listed[:3] == sorted(made, reverse=True)
    assert len(set(listed)) == 4


# --- projects ------------------------------------------------------------------------------------


async def test_a_project_is_made_and_audited(make, audit_log):
    answer = await make_project(make.org, make, repository="https://github.com/acme/billing")

    project = answer.json()["project"]
    assert answer.status_code == 201
    assert project["id"].startswith("proj_")
    assert (project["orgId"], project["isDefault"]) == (make.org_id, False)
    assert project["repository"] == "https://github.com/acme/billing"
    assert await audit_log() == [("project.created", project["id"])]


async def test_the_first_project_is_the_default_and_no_later_one(make):
    org_id = await make.organization()
    made = [
        await make.system.post(f"/api/org/{org_id}/projects", json={"name": "x", "slug": slug})
        for slug in ("one", "two")
    ]

    assert [answer.json()["project"]["isDefault"] for answer in made] == [True, False]


async def test_of_many_first_projects_at_once_one_is_the_default(make):
    org_id = await make.organization()

    made = await asyncio.gather(
        *(
            make.system.post(
                f"/api/org/{org_id}/projects", json={"name": "x", "slug": f"p{number}"}
            )
            for number in range(6)
        )
    )

    assert [answer.status_code for answer in made] == [201] * 6
    assert sum(answer.json()["project"]["isDefault"] for answer in made) == 1


async def test_a_slug_belongs_to_one_project_of_an_organization_and_may_repeat_in_another(make):
    other_org = await make.organization()

    first = await make_project(make.org, make)
    again = await make_project(make.org, make)
    elsewhere = await make.system.post(
        f"/api/org/{other_org}/projects", json={"name": "Billing", "slug": "billing"}
    )

    assert [first.status_code, again.status_code, elsewhere.status_code] == [201, 409, 201]
    assert again.json() == {"error": "A project with the slug billing exists; choose another"}


async def test_of_two_equal_project_slugs_at_once_one_is_made(make, audit_log):
    answers = await asyncio.gather(*(make_project(make.org, make) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(await audit_log()) == 1


async def test_a_project_of_an_unknown_or_foreign_organization_is_not_made(make):
    other_org = await make.organization()
    body = {"name": "x", "slug": "x"}

    answers = [
        await make.org.post(f"/api/org/{other_org}/projects", json=body),
        await make.org.get(f"/api/org/{other_org}/projects"),
        await make.system.post("/api/org/org_of_nobody/projects", json=body),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.text for answer in answers} == {'{"error":"Organization not found"}'}


async def test_projects_are_made_with_the_scope_alone(make):
    reader = make.client(await make.key(scopes=["projects:read"]))
    writer = make.client(await make.key(scopes=["projects:write"]))

    answers = [
        await make_project(reader, make),
        await make_project(writer, make),
        await writer.get(projects(make)),
        await reader.get(projects(make)),
    ]

    assert [answer.status_code for answer in answers] == [403, 201, 403, 200]


async def test_projects_are_listed_newest_first_page_by_page_with_ties(make, owner):
    made = [(await make_project(make.org, make, f"p{n}")).json()["project"]["id"] for n in range(4)]
    await owner.execute("update projects set created_at=now() where id=any(%s)", [made])

    listed, cursor = [], {}
    while cursor is not None:
        page = (await make.org.get(projects(make), params={"limit": 2, **cursor})).json()
        listed += [project["id"] for project in page["projects"]]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None

    assert listed == [*sorted(made, reverse=True), make.project_id]


async def test_a_project_key_sees_its_own_projects_only(make):
    await make_project(make.org, make)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["projects:read"]))

    listed = (await narrow.get(projects(make))).json()

    assert [project["id"] for project in listed["projects"]] == [make.project_id]


# --- settings ------------------------------------------------------------------------------------


UNCHANGED = {
    "name": "Test",
    "maxAttempts": 5,
    "sessionHashLinks": False,
    "publishesAgentCard": False,
    "projectProviders": {},
    "webhookSecretsSet": [],
}


async def test_settings_are_changed_one_by_one(make, audit_log):
    before = (await make.org.get(settings_of(make))).json()
    named = (await make.org.patch(settings_of(make), json={"name": "Acme"})).json()
    tried = (await make.org.patch(settings_of(make), json={"maxAttempts": 3})).json()
    after = (await make.org.get(settings_of(make))).json()

    assert before == {"settings": UNCHANGED}
    assert named == {"settings": {**UNCHANGED, "name": "Acme"}}
    assert tried == after
    assert after["settings"]["maxAttempts"] == 3
    assert [event for event, _ in await audit_log()] == ["organization.settings_changed"] * 2


async def test_providers_of_projects_are_named_one_by_one(make, audit_log):
    other = await make.project()
    providers = {make.project_id: "claude", other: "codex"}

    named = await make.org.patch(settings_of(make), json={"projectProviders": providers})
    left = await make.org.patch(settings_of(make), json={"projectProviders": {other: None}})

    assert named.json()["settings"]["projectProviders"] == providers
    assert left.json()["settings"]["projectProviders"] == {make.project_id: "claude"}
    assert [event for event, _ in await audit_log()][-2:] == ["organization.settings_changed"] * 2


async def test_a_provider_for_a_project_of_nobody_or_of_others_is_404_and_changes_nothing(make):
    elsewhere = await make.project(await make.organization())

    for unknown in (elsewhere, "proj_ffffffffffffffff"):
        answer = await make.org.patch(
            settings_of(make),
            json={"name": "Acme", "projectProviders": {make.project_id: "amp", unknown: "amp"}},
        )

        assert answer.status_code == 404
        assert make.project_id not in answer.text
    assert (await make.org.get(settings_of(make))).json() == {"settings": UNCHANGED}


async def test_a_key_of_some_projects_sees_their_providers_only(make):
    other = await make.project()
    await make.org.patch(
        settings_of(make), json={"projectProviders": {make.project_id: "claude", other: "codex"}}
    )
    key = await make.key(projects=[other], scopes=["org:read"])

    answer = await make.client(key).get(settings_of(make))

    assert answer.json()["settings"]["projectProviders"] == {other: "codex"}


async def test_a_webhook_secret_is_never_shown_and_stored_encrypted(make, owner):
    answer = await make.org.patch(settings_of(make), json={"webhookSecrets": {"linear": SECRET}})
    read = await make.org.get(settings_of(make))

    stored = await owner.execute(
        "select secret_encrypted from org_webhook_secrets where org_id=%s", [make.org_id]
    )
    sealed = bytes((await stored.fetchone()).secret_encrypted)
    audit = await owner.execute(
        "select payload, payload::text as text from happened where org_id=%s"
        " and event_type='organization.settings_changed'",
        [make.org_id],
    )
    event = await audit.fetchone()
    assert answer.json()["settings"]["webhookSecretsSet"] == ["linear"]
    assert SECRET not in answer.text + read.text + event.text
    assert SECRET.encode() not in sealed
    assert len(sealed) == 12 + len(SECRET) + 16
    assert event.payload == {"webhookSecrets": {"linear": True}}


async def test_a_secret_is_replaced_kept_and_removed_by_provider(make, owner):
    both = {"linear": SECRET, "github": SECRET}
    await make.org.patch(settings_of(make), json={"webhookSecrets": both})
    rows = "select provider, secret_encrypted from org_webhook_secrets where org_id=%s"
    before = dict(tuple(r) for r in await (await owner.execute(rows, [make.org_id])).fetchall())

    changed = await make.org.patch(
        settings_of(make),
        json={"webhookSecrets": {"linear": SECRET + "2", "vercel": SECRET, "github-actions": None}},
    )
    after = dict(tuple(r) for r in await (await owner.execute(rows, [make.org_id])).fetchall())
    removed = await make.org.patch(
        settings_of(make), json={"webhookSecrets": {"linear": None, "vercel": None}}
    )

    assert changed.json()["settings"]["webhookSecretsSet"] == ["github", "linear", "vercel"]
    assert after["github"] == before["github"]
    assert after["linear"] != before["linear"]
    assert removed.json()["settings"]["webhookSecretsSet"] == ["github"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"webhookSecrets": {}},
        {"webhookSecrets": {"linear": "short"}},
        {"webhookSecrets": {"linear": ""}},
        {"webhookSecrets": {"linear": "x" * 201}},
        {"webhookSecrets": {"gitlab": SECRET}},
        {"webhookSecrets": None},
        {"maxAttempts": 0},
        {"maxAttempts": 21},
        {"maxAttempts": 2.5},
        {"maxAttempts": "3"},
        {"maxAttempts": True},
        {"maxAttempts": 2**70},
        {"name": ""},
        {"name": " "},
        {"name": None},
        {"slug": "other"},
        {"max_attempts": 3},
    ],
)
async def test_a_change_that_breaks_the_contract_changes_nothing(make, body, audit_log):
    answer = await make.org.patch(settings_of(make), json=body)

    shown = (await make.org.get(settings_of(make))).json()["settings"]
    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert shown == UNCHANGED
    assert await audit_log() == []


async def test_a_refused_secret_is_not_repeated_in_the_refusal(make):
    answer = await make.org.patch(
        settings_of(make), json={"webhookSecrets": {"gitlab": SECRET, "linear": "too-short-one"}}
    )

    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert "too-short-one" not in answer.text


async def test_settings_are_changed_with_the_scope_alone_and_only_ones_own(make):
    reader = make.client(await make.key(scopes=["org:read"]))
    writer = make.client(await make.key(scopes=["org:write"]))
    foreign = f"/api/org/{await make.organization()}/settings"

    answers = [
        await reader.get(settings_of(make)),
        await reader.patch(settings_of(make), json={"name": "x"}),
        await writer.get(settings_of(make)),
        await writer.patch(settings_of(make), json={"name": "x"}),
        await make.org.get(foreign),
        await make.org.patch(foreign, json={"name": "x"}),
        await make.system.get(foreign),
        await make.system.patch(foreign, json={"name": "x"}),
        await make.system.get("/api/org/org_of_nobody/settings"),
        await make.system.patch("/api/org/org_of_nobody/settings", json={"name": "x"}),
    ]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 403, 403, 200, 404, 404, 200, 200, 404, 404]
