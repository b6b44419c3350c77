"""Which provider a session is run with: chosen, overridden, switched off, learned, remembered."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import settings
from auth import schemes
from persistence import database
from services import routing

CANDIDATES = ["claude", "codex"]


@pytest.fixture
def switched_on(given):
    settings.use(replace(given, routing_selector_enabled=True))
    yield
    settings.use(given)


@pytest.fixture
async def worker(make):
    return await make.worker(capacity=100)


@pytest.fixture
async def session_id(make, worker):
    return await make.claimed(worker)


async def select(caller, session_id, candidates=None, **body):
    return await caller.post(
        f"/api/sessions/{session_id}/routing-select",
        json={
            "workType": "development",
            "candidates": CANDIDATES if candidates is None else candidates,
            **body,
        },
    )


async def feedback(caller, session_id, provider="claude", reward=0.5, **body):
    return await caller.post(
        f"/api/sessions/{session_id}/routing-feedback",
        json={"provider": provider, "workType": "development", "reward": reward, **body},
    )


async def arms(make):
    rows = await make.owner.execute(
        "select provider, work_type, project_id, alpha, beta, observations, cost_usd, costs"
        " from routing_arms where org_id = %s order by work_type, provider",
        (make.org_id,),
    )
    return await rows.fetchall()


async def observations(make):
    rows = await make.owner.execute(
        "select * from routing_observations where org_id = %s order by id", (make.org_id,)
    )
    return await rows.fetchall()


async def put_arm(make, provider, alpha, beta, age="0 seconds"):
    await make.owner.execute(
        "insert into routing_arms"
        " (org_id, project_id, work_type, provider, alpha, beta, learned_at)"
        " values (%s, %s, 'development', %s, %s, %s, now() - %s::interval)",
        (make.org_id, make.project_id, provider, alpha, beta, age),
    )


def left_to_the_caller(answer, source):
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "selectedProvider": None,
        "source": source,
        "expectedReward": 0,
        "confidence": 0,
    }


# --- selection ---


async def test_it_is_off_until_it_is_switched_on(worker, session_id):
    left_to_the_caller(await select(worker.client, session_id), "disabled")


async def test_what_earned_more_is_chosen(make, worker, session_id, switched_on):
    await put_arm(make, "claude", 400, 100)
    await put_arm(make, "codex", 100, 400)

    answer = await select(worker.client, session_id)

    assert answer.json() == {
        "selectedProvider": "claude",
        "source": "mab-routing",
        "expectedReward": 0.8,
        "confidence": 0.9821,
    }


async def test_one_of_the_candidates_is_chosen_and_nobody_else(
    make, worker, session_id, switched_on
):
    await put_arm(make, "claude", 500, 1)

    answer = await select(worker.client, session_id, ["amp", "gemini", "amp"])

    assert answer.json()["selectedProvider"] in {"amp", "gemini"}
    assert answer.json()["expectedReward"] == 0.5


async def test_new_providers_are_all_tried(worker, session_id, switched_on):
    chosen = {
        (await select(worker.client, session_id)).json()["selectedProvider"] for _ in "1" * 30
    }

    assert chosen == set(CANDIDATES)


async def test_without_candidates_the_caller_decides(worker, session_id, switched_on):
    left_to_the_caller(await select(worker.client, session_id, []), "fallback")


async def test_what_was_learned_long_ago_has_faded(make, worker, session_id, switched_on):
    await put_arm(make, "claude", 101, 1, age="60 days")

    answer = await select(worker.client, session_id, ["claude"])

    assert answer.json()["expectedReward"] == pytest.approx(26 / 27, abs=1e-3)


@pytest.mark.parametrize(
    "columns",
    [
        {"provider": "amp"},
        {"work": '{"resolvedProfile": {"runner": "go", "provider": "amp"}}'},
        {"work": '{"modelProfile": {"providerId": "amp"}}'},
    ],
)
async def test_a_profile_that_names_a_provider_is_left_alone(make, worker, switched_on, columns):
    session_id = await make.claimed(worker, **columns)

    left_to_the_caller(await select(worker.client, session_id), "explicit")


async def test_a_project_that_names_a_provider_is_left_alone_until_it_does_no_more(
    make, worker, session_id, switched_on
):
    path = f"/api/org/{make.org_id}/settings"
    named = await make.org.patch(path, json={"projectProviders": {make.project_id: "amp"}})
    left_to_the_caller(await select(worker.client, session_id), "explicit")
    unnamed = await make.org.patch(path, json={"projectProviders": {make.project_id: None}})

    assert named.json()["settings"]["projectProviders"] == {make.project_id: "amp"}
    assert unnamed.json()["settings"]["projectProviders"] == {}
    assert (await select(worker.client, session_id)).json()["source"] == "mab-routing"


async def test_selecting_is_a_call_that_renews_the_lease_and_changes_nothing_else(
    make, worker, session_id, switched_on, audit_log
):
    before = await make.stored(session_id)
    audited = await audit_log()

    await select(worker.client, session_id)

    after = await make.stored(session_id)
    assert after.confirmed
    assert after.last_call_at is not None
    assert after._replace(confirmed=before.confirmed, last_call_at=before.last_call_at) == before
    assert await audit_log() == audited


async def test_a_lost_session_comes_back_to_its_last_owner_by_asking(
    make, worker, session_id, switched_on
):
    await make.owner.execute(
        "update sessions set status = 'pending', worker_id = null, slot_worker_id = null,"
        " lost_by_worker_id = worker_id, lost_status = 'running', lost_at = now()"
        " where org_id = %s and id = %s",
        (make.org_id, session_id),
    )

    answer = await select(worker.client, session_id)

    assert answer.json()["source"] == "mab-routing"
    stored = await make.stored(session_id)
    assert (stored.status, stored.worker_id) == ("running", worker.id)


@pytest.mark.parametrize(
    "body",
    [
        {"workType": "qa"},
        {"candidates": ["claude"]},
        {"workType": "", "candidates": []},
        {"workType": "qa", "candidates": "claude"},
        {"workType": "qa", "candidates": [""]},
        {"workType": "qa", "candidates": [7]},
    ],
)
async def test_a_request_that_does_not_fit_is_400(worker, session_id, body):
    answer = await worker.client.post(f"/api/sessions/{session_id}/routing-select", json=body)

    assert answer.status_code == 400


# --- feedback ---


async def test_alpha_grows_by_the_reward_and_beta_by_the_rest(make, worker, session_id, audit_log):
    answer = await feedback(worker.client, session_id, reward=0.67, totalCostUsd=1.5)

    assert answer.json() == {"recorded": True}
    (arm,) = await arms(make)
    assert (arm.provider, arm.work_type, arm.project_id) == (
        "claude",
        "development",
        make.project_id,
    )
    assert (arm.alpha, arm.beta) == pytest.approx((1.67, 1.33))
    assert (arm.observations, arm.cost_usd, arm.costs) == (1, 1.5, 1)
    assert await audit_log(of="session.routing_feedback") == [
        ("session.routing_feedback", session_id)
    ]


async def test_the_routing_metrics_will_find_what_they_show(make, worker, session_id, switched_on):
    await put_arm(make, "claude", 8, 2)
    await select(worker.client, session_id, ["claude"])

    await feedback(
        worker.client,
        session_id,
        reward=1,
        issueIdentifier="ENG-204",
        taskCompleted=True,
        prCreated=False,
        qaResult="passed",
        totalCostUsd=0.5,
        wallClockMs=1388120,
    )

    (seen,) = await observations(make)
    assert (seen.provider, seen.work_type, seen.reward) == ("claude", "development", 1)
    assert (seen.issue_identifier, seen.task_completed, seen.pr_created) == ("ENG-204", True, False)
    assert (seen.qa_result, seen.total_cost_usd, seen.wall_clock_ms) == ("passed", 0.5, 1388120)
    assert seen.confidence == pytest.approx(0.8794, abs=1e-3)  # as it was when it was chosen
    assert seen.exploration_reason is None
    assert seen.project_id == make.project_id


async def test_a_choice_that_was_not_expected_to_be_the_best_is_known_as_one(
    make, worker, session_id, switched_on
):
    await put_arm(make, "claude", 6, 5)
    chosen = None
    while chosen != "codex":  # its prior is as wide as can be, so it comes soon
        chosen = (await select(worker.client, session_id)).json()["selectedProvider"]

    await feedback(worker.client, session_id, "codex")

    (seen,) = await observations(make)
    assert seen.exploration_reason == "uncertainty"


async def test_learning_goes_on_while_routing_is_off_and_shows_when_it_is_on(
    make, worker, session_id, given
):
    await feedback(worker.client, session_id, reward=1)
    settings.use(replace(given, routing_selector_enabled=True))
    try:
        answer = await select(worker.client, session_id, ["claude"])
    finally:
        settings.use(given)

    assert answer.json()["expectedReward"] == pytest.approx(0.6667)


async def test_each_project_type_of_work_and_provider_learns_for_itself(make, worker, session_id):
    other = await make.project()
    colleague = await make.worker(await make.key(projects=[other]))
    elsewhere = await make.claimed(colleague, project_id=other)

    await feedback(worker.client, session_id)
    await feedback(worker.client, session_id, "codex")
    await feedback(worker.client, session_id, workType="qa")
    await feedback(colleague.client, elsewhere)

    known = await arms(make)
    assert {(arm.project_id, arm.work_type, arm.provider) for arm in known} == {
        (make.project_id, "development", "claude"),
        (make.project_id, "development", "codex"),
        (make.project_id, "qa", "claude"),
        (other, "development", "claude"),
    }
    assert {arm.observations for arm in known} == {1}


async def test_a_repeated_feedback_counts_once_and_is_answered_alike(make, worker, session_id):
    answers = await asyncio.gather(
        *(feedback(worker.client, session_id, reward=0.75) for _ in range(6))
    )

    assert [answer.json() for answer in answers] == [{"recorded": True}] * 6
    (arm,) = await arms(make)
    assert (arm.alpha, arm.beta, arm.observations) == (1.75, 1.25, 1)


async def test_a_second_opinion_of_the_same_attempt_is_not_recorded(make, worker, session_id):
    await feedback(worker.client, session_id, reward=0.75)

    answer = await feedback(worker.client, session_id, reward=0.1)

    assert answer.json() == {"recorded": False}
    (arm,) = await arms(make)
    assert (arm.alpha, arm.observations) == (1.75, 1)


async def test_another_attempt_is_heard_anew(make, worker, session_id):
    await feedback(worker.client, session_id, reward=0)
    await make.owner.execute(
        "update sessions set lease_epoch = lease_epoch + 1 where org_id = %s and id = %s",
        (make.org_id, session_id),
    )

    answer = await feedback(worker.client, session_id, reward=0)

    assert answer.json() == {"recorded": True}
    (arm,) = await arms(make)
    assert (arm.alpha, arm.beta, arm.observations) == pytest.approx((1, 3, 2))


async def test_feedback_of_many_sessions_at_once_loses_nothing(make, worker):
    session_ids = [await make.claimed(worker) for _ in range(24)]
    rewards = [n / 23 for n in range(24)]

    answers = await asyncio.gather(
        *(
            feedback(worker.client, each, reward=reward, totalCostUsd=0.25)
            for each, reward in zip(session_ids, rewards, strict=True)
        )
    )

    assert [answer.json() for answer in answers] == [{"recorded": True}] * 24
    (arm,) = await arms(make)
    assert (arm.observations, arm.costs, arm.cost_usd) == (24, 24, 6)
    assert (arm.alpha, arm.beta) == pytest.approx((13, 13), abs=1e-3)
    assert len(await observations(make)) == 24


async def test_a_session_that_has_ended_may_still_tell_and_stays_as_it_was(
    make, worker, session_id
):
    await worker.client.post(
        f"/api/sessions/{session_id}/status", json={"workerId": worker.id, "status": "completed"}
    )
    before = await make.stored(session_id)

    answer = await feedback(worker.client, session_id)

    assert answer.json() == {"recorded": True}
    assert await make.stored(session_id) == before


async def test_an_old_lease_tells_nothing(make, worker, session_id):
    answer = await feedback(worker.client, session_id, leaseEpoch=99)

    assert answer.status_code == 403
    assert "owned by another worker" in answer.json()["error"]
    assert await arms(make) == []


@pytest.mark.parametrize(
    "body",
    [
        {"reward": 1.01},
        {"reward": -0.01},
        {"reward": "1"},
        {"provider": ""},
        {"workType": ""},
        {"qaResult": "fine"},
        {"totalCostUsd": -1},
        {"wallClockMs": 1.5},
    ],
)
async def test_a_feedback_that_does_not_fit_is_400(make, worker, session_id, body):
    answer = await feedback(worker.client, session_id, **body)

    assert answer.status_code == 400
    assert await arms(make) == []


# --- while PostgreSQL is away ---


@asynccontextmanager
async def database_away():
    """For the requests of this block: a database where nobody listens."""
    nowhere = database.Database("postgresql://nobody@127.0.0.1:1/nothing")
    try:
        with database.using(nowhere):
            yield
    finally:
        await nowhere.close()
        routing._away_until = 0.0


async def timed(call):
    begun = time.perf_counter()
    answer = await call
    return answer, time.perf_counter() - begun


async def test_whoever_was_seen_lately_is_routed_from_memory(make, worker, session_id, switched_on):
    await put_arm(make, "claude", 500, 1)
    await put_arm(make, "codex", 1, 500)
    first = await select(worker.client, session_id)

    async with database_away():
        again = await select(worker.client, session_id)
        later, seconds = await timed(select(worker.client, session_id))

    assert again.json() == later.json() == first.json()
    assert seconds < 0.2


async def test_a_registration_key_that_was_seen_lately_is_recognised_from_memory(
    make, worker, session_id, switched_on, monkeypatch
):
    caller = make.client(make.worker_key)
    await select(caller, session_id)
    # As if the key had been looked up long ago, and seen alive since.
    monkeypatch.setattr(schemes, "CACHED_KEY_SECONDS", -1.0)

    async with database_away():
        answer = await select(caller, session_id)

    assert answer.json()["source"] == "mab-routing"


async def test_whoever_was_not_seen_is_503(make, worker, session_id, switched_on):
    await select(worker.client, session_id)
    other = await make.claimed(worker)

    async with database_away():
        answer = await select(worker.client, other)

    assert answer.status_code == 503
    assert answer.headers["retry-after"].isdigit()


async def test_after_a_minute_memory_is_no_good(worker, session_id, switched_on, monkeypatch):
    await select(worker.client, session_id)
    monkeypatch.setattr(schemes, "SEEN_ALIVE_SECONDS", 0.0)

    async with database_away():
        answer = await select(worker.client, session_id)

    assert answer.status_code == 503


async def test_a_type_of_work_that_was_not_asked_about_is_left_to_the_caller(
    worker, session_id, switched_on
):
    await select(worker.client, session_id)

    async with database_away():
        answer = await select(worker.client, session_id, workType="qa")

    left_to_the_caller(answer, "fallback")


async def test_what_is_switched_off_or_insisted_on_stays_so(make, worker, switched_on, given):
    session_id = await make.claimed(worker, provider="amp")
    await select(worker.client, session_id)

    async with database_away():
        left_to_the_caller(await select(worker.client, session_id), "explicit")
        settings.use(given)
        left_to_the_caller(await select(worker.client, session_id), "disabled")


async def test_feedback_is_not_recorded_and_the_caller_hears_it(
    make, worker, session_id, switched_on
):
    await select(worker.client, session_id)
    other = await make.claimed(worker)

    async with database_away():
        answer = await feedback(worker.client, session_id)
        of_another = await feedback(worker.client, other)

    assert (answer.status_code, answer.json()) == (200, {"recorded": False})
    assert of_another.status_code == 503
    assert (await feedback(worker.client, session_id)).json() == {"recorded": True}


async def test_a_database_that_does_not_answer_is_not_waited_for(
    worker, session_id, switched_on, monkeypatch
):
    await select(worker.client, session_id)
    asked = []

    async def silence(sql, values):
        asked.append(sql)
        await asyncio.sleep(3600)

    monkeypatch.setattr(database, "hot", silence)
    answers = [await timed(select(worker.client, session_id)) for _ in range(20)]
    monkeypatch.undo()
    await routing.settle()
    routing._away_until = 0.0

    assert [answer.json()["source"] for answer, _ in answers] == ["mab-routing"] * 20
    assert sum(seconds for _, seconds in answers) < 0.5
    assert len(asked) == 1


async def test_a_session_that_moved_on_is_forgotten(make, worker, session_id, switched_on):
    await select(worker.client, session_id)
    await make.owner.execute(
        "update sessions set worker_id = null, status = 'pending' where org_id = %s and id = %s",
        (make.org_id, session_id),
    )
    refused = await select(worker.client, session_id)

    async with database_away():
        answer = await select(worker.client, session_id)

    assert refused.status_code == 403
    assert answer.status_code == 503
