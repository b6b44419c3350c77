"""A database superuser changes what a kept checkpoint covers; verify.py names each change."""

import random

from auth import keyring
from tests.tampering import TAMPERINGS, Outside, Victim, grown


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
