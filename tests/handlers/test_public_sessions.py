"""Sessions as people and programs see them."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from persistence.paging import cursor_at
from tests import costs

LATER_THAN_ALL = datetime(2030, 1, 1, tzinfo=UTC)

SESSIONS = "/api/public/sessions"
NINE = datetime(2026, 7, 1, 9, tzinfo=UTC)


async def listed(client, **query):
    answer = await client.get(SESSIONS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def identifiers(client, headers=None, **query):
    answer = await client.get(SESSIONS, params=query, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return {session["identifier"] for session in answer.json()["sessions"]}


def ago(**time):
    return datetime.now(UTC) - timedelta(**time)


@pytest.fixture
async def two_projects(make):
    """Sessions ENG-A of the maker's project and ENG-B of a project with the slug `second`."""
    answer = await make.org.post(
        f"/api/org/{make.org_id}/projects", json={"name": "Second", "slug": "second"}
    )
    second = answer.json()["project"]["id"]
    await make.session(issue_identifier="ENG-A")
    await make.session(second, issue_identifier="ENG-B")
    return second


# --- the page ------------------------------------------------------------------------------------


async def test_sessions_come_newest_first(make):
    for minutes, name in ((2, "ENG-2"), (1, "ENG-1"), (3, "ENG-3")):
        await make.session(issue_identifier=name, queued_at=ago(minutes=minutes))

    said = await listed(make.org)

    assert [each["identifier"] for each in said["sessions"]] == ["ENG-1", "ENG-2", "ENG-3"]
    assert (said["count"], said["nextCursor"]) == (3, None)
    assert abs(datetime.fromisoformat(said["timestamp"]) - datetime.now(UTC)).seconds < 60


async def test_an_organization_without_sessions_has_an_empty_list(make):
    said = await listed(make.org)

    assert (said["sessions"], said["count"], said["nextCursor"]) == ([], 0, None)
    assert "timestamp" in said


async def test_pages_hold_every_session_once_even_when_queued_at_the_same_instant(make):
    made = []
    for number in range(11):
        public_id = secrets.token_hex(8)
        tied = NINE if 2 <= number <= 8 else NINE + timedelta(microseconds=number + 1)
        await make.session(public_id=public_id, queued_at=tied)
        made.append((tied, public_id))

    pages, query = [], {"limit": 3}
    while query:
        page = await listed(make.org, **query)
        pages.append([each["id"] for each in page["sessions"]])
        query = {"limit": 3, "cursor": page["nextCursor"]} if page["nextCursor"] else None

    assert [len(page) for page in pages] == [3, 3, 3, 2]
    shown = [public_id for page in pages for public_id in page]
    assert shown == [public_id for _, public_id in sorted(made, reverse=True)]


async def test_a_session_queued_meanwhile_does_not_shift_the_next_page(make):
    for minutes in range(1, 5):
        await make.session(issue_identifier=f"ENG-{minutes}", queued_at=ago(minutes=minutes))
    first = await listed(make.org, limit=2)

    await make.session(issue_identifier="ENG-0")
    second = await listed(make.org, limit=2, cursor=first["nextCursor"])

    assert [each["identifier"] for each in second["sessions"]] == ["ENG-3", "ENG-4"]


async def test_a_page_holds_500_by_default_and_1000_at_the_most(make, owner):
    await owner.execute(
        "insert into sessions (org_id, id, project_id, public_id, issue_id, issue_identifier,"
        " work_type, priority) select %s, 's' || n, %s, lpad(to_hex(n), 16, '0'), 'i', 'ENG',"
        " 'qa', 3 from generate_series(1, 1001) n",
        [make.org_id, make.project_id],
    )

    default = await listed(make.org)
    most = await listed(make.org, limit=1000)
    rest = await listed(make.org, limit=1000, cursor=most["nextCursor"])

    assert (default["count"], most["count"], rest["count"]) == (500, 1000, 1)
    assert rest["nextCursor"] is None


