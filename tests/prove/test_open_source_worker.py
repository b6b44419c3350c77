"""Fifty sessions of the open-source worker, through stops, crashes and a restart of everything."""

import asyncio

import pytest

from tests.acceptance.promises import keeps_its_promises
from tests.acceptance.scenario import SERVER, Plan, scenario

pytestmark = pytest.mark.prove

FULL = 50


async def start_everything_anew(played):
    """The whole server, its stores included, is killed at once and started again."""
    await asyncio.to_thread(played.server.kill)
    await asyncio.to_thread(played.server.launch)
    await asyncio.to_thread(played.server.wait_until_ready)


@pytest.mark.parametrize(
    ("runtime", "least"), [((False,), 25), ((True,), 18)], ids=["one key", "runtime tokens"]
)
async def test_fifty_sessions_finish_through_stops_crashes_and_a_restart(
    serve, scaled, capsys, runtime, least
):
    fates = Plan(quick=0, stopped=3, crashed=5, restarted=2, by_kill=True)
    plan = Plan(
        quick=scaled(FULL, least) - fates.sessions,
        stopped=fates.stopped,
        crashed=fates.crashed,
        restarted=fates.restarted,
        by_kill=True,
    )

    outcome = await scenario(serve(**SERVER), plan, start_everything_anew, runtime=runtime)

    with capsys.disabled():
        print(f"\n{plan.sessions} sessions, {len(outcome.journal.exchanges):,} requests")
    keeps_its_promises(outcome, plan)
