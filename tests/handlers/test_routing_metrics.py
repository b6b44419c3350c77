"""What routing has learned, in numbers, and what they cost to read."""

import os

import pytest

from persistence import routing_metrics
from persistence.routing_metrics import Window
from tests import costs

URL = "/api/public/routing-metrics"
SHARE = float(os.environ.get("PROVE_SHARE", "1"))


async def metrics(caller, headers=None, **query):
    answer = await caller.get(URL, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def put_arm(make, project_id=None, **columns):
    values = {
        "org_id": make.org_id,
        "project_id": project_id or make.project_id,
        "work_type": "qa",
        "provider": "claude",
        **columns,
    }
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    await make.owner.execute(
        f"insert into routing_arms ({names}) values ({places})", list(values.values())
    )


async def observe(make, at, project_id=None, reward=0.5, **columns):
    """An observation at a time, of a session of its own."""
    session_id = await make.session(project_id, status="completed")
    values = {
        "org_id": make.org_id,
        "project_id": project_id or make.project_id,
        "session_id": session_id,
        "lease_epoch": 1,
        "work_type": "qa",
        "provider": "claude",
        "body_hash": b"",
        "reward": reward,
        "confidence": 0.9,
        "observed_at": at,
        **columns,
    }
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    await make.owner.execute(
        f"insert into routing_observations ({names}) values ({places})", list(values.values())
    )


def rewards(said):
    return [decision["reward"] for decision in said["recentDecisions"]]


# --- what is known ---


async def test_nothing_is_known_of_an_empty_organization(make):
    said = await metrics(make.org)

    del said["timestamp"]
    assert said == {
        "posteriors": [],
        "recentDecisions": [],
        "summary": {
            "totalObservations": 0,
            "routingEnabled": False,
            "explorationRate": 0,
            "avgConfidence": 0,
            "survivalRewardCount": 0,
        },
    }


async def test_feedback_is_seen_at_once(make):
    worker = await make.worker()
    session_id = await make.claimed(worker)
    feedback = {"provider": "claude", "workType": "qa", "reward": 0.75}
    await worker.client.post(
        f"/api/sessions/{session_id}/routing-feedback",
        json={**feedback, "taskCompleted": True, "totalCostUsd": 1.23456},
    )

    said = await metrics(make.org)

    assert said["posteriors"] == [
        {
            "provider": "claude",
            "workType": "qa",
            "alpha": 1.75,
            "beta": 1.25,
            "expectedReward": 0.5833,
            "confidence": 0.7535,
            "totalObservations": 1,
            "avgCostUsd": 1.2346,
        }
    ]
    (decision,) = said["recentDecisions"]
    assert decision.pop("timestamp") > 1_700_000_000_000
    assert decision == {**feedback, "taskCompleted": True, "confidence": 0.7113}
    assert said["summary"] == {
        "totalObservations": 1,
        "routingEnabled": True,
        "explorationRate": 0,
        "avgConfidence": 0.7535,
        "survivalRewardCount": 0,
    }
    assert "nextCursor" not in said


async def test_the_evidence_of_projects_is_added_and_the_prior_is_not(make):
    other = await make.project()
    await put_arm(make, alpha=11, beta=3, observations=12, cost_usd=6, costs=3)
    await put_arm(make, other, alpha=2.4, beta=1.2, observations=2, cost_usd=2, costs=1)
    await put_arm(make, other, provider="codex", alpha=1, beta=2, observations=1)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))

    whole = await metrics(make.org)
    part = await metrics(narrow)

    def seen(said):
        names = ("provider", "alpha", "beta", "totalObservations", "avgCostUsd")
        return [tuple(arm[name] for name in names) for arm in said["posteriors"]]

    assert seen(whole) == [("claude", 12.4, 3.2, 14, 2), ("codex", 1, 2, 1, 0)]
    assert whole["summary"]["totalObservations"] == 15
    assert seen(part) == [("claude", 11, 3, 12, 2)]
    assert seen(await metrics(make.org, {"X-Rensei-Project": make.project_id})) == seen(part)
    assert seen(await metrics(make.org, {"X-Rensei-Org": make.slug})) == seen(whole)


async def test_evidence_has_faded_since_it_was_learned(make):
    learned = await make.owner.execute("select now() - interval '30 days' as at")
    at = (await learned.fetchone()).at
    await put_arm(make, alpha=9, beta=5, observations=12, learned_at=at)

    (arm,) = (await metrics(make.org))["posteriors"]

    assert (arm["alpha"], arm["beta"]) == pytest.approx((5, 3), abs=0.001)
    assert arm["totalObservations"] == 12


async def test_what_another_project_or_organization_observed_is_not_seen(make):
    hidden = await make.project()
    await observe(make, "2026-01-01T00:00:00Z", hidden, reward=0.1)
    await observe(make, "2026-01-02T00:00:00Z", reward=0.2)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))
    stranger = make.client(await make.key(await make.organization()))

    assert rewards(await metrics(make.org)) == [0.2, 0.1]
    assert rewards(await metrics(narrow)) == [0.2]
    assert rewards(await metrics(stranger)) == []
    refused = await narrow.get(URL, headers={"X-Rensei-Project": hidden})
    assert refused.status_code == 404
    assert (await make.org.get(URL, headers={"X-Rensei-Org": "another"})).status_code == 404