async def test_failure_11_a_page_costs_the_same_however_many_sessions_there_are(make):
    """clients.md 11: list and statistics read every session one by one."""
    pages = {}
    for count in (1000, 20_000):
        await costs.completed_sessions(make, count)
        await costs.vacuum(make, "sessions")
        for query in (
            {},
            {"projectId": make.project_id},
            {"cursor": cursor_at(LATER_THAN_ALL, "z")},
        ):
            with costs.sent() as statements:
                await listed(make.org, limit=50, **query)
            (asked,) = [each for each in statements if "FROM sessions" in each[0]]
            plan, touched = await costs.explained(make.owner, *asked)
            assert "sessions" not in costs.scanned(plan)
            pages[count, *query] = (touched, len(statements))
        await costs.forget_completed(make)

    for (_, *query), (touched, statements) in pages.items():
        few, as_many = pages[1000, *query]
        assert touched <= few + 10, pages
        assert statements == as_many <= 3, pages


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "many"},
        {"cursor": "yesterday"},
        {"cursor": "1_"},
        {"projectId": ""},
        {"project": "x" * 201},
    ],
)
async def test_a_query_that_breaks_the_contract_is_told_where(make, query):
    answer = await make.org.get(SESSIONS, params=query)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"query.{next(iter(query))}: ")


# --- which sessions ------------------------------------------------------------------------------


async def test_a_project_narrows_the_list_by_id_by_slug_and_by_header(make, two_projects):
    headers = [{"X-Rensei-Project": two_projects}, {"X-Rensei-Project": "second"}]

    found = [
        await identifiers(make.org, projectId=two_projects),
        await identifiers(make.org, project="second"),
        await identifiers(make.org, project=two_projects),
        *[await identifiers(make.org, headers=each) for each in headers],
    ]

    assert found == [{"ENG-B"}] * 5
    assert await identifiers(make.org) == {"ENG-A", "ENG-B"}
    assert await identifiers(make.org, headers={"X-Rensei-Project": ""}) == {"ENG-A", "ENG-B"}


async def test_the_id_wins_over_the_name_and_the_query_over_the_headers(make, two_projects):
    page = {"Referer": f"http://127.0.0.1:8080/{make.slug}/second/sessions"}

    found = [
        await identifiers(make.org, projectId=make.project_id, project="second"),
        await identifiers(make.org, {"X-Rensei-Project": "second"}, project=make.project_id),
        await identifiers(make.org, {**page, "X-Rensei-Project": make.project_id}),
        await identifiers(make.org, page, project=make.project_id),
    ]

    assert found == [{"ENG-A"}] * 4


async def test_a_slug_is_no_id(make, two_projects):
    answer = await make.org.get(SESSIONS, params={"projectId": "second"})

    assert (answer.status_code, answer.json()) == (404, {"error": "Project not found"})


async def test_a_referring_page_names_the_project(make, two_projects):
    addresses = [
        f"http://127.0.0.1:8080/{make.slug}/second/sessions",
        f"https://elsewhere.example/{make.slug}/second/sessions/",
        f"/{make.slug}/second/sessions",
        f"http://127.0.0.1:8080/{make.slug}/second/sessions?status=failed#top",
        f"http://127.0.0.1:8080/{make.org_id}/{two_projects}/sessions",
    ]

    found = [await identifiers(make.org, {"Referer": address}) for address in addresses]

    assert found == [{"ENG-B"}] * len(addresses)


async def test_a_referring_page_that_names_no_project_of_ones_own_changes_nothing(
    make, two_projects
):
    addresses = [
        "http://127.0.0.1:8080/docs",
        f"http://127.0.0.1:8080/{make.slug}/second",
        f"http://127.0.0.1:8080/{make.slug}/nowhere/sessions",
        "http://127.0.0.1:8080/other-org/second/sessions",
        f"http://127.0.0.1:8080/x/{make.slug}/second/sessions",
        "http://[",
        "not an address",
        "",
    ]

    found = [await identifiers(make.org, {"Referer": address}) for address in addresses]

    assert found == [{"ENG-A", "ENG-B"}] * len(addresses)


async def test_a_project_key_sees_its_own_project_however_it_asks(make, two_projects):
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))
    page = {"Referer": f"http://127.0.0.1:8080/{make.slug}/second/sessions"}

    refused = [
        await narrow.get(SESSIONS, params={"projectId": two_projects}),
        await narrow.get(SESSIONS, params={"project": "second"}),
        await narrow.get(SESSIONS, headers={"X-Rensei-Project": two_projects}),
    ]

    assert await identifiers(narrow) == {"ENG-A"}
    assert await identifiers(narrow, page) == {"ENG-A"}
    assert [answer.status_code for answer in refused] == [404] * 3


