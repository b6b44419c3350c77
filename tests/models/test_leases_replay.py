"""The server takes the model's steps, and is in the model's state after each of them."""

import os
import random
from dataclasses import replace

import pytest

from persistence import handover
from tests.models import wrong_rules
from tests.models.journeys import covering, edges, first_difference, wandering
from tests.models.leases import Rules, Scope
from tests.models.server import Differs, Server
from tests.models.test_leases import BESIDE, CALLS, HAND_OVERS, HANDS, LIES, REPORTS
from tests.sampling import few

SHARE = float(os.environ.get("PROVE_SHARE", "1"))
EVERYTHING = Scope(
    sessions=3, capacity=2, counts=(0, 1, 2, 3), reports=(*REPORTS, "failed"),
    kinds=(*CALLS, "claim", *HAND_OVERS), in_order=True,
)  # fmt: skip


@pytest.fixture
async def server(make, run_job, monkeypatch):
    """Begins walks, with two attempts and two nacks for each session."""
    monkeypatch.setattr(handover, "MOST_NACKS", 2)
    await make.owner.execute(
        "insert into service_pulse (one) values (true) on conflict (one) do nothing"
    )
    answer = await make.org.patch(f"/api/org/{make.org_id}/settings", json={"maxAttempts": 2})
    assert answer.status_code == 200
    return lambda scope: Server(make, run_job, scope)


async def walk(server, rules, way):
    walked = server(rules.scope)
    state = await walked.begin()
    for step in way:
        state = await walked.follow(rules, state, step)


@pytest.mark.parametrize(
    ("scope", "parts"),
    [
        pytest.param(HANDS, 32, id="hand overs"),
        pytest.param(LIES, 4, id="wrong counts"),
        pytest.param(HANDS, max(1, round(1 / SHARE)), id="all hand overs", marks=pytest.mark.prove),
        pytest.param(LIES, 1, id="all wrong counts", marks=pytest.mark.prove),
    ],
)
async def test_the_server_takes_every_kind_of_step_as_the_model_does(server, scope, parts):
    rules = Rules(scope)
    ways = covering(rules)[::parts]

    for way in ways:
        await walk(server, rules, way)

    print(f"\n{len(ways)} ways, {sum(map(len, ways))} steps")
    assert sum(map(len, ways)) > 30


@pytest.mark.parametrize(
    "walks", [4, pytest.param(max(1, int(100 * SHARE)), id="long", marks=pytest.mark.prove)]
)
async def test_wherever_a_walk_wanders_server_and_model_stay_together(server, walks):
    rules, chance, seen = Rules(EVERYTHING), random.Random(14), set()
    for _ in range(walks):
        walked = server(EVERYTHING)
        state = await walked.begin()
        for _ in range(50):
            step = wandering(rules, chance, state, seen)
            after = await walked.follow(rules, state, step)
            for answer, told in rules.take(state, step):
                if told == after:
                    seen |= edges(state, step, answer, told)
            state = after

    print(f"\n{len(seen)} kinds of steps")
    assert len(seen) > 100


@pytest.mark.parametrize(
    "wrong", few([*wrong_rules.BREAK_A_PROMISE, *wrong_rules.DIFFER_FROM_THE_SERVER], 12)
)
async def test_rules_told_wrongly_lose_the_server_on_their_way(server, wrong):
    found = first_difference(
        [(Rules(scope), wrong(scope)) for scope in (HANDS, LIES, replace(BESIDE, in_order=True))]
    )

    assert found is not None
    right, told_wrongly, way = found
    await walk(server, right, way)
    with pytest.raises(Differs):
        await walk(server, told_wrongly, way)