async def test_the_rate_of_exploration_is_that_of_the_newest_decisions(make):
    for number in range(4):
        await observe(
            make,
            f"2026-01-0{number + 1}T00:00:00Z",
            exploration_reason="uncertainty" if number == 2 else None,
        )

    said = await metrics(make.org, limit=1)

    assert said["summary"]["explorationRate"] == 0.25
    reasons = [
        each.get("explorationReason") for each in (await metrics(make.org))["recentDecisions"]
    ]
    assert reasons == [None, "uncertainty", None, None]


# --- pages and windows ---


async def test_pages_hold_every_decision_once_equal_instants_included(make):
    instants = [*["2026-01-01T00:00:00.000123Z"] * 4, "2026-01-01T00:00:00.000122Z"]
    for number, at in enumerate(instants):
        await observe(make, at, reward=number / 10)
    narrow = make.client(await make.key(projects=[make.project_id], scopes=["sessions:read"]))

    for caller in (make.org, narrow):
        pages, cursor = [], {}
        while True:
            said = await metrics(caller, limit=2, **cursor)
            pages.append(rewards(said))
            if "nextCursor" not in said:
                break
            cursor = {"cursor": said["nextCursor"]}
        assert pages == [[0.3, 0.2], [0.1, 0], [0.4]]
        assert cursor["cursor"].startswith("1767225600000-123")


async def test_a_window_has_its_beginning_and_not_its_end(make):
    for day in (1, 2, 3):
        await observe(make, f"2026-01-0{day}T00:00:00Z", reward=day / 10)

    one, two, three = (f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3))
    assert rewards(await metrics(make.org, **{"from": two})) == [0.3, 0.2]
    assert rewards(await metrics(make.org, to=three)) == [0.2, 0.1]
    assert rewards(await metrics(make.org, **{"from": one, "to": two})) == [0.1]
    assert rewards(await metrics(make.org, **{"from": three, "to": one})) == []
    assert rewards(await metrics(make.org, **{"from": "2026-01-02T01:00:00+01:00"})) == [0.3, 0.2]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "many"},
        {"from": "yesterday"},
        {"to": "2026-02-30T00:00:00Z"},
        {"to": "2026-12-31T23:59:60Z"},
        {"cursor": "next"},
        {"cursor": "9" * 15 + "-0"},
    ],
)
async def test_what_does_not_fit_is_refused_by_name(make, query):
    answer = await make.org.get(URL, params=query)

    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["error"]


async def test_any_cursor_that_fits_is_answered(make):
    for cursor in ("0-0", "1782896400000-0", "9" * 14 + "-" + "9" * 21):
        await metrics(make.org, cursor=cursor)


async def test_a_worker_and_nobody_read_no_metrics(make, anonymous):
    worker = await make.worker()

    assert (await worker.client.get(URL)).status_code == 403
    assert (await anonymous.get(URL)).status_code == 401


# --- the cost ---


async def fill(make, count):
    """`count` observations, one of ten of them in the first project."""
    other = await make.project()
    await costs.completed_sessions(make, count)
    await make.owner.execute(
        "insert into routing_observations (org_id, project_id, session_id, lease_epoch, work_type,"
        " provider, body_hash, reward, confidence, observed_at)"
        " select %(org)s, case when n %% 10 = 0 then %(project)s else %(other)s end, 'done-' || n,"
        " 1, 'qa', 'claude', '', 0.5, 0.9, now() - n * interval '1 second'"
        " from generate_series(1, %(count)s) n",
        {"org": make.org_id, "project": make.project_id, "other": other, "count": count},
    )
    await costs.vacuum(make, "sessions", "routing_observations")
    return other


async def pages_touched(make, projects, window):
    statement = (
        routing_metrics.DECISIONS if projects is None else routing_metrics.DECISIONS_OF_PROJECTS
    )
    values = routing_metrics.decision_values(make.org_id, projects, window, 51)
    _, pages = await costs.explained(make.owner, statement, values)
    return pages


async def assert_page_is_read_alone(make, count):
    """A row costs its page, one of the index, and rarely more: not those of other rows."""
    other = await fill(make, count)
    rows = await make.owner.execute(
        "select observed_at, id from routing_observations"
        " where org_id = %s order by observed_at limit 1 offset %s",
        (make.org_id, count // 2),
    )
    row = await rows.fetchone()
    for projects in (None, {make.project_id}, {make.project_id, other}):
        for window in (Window(), Window(before=(row.observed_at, row.id))):
            visible = None if projects is None else frozenset(projects)
            pages = await pages_touched(make, visible, window)
            print(f"\n{count} decisions, {len(projects or ())} projects: {pages} pages")
            assert pages <= 2 * 51 * len(projects or "1")
    assert len((await metrics(make.org))["recentDecisions"]) == 50


async def test_a_page_of_decisions_does_not_read_the_others(make):
    await assert_page_is_read_alone(make, 10_000)


@pytest.mark.prove
async def test_a_page_of_a_hundred_thousand_decisions_does_not_either(make):
    await assert_page_is_read_alone(make, int(100_000 * SHARE))