async def test_a_key_of_several_projects_sees_them_all(make, two_projects):
    third = await make.project()
    await make.session(third, issue_identifier="ENG-C")
    both = make.client(
        await make.key(projects=[make.project_id, two_projects], scopes=["sessions:read"])
    )

    assert await identifiers(both) == {"ENG-A", "ENG-B"}
    assert await identifiers(both, project="second") == {"ENG-B"}


async def test_another_organizations_sessions_are_invisible(make, two_projects):
    other_org = await make.organization()
    stranger = make.client(await make.key(other_org))

    answers = [
        await stranger.get(SESSIONS, params={"projectId": two_projects}),
        await stranger.get(SESSIONS, params={"project": "second"}),
        await stranger.get(SESSIONS, headers={"X-Rensei-Org": make.org_id}),
        await stranger.get(SESSIONS, headers={"X-Rensei-Org": make.slug}),
    ]

    assert await identifiers(stranger) == set()
    assert [answer.status_code for answer in answers] == [404] * 4


async def test_the_organization_header_may_name_ones_own(make, two_projects):
    for named in (make.org_id, make.slug, ""):
        found = await identifiers(make.org, {"X-Rensei-Org": named})
        assert found == {"ENG-A", "ENG-B"}


async def test_reading_sessions_needs_the_scope(make):
    public_id = secrets.token_hex(8)
    await make.session(public_id=public_id)
    keeper = make.client(await make.key(scopes=["projects:read"]))
    worker = await make.worker()

    for path in (SESSIONS, f"{SESSIONS}/{public_id}"):
        answers = [
            await caller.get(path)
            for caller in (
                keeper,
                make.client(make.worker_key),
                worker.client,
                make.system,
                make.client(),
                make.org,
            )
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 403, 403, 401, 200]


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("pending", "queued"),
        ("claimed", "working"),
        ("running", "working"),
        ("finalizing", "working"),
        ("completed", "completed"),
        ("failed", "failed"),
        ("stopped", "stopped"),
    ],
)
async def test_list_and_detail_show_the_same_public_status(make, status, shown):
    public_id = secrets.token_hex(8)
    await make.session(public_id=public_id, status=status)

    summary = (await listed(make.org))["sessions"][0]
    detail = (await make.org.get(f"{SESSIONS}/{public_id}")).json()["session"]

    assert summary["status"] == detail["status"] == shown


async def test_what_is_not_known_is_left_out_and_a_missing_issue_is_unknown(make):
    await make.session(issue_identifier="")

    summary = (await listed(make.org))["sessions"][0]

    assert summary["identifier"] == "Unknown"
    assert summary.keys() == {
        "id",
        "identifier",
        "status",
        "workType",
        "startedAt",
        "duration",
        "health",
    }


async def test_the_duration_runs_to_the_end_or_to_now(make):
    queued = ago(minutes=10)
    await make.session(issue_identifier="open", status="running", queued_at=queued)
    await make.session(
        issue_identifier="ended",
        status="completed",
        queued_at=queued,
        finished_at=queued + timedelta(seconds=312, milliseconds=900),
    )
    await make.session(issue_identifier="ahead", queued_at=ago(minutes=-5))

    said = {each["identifier"]: each["duration"] for each in (await listed(make.org))["sessions"]}

    assert 600 <= said["open"] < 660
    assert (said["ended"], said["ahead"]) == (312, 0)


@pytest.mark.parametrize(
    ("status", "claimed", "beat", "colour", "signals"),
    [
        ("running", {"minutes": 10}, {"seconds": 5}, "green", []),
        ("running", {"minutes": 46}, {"seconds": 5}, "yellow", ["LongRunning"]),
        ("running", {"minutes": 10}, {"seconds": 100}, "yellow", ["StaleHeartbeat"]),
        ("claimed", {"minutes": 6}, {"seconds": 5}, "red", ["ClaimStuck"]),
        ("completed", {"hours": 9}, {"hours": 9}, "green", []),
    ],
)
async def test_health_has_a_colour_and_its_reasons(
    make, owner, status, claimed, beat, colour, signals
):
    worker = await make.worker()
    public_id = secrets.token_hex(8)
    await make.session(
        public_id=public_id,
        status=status,
        worker_id=worker.id,
        slot_worker_id=worker.id,
        claimed_at=ago(**claimed),
    )
    await owner.execute(
        "update workers set last_heartbeat_at=%s where id=%s", [ago(**beat), worker.id]
    )

    summary = (await listed(make.org))["sessions"][0]
    detail = (await make.org.get(f"{SESSIONS}/{public_id}")).json()["session"]

    health = summary["health"]
    assert (health["status"], health["signals"]) == (colour, signals)
    assert ("stuckDurationMs" in health) is bool(signals)
    assert (detail["health"]["status"], detail["health"]["signals"]) == (colour, signals)


