"""Connections to providers."""

import asyncio

import pytest

TOKEN = "lin_api_5d0c9e7a1b2c3d4e"
OTHER = "lin_api_9b8a7c6d5e4f3a2b"


def connections(make):
    return f"/api/org/{make.org_id}/connections"


async def connect(make, client=None, **body):
    given = {"provider": "linear", "name": "Acme", "token": TOKEN, **body}
    return await (client or make.org).post(connections(make), json=given)


async def connect_github(make, pem, **body):
    return await make.org.post(
        connections(make),
        json={
            "provider": "github",
            "name": "Acme",
            "appId": "4711",
            "installationId": "99",
            "privateKey": pem,
            **body,
        },
    )


@pytest.fixture
def pem(app_key):
    return app_key.as_pem(private=True).decode()


async def stored(make, connection_id):
    rows = await make.owner.execute(
        "select *, c::text as everything from connections c where id = %s", (connection_id,)
    )
    return await rows.fetchone()


async def events(make):
    rows = await make.owner.execute(
        "select event_type, payload from happened where org_id = %s order by place offset %s",
        (make.org_id, make.first_audit),
    )
    return [tuple(row) for row in await rows.fetchall()]


@pytest.mark.parametrize("provider", ["linear", "vercel"])
async def test_a_token_is_stored_encrypted_and_shown_by_its_end(make, provider):
    made = await connect(make, provider=provider)

    connection = made.json()["connection"]
    path = f"{connections(make)}/{connection['id']}"
    read = await make.org.get(path)
    listed = await make.org.get(connections(make))
    row = await stored(make, connection["id"])
    assert made.status_code == 201
    assert connection["id"].startswith("conn_")
    assert (connection["provider"], connection["name"]) == (provider, "Acme")
    assert connection["token"] == "…3d4e"
    assert read.json()["connection"] == connection
    assert listed.json() == {"connections": [connection], "nextCursor": None}
    assert made.headers["etag"] == read.headers["etag"] == '"1"'
    assert TOKEN.encode() not in row.secret_encrypted
    assert TOKEN not in made.text + read.text + listed.text + row.everything
    assert await events(make) == [("connection.created", {"provider": provider, "name": "Acme"})]


async def test_a_private_key_is_shown_by_its_fingerprint(make, pem):
    made = await connect_github(make, pem)

    connection = made.json()["connection"]
    row = await stored(make, connection["id"])
    assert made.status_code == 201
    assert connection["privateKey"].startswith("SHA256:")
    assert (connection["appId"], connection["installationId"]) == ("4711", "99")
    assert "token" not in connection
    assert b"PRIVATE" not in row.secret_encrypted
    assert "BEGIN" not in made.text + str(await events(make))


async def test_the_secret_of_one_connection_does_not_open_in_the_place_of_another(make):
    from auth.sealing import WrongMasterKey
    from services import connection_secrets

    one = (await connect(make)).json()["connection"]["id"]
    other = (await connect(make, token=OTHER)).json()["connection"]["id"]
    sealed = bytes((await stored(make, one)).secret_encrypted)

    assert connection_secrets.unseal(make.org_id, one, sealed) == TOKEN
    with pytest.raises(WrongMasterKey):
        connection_secrets.unseal(make.org_id, other, sealed)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"name": "Acme Ltd"}, {"name": "Acme Ltd"}),
        ({"token": OTHER}, {"token": "…3a2b"}),
        ({"name": "x", "token": OTHER}, {"name": "x", "token": "…3a2b"}),
    ],
)
async def test_a_token_connection_is_changed_member_by_member(make, change, shown):
    made = (await connect(make)).json()["connection"]
    path = f"{connections(make)}/{made['id']}"

    answer = await make.org.patch(path, json=change)

    now = answer.json()["connection"]
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert now == {**made, **shown, "updatedAt": now["updatedAt"]}
    assert now["updatedAt"] > made["updatedAt"]
    assert (await make.org.get(path)).json()["connection"] == now
    assert OTHER not in str(await events(make))


@pytest.mark.parametrize("member", ["name", "appId", "installationId"])
async def test_a_github_connection_is_changed_member_by_member(make, pem, member):
    made = (await connect_github(make, pem)).json()["connection"]

    answer = await make.org.patch(f"{connections(make)}/{made['id']}", json={member: "1234"})

    now = answer.json()["connection"]
    assert now == {**made, member: "1234", "updatedAt": now["updatedAt"]}
    assert (await events(make))[-1] == ("connection.changed", {member: "1234"})


async def test_a_new_private_key_replaces_the_old_one(make, pem):
    from joserfc.jwk import RSAKey

    made = (await connect_github(make, pem)).json()["connection"]
    new = RSAKey.generate_key(2048).as_pem(private=True).decode()

    answer = await make.org.patch(f"{connections(make)}/{made['id']}", json={"privateKey": new})

    assert answer.json()["connection"]["privateKey"] != made["privateKey"]
    assert (await events(make))[-1] == ("connection.changed", {"privateKey": True})


