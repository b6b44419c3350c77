"""A database superuser changes what a kept checkpoint covers; verify.py names each change."""

import asyncio
import random

import verify
from auth import keyring
from tests.tampering import TAMPERINGS, Outside, Victim, grown, rewrite_a_row


async def test_every_kind_of_tampering_is_named(make, superuser, run_job, tmp_path):
    stranger = await make.organization()
    await grown(run_job, superuser, stranger, [5])
    await grown(run_job, superuser, make.org_id, [6] * 4, rotate=make.org)
    victim = await Victim.load(superuser, make.org_id, keyring.current().master, stranger)
    outside = await Outside.keeping(victim, make.org, tmp_path)
    assert await outside.check() == (0, [])

    rng = random.Random(7)
    for tamper in [*TAMPERINGS, *TAMPERINGS[:13]]:
        expected = await tamper(victim, rng.randint(3, max(victim.kept) - 1), rng)
        status, found = await outside.check()
        assert (tamper.__name__, status, found[:1]) == (tamper.__name__, 1, [expected])
        await victim.restore()

    assert await outside.check() == (0, [])


async def test_a_running_server_is_checked_at_its_address(
    make, superuser, run_job, address, tmp_path, capsys
):
    await grown(run_job, superuser, make.org_id, [6] * 4, rotate=make.org)
    victim = await Victim.load(superuser, make.org_id, keyring.current().master, make.org_id)
    (tmp_path / "kept").write_text(victim.notes)
    kept = victim.kept[1]

    async def checked(first):
        arguments = [
            address,
            f"--workspace={make.org_id}",
            f"--key={make.org_key}",
            f"--checkpoint={tmp_path / 'kept'}",
            f"--from={first}",
        ]
        status = await asyncio.to_thread(verify.main, arguments)
        return status, capsys.readouterr().out

    for first in (1, kept + 1, kept + 3):
        status, told = await checked(first)
        assert status == 0
        assert f"rows {first} to {max(victim.kept)} are those that a kept checkpoint" in told

    # What lies before the rows that are asked for was sealed anew, and nothing later was kept.
    (tmp_path / "kept").write_text(victim.saved["audit_checkpoints"][0]["note"])
    kept = victim.kept[0]
    await rewrite_a_row(victim, kept - 1, random.Random(1))
    status, told = await checked(kept + 3)
    assert status == 1
    assert "(checkpoint-inconsistent)" in told


async def test_an_unreadable_payload_is_listed_as_that_and_named(make, superuser, run_job):
    await grown(run_job, superuser, make.org_id, [4])
    for spoilt in ("no JSON", "[]", '{"n": 1' + "0" * 400 + "}", "[" * 5000):
        await superuser.execute(
            "update audit_events set payload = %s where workspace_id = %s and sequence_number = 3",
            (spoilt, make.org_id),
        )

        listed = (await make.org.get("/api/audit", params={"limit": 200})).json()["events"]
        named = (await make.org.post("/api/audit/verify", json={})).json()

        (row,) = (event for event in listed if event["sequenceNumber"] == 3)
        assert row["payload"] == {"unreadable": spoilt[:1000]}
        assert (named["valid"], named["brokenAt"]["sequenceNumber"]) == (False, 3)
