"""Fifty sessions of the open-source worker, through stops, crashes and a restart of everything."""

import asyncio

import pytest

from tests.acceptance.promises import keeps_its_promises
from tests.acceptance.scenario import SERVER, Plan, scenario
from tests.sampling import SHARE

pytestmark = pytest.mark.prove

FULL = 50
LEAST = 25
RUNS = [(False,), (True,)] if SHARE >= 1 else [(False, True)]
"""Which workers use runtime tokens: none, all, or in a shorter run every second one."""


async def start_everything_anew(played):
    """The whole server, its stores included, is killed at once and started again."""
    await asyncio.to_thread(played.server.kill)
    await asyncio.to_thread(played.server.launch)
    await asyncio.to_thread(played.server.wait_until_ready)


@pytest.mark.parametrize("runtime", RUNS, ids=str)
async def test_fifty_sessions_finish_through_stops_crashes_and_a_restart(
    serve, scaled, capsys, runtime
):
    fates = Plan(quick=0, stopped=3, crashed=5, restarted=2, by_kill=True)
    plan = Plan(
        quick=scaled(FULL, LEAST) - fates.sessions,
        stopped=fates.stopped,
        crashed=fates.crashed,
        restarted=fates.restarted,
        by_kill=True,
    )

    outcome = await scenario(serve(**SERVER), plan, start_everything_anew, runtime=runtime)

    with capsys.disabled():
        print(f"\n{plan.sessions} sessions, {len(outcome.journal.exchanges):,} requests")
    keeps_its_promises(outcome, plan)