@pytest.mark.parametrize(
    ("provider", "change"),
    [
        ("linear", {"privateKey": "x"}),
        ("linear", {"name": "x", "appId": "1"}),
        ("vercel", {"installationId": "1"}),
        ("github", {"token": TOKEN}),
        ("github", {"privateKey": "not a key"}),
        ("linear", {}),
        ("linear", {"provider": "vercel"}),
        ("linear", {"token": None}),
        ("linear", {"token": "a secret"}),
        ("linear", {"token": ["secret"]}),
        ("linear", {"token": 7}),
        ("linear", {"token": "line\nbreak-in-a-header"}),
        ("linear", {"token": "umlaut-ä-in-a-header"}),
        ("linear", {"name": " "}),
    ],
)
async def test_a_change_that_the_connection_cannot_have_changes_nothing(
    make, pem, provider, change
):
    made = await (
        connect_github(make, pem) if provider == "github" else connect(make, provider=provider)
    )
    path = f"{connections(make)}/{made.json()['connection']['id']}"

    answer = await make.org.patch(path, json=change)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body")
    assert "not a key" not in answer.text
    assert "secret" not in answer.text
    assert (await make.org.get(path)).json() == made.json()
    assert [event for event, _ in await events(make)] == ["connection.created"]


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "gitlab", "name": "x", "token": TOKEN},
        {"provider": "linear", "name": "x"},
        {"provider": "linear", "name": "x", "privateKey": "x"},
        {"provider": "github", "name": "x", "token": TOKEN},
        {"provider": "github", "name": "x", "appId": "1", "installationId": "1"},
        {
            "provider": "github",
            "name": "x",
            "appId": "1",
            "installationId": "acme",
            "privateKey": "x",
        },
        {"provider": "github", "name": "x", "appId": "1", "installationId": "1", "privateKey": "x"},
        {"name": "x", "token": TOKEN},
        {"provider": "linear", "name": "x", "token": TOKEN + "\n"},
    ],
)
async def test_a_connection_without_what_its_provider_needs_is_not_made(make, body):
    answer = await make.org.post(connections(make), json=body)

    assert answer.status_code == 400
    assert TOKEN not in answer.text
    assert await events(make) == []


# --- If-Match ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('"1"', 200),
        ("*", 200),
        ('"7", "1"', 200),
        ('"2"', 412),
        ('"7","8"', 412),
        ('W/"1"', 412),
        ('""', 412),
        ("1", 412),
        ('"1', 412),
        ("", 412),
    ],
)
async def test_a_change_is_made_from_the_state_that_was_read(make, tags, status):
    path = f"{connections(make)}/{(await connect(make)).json()['connection']['id']}"
    headers = {"If-Match": tags}

    changed = await make.org.patch(path, json={"name": "x"}, headers=headers)

    assert changed.status_code == status
    name = (await make.org.get(path)).json()["connection"]["name"]
    assert name == ("x" if status == 200 else "Acme")


async def test_a_removal_is_made_from_the_state_that_was_read(make):
    path = f"{connections(make)}/{(await connect(make)).json()['connection']['id']}"
    await make.org.patch(path, json={"name": "x"})

    stale = await make.org.delete(path, headers={"If-Match": '"1"'})
    there = await make.org.get(path)
    gone = await make.org.delete(path, headers={"If-Match": there.headers["etag"]})

    assert (stale.status_code, there.status_code, gone.status_code) == (412, 200, 200)
    assert (await make.org.get(path)).status_code == 404


async def test_of_many_changes_from_one_state_one_is_made(make):
    path = f"{connections(make)}/{(await connect(make)).json()['connection']['id']}"

    answers = await asyncio.gather(
        *(
            make.org.patch(path, json={"name": f"n{n}"}, headers={"If-Match": '"1"'})
            for n in range(6)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5
    assert (await make.org.get(path)).headers["etag"] == '"2"'


# --- removal -------------------------------------------------------------------------------------


async def test_what_a_project_names_stays_until_the_project_names_another(make):
    connection_id = await make.connection(token=TOKEN)
    path = f"{connections(make)}/{connection_id}"
    await make.settings_of_project(connections={"linear": connection_id})

    kept = await make.org.delete(path)
    await make.settings_of_project(connections={"linear": None})
    gone = await make.org.delete(path)

    assert kept.status_code == 409
    assert "choose another" in kept.json()["error"]
    assert gone.json() == {"deleted": True, "id": connection_id}
    names = [event for event, _ in await events(make)]
    assert names.count("connection.deleted") == 1


async def test_a_connection_that_is_chosen_and_removed_at_once_is_one_of_both(make):
    connection_id = await make.connection(token=TOKEN)
    settings = f"/api/org/{make.org_id}/projects/{make.project_id}/settings"

    removed, chosen = await asyncio.gather(
        make.org.delete(f"{connections(make)}/{connection_id}"),
        make.org.patch(settings, json={"connections": {"linear": connection_id}}),
    )

    assert (removed.status_code, chosen.status_code) in {(200, 404), (409, 200)}


# --- who may -------------------------------------------------------------------------------------


async def test_connections_are_for_who_manages_the_organization(make):
    reader = make.client(await make.key(scopes=["org:read"]))
    writer = make.client(await make.key(scopes=["org:write"]))
    of_project = make.client(await make.key(projects=[make.project_id], scopes=["org:read"]))
    foreign = f"/api/org/{await make.organization()}/connections"

    answers = [
        await reader.get(connections(make)),
        await connect(make, reader),
        await connect(make, writer),
        await writer.get(connections(make)),
        await of_project.get(connections(make)),
        await make.org.get(foreign),
        await make.system.get(foreign),
        await make.system.post(
            "/api/org/org_of_nobody/connections",
            json={"provider": "linear", "name": "x", "token": TOKEN},
        ),
    ]

    assert [each.status_code for each in answers] == [200, 403, 201, 403, 403, 404, 200, 404]


async def test_connections_are_listed_newest_first_page_by_page(make):
    made = [await make.connection(token=TOKEN) for _ in range(3)]

    first = (await make.org.get(connections(make), params={"limit": 2})).json()
    then = (
        await make.org.get(connections(make), params={"limit": 2, "cursor": first["nextCursor"]})
    ).json()

    listed = [each["id"] for each in first["connections"] + then["connections"]]
    assert listed == made[::-1]
    assert then["nextCursor"] is None
