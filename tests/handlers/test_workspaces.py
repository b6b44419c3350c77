"""Which provider's workspace belongs to which project, and who may say so."""

import asyncio
import secrets

import pytest

SECRET = "an organization's own secret"


def path(make, mapping_id=None, org_id=None):
    end = f"/{mapping_id}" if mapping_id else ""
    return f"/api/org/{org_id or make.org_id}/workspaces{end}"


def mapping(make, workspace_id=None, **body):
    return {
        "provider": "linear",
        "workspaceId": workspace_id or f"lin-{secrets.token_hex(4)}",
        "projectId": make.project_id,
        **body,
    }


async def own_secret(make, client=None, org_id=None):
    answer = await (client or make.org).patch(
        f"/api/org/{org_id or make.org_id}/settings", json={"webhookSecrets": {"linear": SECRET}}
    )
    assert answer.status_code == 200


async def another(make):
    """The id, a project and a caller of a second organization."""
    org_id = await make.organization()
    return org_id, await make.project(org_id), make.client(await make.key(org_id))


async def test_the_system_key_maps_what_the_shared_secret_verifies(make, audit_log):
    answer = await make.system.post(path(make), json=mapping(make, "lin-" + make.slug))

    made = answer.json()["mapping"]
    assert answer.status_code == 201
    assert made == {
        "id": made["id"],
        "orgId": make.org_id,
        "provider": "linear",
        "workspaceId": "lin-" + make.slug,
        "projectId": make.project_id,
        "shared": True,
        "createdAt": made["createdAt"],
    }
    assert await audit_log() == [("workspace.mapped", made["id"])]


async def test_an_organization_maps_only_under_a_secret_of_its_own(make):
    before = await make.org.post(path(make), json=mapping(make))
    await own_secret(make)
    after = await make.org.post(path(make), json=mapping(make))

    assert before.status_code == 403
    assert f"PATCH /api/org/{make.org_id}/settings" in before.json()["error"]
    assert (after.status_code, after.json()["mapping"]["shared"]) == (201, False)


async def test_a_secret_of_another_provider_does_not_do(make):
    await make.org.patch(
        f"/api/org/{make.org_id}/settings", json={"webhookSecrets": {"github": SECRET}}
    )

    assert (await make.org.post(path(make), json=mapping(make))).status_code == 403


async def test_a_shared_workspace_is_one_organizations_alone(make):
    other_org, other_project, _ = await another(make)
    wanted = mapping(make, "lin-" + make.slug)
    await make.system.post(path(make), json=wanted)

    again = await make.system.post(path(make), json=wanted)
    hijack = await make.system.post(
        path(make, org_id=other_org), json={**wanted, "projectId": other_project}
    )

    assert (again.status_code, hijack.status_code) == (409, 409)
    assert again.json() == {"error": "The workspace is mapped already; remove that mapping first"}


async def test_of_many_equal_mappings_at_once_one_is_made(make, audit_log):
    wanted = mapping(make, "lin-" + make.slug)

    answers = await asyncio.gather(*(make.system.post(path(make), json=wanted) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert len(await audit_log()) == 1


async def test_a_mapping_of_ones_own_takes_nothing_from_the_shared_one(make):
    other_org, other_project, other = await another(make)
    wanted = mapping(make, "lin-" + make.slug)
    await make.system.post(path(make), json=wanted)
    await own_secret(make, other, other_org)

    own = await other.post(
        path(make, org_id=other_org), json={**wanted, "projectId": other_project}
    )

    assert (own.status_code, own.json()["mapping"]["shared"]) == (201, False)


async def test_a_project_that_is_unknown_or_anothers_is_not_found(make):
    _, foreign, _ = await another(make)
    own_slug = "p-by-slug"
    await make.org.post(f"/api/org/{make.org_id}/projects", json={"name": "x", "slug": own_slug})
    await own_secret(make)

    answers = [
        await caller.post(path(make), json=mapping(make, projectId=project_id))
        for caller in (make.org, make.system)
        for project_id in ("proj_of_nobody", foreign, own_slug)
    ]

    assert [answer.status_code for answer in answers] == [404] * 6
    assert {answer.text for answer in answers} == {'{"error":"Project not found"}'}


@pytest.mark.parametrize(
    "changed",
    [
        {"provider": "gitlab"},
        {"provider": "GitHub"},
        {"workspaceId": ""},
        {"workspaceId": "x" * 201},
        {"workspaceId": 7},
        {"projectId": ""},
        {"projectId": None},
    ],
)
async def test_a_mapping_that_breaks_the_contract_is_refused(make, changed):
    answer = await make.system.post(path(make), json={**mapping(make), **changed})

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"body.{next(iter(changed))}")


async def test_mappings_are_listed_newest_first_page_by_page_with_ties(make, owner):
    made = []
    for _ in range(4):
        answer = await make.system.post(path(make), json=mapping(make))
        made.append(answer.json()["mapping"]["id"])
    await owner.execute(
        "update workspace_mappings set created_at=now() where id=any(%s)", [made[:3]]
    )

    listed, cursor = [], {}
    while cursor is not None:
        page = (await make.org.get(path(make), params={"limit": 2, **cursor})).json()
        listed += [each["id"] for each in page["mappings"]]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None

    assert listed == [*sorted(made[:3], reverse=True), made[3]]


async def test_another_organization_neither_sees_nor_removes_a_mapping(make):
    made = await make.system.post(path(make), json=mapping(make))
    mapping_id = made.json()["mapping"]["id"]
    other_org, _, other = await another(make)

    answers = [
        await other.get(path(make)),
        await other.delete(path(make, mapping_id)),
        await other.delete(path(make, mapping_id, other_org)),
        await make.system.delete(path(make, mapping_id, other_org)),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert (await other.get(path(make, org_id=other_org))).json()["mappings"] == []
    assert len((await make.org.get(path(make))).json()["mappings"]) == 1


async def test_a_removed_mapping_is_gone_and_its_workspace_free(make, audit_log):
    wanted = mapping(make)
    mapping_id = (await make.system.post(path(make), json=wanted)).json()["mapping"]["id"]

    removed = await make.org.delete(path(make, mapping_id))
    again = await make.org.delete(path(make, mapping_id))
    anew = await make.system.post(path(make), json=wanted)

    assert removed.json() == {"deleted": True, "id": mapping_id}
    assert (again.status_code, again.json()) == (404, {"error": "Mapping not found"})
    assert anew.status_code == 201
    assert (await audit_log(of="workspace.unmapped")) == [("workspace.unmapped", mapping_id)]


async def test_mappings_need_their_scopes(make):
    mapping_id = (await make.system.post(path(make), json=mapping(make))).json()["mapping"]["id"]
    await own_secret(make)
    reader = make.client(await make.key(scopes=["workspaces:read"]))
    writer = make.client(await make.key(scopes=["workspaces:write"]))

    answers = [
        await reader.get(path(make)),
        await reader.post(path(make), json=mapping(make)),
        await reader.delete(path(make, mapping_id)),
        await writer.get(path(make)),
        await writer.post(path(make), json=mapping(make)),
        await writer.delete(path(make, mapping_id)),
    ]

    assert [answer.status_code for answer in answers] == [200, 403, 403, 403, 201, 200]


async def test_an_unknown_organization_has_no_mappings_to_make(make):
    answer = await make.system.post(path(make, org_id="org_of_nobody"), json=mapping(make))

    assert (answer.status_code, answer.json()) == (404, {"error": "Organization not found"})