# --- one session ---------------------------------------------------------------------------------


async def test_one_session_is_shown_whole(make):
    public_id = secrets.token_hex(8)
    await make.session(
        public_id=public_id,
        issue_identifier="ENG-7",
        issue_title="Keep the currency",
        status="failed",
        failure_reason="lost by its worker five times",
        work_type="qa",
        created_at=NINE - timedelta(seconds=2),
        queued_at=NINE,
        claimed_at=NINE + timedelta(seconds=21),
        finished_at=NINE + timedelta(minutes=14),
        worktree_path="/srv/wt/ENG-7-QA/",
        provider="claude",
        total_cost_usd=1.1042,
        input_tokens=81234,
        output_tokens=5120,
    )

    answer = await make.org.get(f"{SESSIONS}/{public_id}")

    assert answer.json()["session"] == {
        "id": public_id,
        "identifier": "ENG-7",
        "status": "failed",
        "workType": "qa",
        "startedAt": "2026-07-01T09:00:00.000Z",
        "duration": 840,
        "timeline": {
            "created": "2026-07-01T08:59:58.000Z",
            "queued": "2026-07-01T09:00:00.000Z",
            "started": "2026-07-01T09:00:21.000Z",
            "completed": "2026-07-01T09:14:00.000Z",
        },
        "provider": "claude",
        "branch": "ENG-7-QA",
        "issueTitle": "Keep the currency",
        "costUsd": 1.1042,
        "inputTokens": 81234,
        "outputTokens": 5120,
        "failureReason": "lost by its worker five times",
        "health": {"status": "green", "signals": []},
    }


async def test_a_fresh_session_has_only_the_beginning_of_its_time_line(make):
    public_id = secrets.token_hex(8)
    await make.session(public_id=public_id)

    session = (await make.org.get(f"{SESSIONS}/{public_id}")).json()["session"]

    assert session["timeline"].keys() == {"created", "queued"}
    assert session.keys().isdisjoint({"branch", "costUsd", "inputTokens", "failureReason"})


@pytest.mark.parametrize(
    "public_id",
    [
        "e55f6a1f79dd4a8",
        "e55f6a1f79dd4a850",
        "E55F6A1F79DD4A85",
        "g" * 16,
        "0" * 15 + "%0A",
        "f" * 32,
    ],
)
async def test_an_id_of_another_shape_is_refused(make, public_id):
    answer = await make.org.get(f"{SESSIONS}/{public_id}")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("path.id: ")


async def test_an_unknown_or_foreign_session_is_not_found(make, two_projects):
    public_id = secrets.token_hex(8)
    await make.session(two_projects, public_id=public_id)
    path = f"{SESSIONS}/{public_id}"
    stranger = make.client(await make.key(await make.organization()))
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))

    answers = [
        await make.org.get(f"{SESSIONS}/{'0' * 16}"),
        await stranger.get(path),
        await narrow.get(path),
        await make.org.get(path, headers={"X-Rensei-Project": make.project_id}),
    ]
    elsewhere = [
        await make.org.get(path, headers={"X-Rensei-Project": "nowhere"}),
        await make.org.get(path, headers={"X-Rensei-Org": "nowhere"}),
    ]

    assert {(a.status_code, a.text) for a in answers} == {(404, '{"error":"Session not found"}')}
    assert [answer.status_code for answer in elsewhere] == [404, 404]
    assert (await make.org.get(path, headers={"X-Rensei-Project": "second"})).status_code == 200


async def test_two_organizations_may_hold_the_same_public_id(make):
    public_id = secrets.token_hex(8)
    other_org = await make.organization()
    other_project = await make.project(other_org)
    other = make.client(await make.key(other_org))
    await make.session(public_id=public_id, issue_identifier="OURS-1")
    await make.session(
        other_project, org_id=other_org, public_id=public_id, issue_identifier="THEIRS-1"
    )

    shown = [
        (await caller.get(f"{SESSIONS}/{public_id}")).json()["session"]["identifier"]
        for caller in (make.org, other)
    ]

    assert shown == ["OURS-1", "THEIRS-1"]
