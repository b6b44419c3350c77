"""What happened is sealed: once each, in order, whatever it holds and whoever seals beside."""

import asyncio
import json
from dataclasses import replace

import psycopg
import pytest

from auth import keyring
from domain.audit_entries import GENESIS
from domain.checkpoints import parse_many
from domain.errors import Unavailable
from jobs import file_checkpoints as filing
from jobs import seal_audit as job
from jobs.file_checkpoints import file_checkpoints
from jobs.make_audit_months import make_audit_months
from jobs.seal_audit import seal_audit
from persistence import audit, database
from settings import use
from supervisor.postgres import SUPERUSER
from tests import chains


@pytest.fixture
def seal(run_job):
    """Seal all that waits, as the job process."""

    async def sealed():
        return await run_job(seal_audit)

    return sealed


@pytest.fixture
def happens(application, make):
    """Append events of a type to this test's chain, each in a transaction of its own."""

    async def append(*payloads, org_id=make.org_id, event_type="test.happened", entity=None):
        for payload in payloads:
            async with database.transaction() as db:
                await audit.append(db, org_id, None, event_type, entity, payload)

    return append


def payloads(rows):
    return [json.loads(row.payload) for row in rows if row.event_type == "test.happened"]


async def test_what_waits_becomes_a_chain_in_its_order(make, owner, happens, seal):
    await happens(*({"n": n} for n in range(5)), entity=("thing", "t-1"))

    await seal()

    rows = await chains.whole(owner, make.org_id)
    assert rows[0].prev_hash.hex() == GENESIS
    assert payloads(rows) == [{"n": n} for n in range(5)]
    assert {(row.entity_type, row.entity_id) for row in rows[-5:]} == {("thing", "t-1")}
    assert len({row.id for row in rows}) == len(rows)
    left = await chains.fetch(owner, "select * from audit_pending where org_id = %s", make.org_id)
    assert left == []


async def test_a_chain_grows_where_it_ended(make, owner, happens, seal, monkeypatch):
    monkeypatch.setattr(job, "MOST", 3)
    for _ in range(3):
        await happens(*({"n": n} for n in range(4)))
        await seal()

    rows = await chains.whole(owner, make.org_id)

    assert payloads(rows) == [{"n": n} for n in range(4)] * 3


async def test_what_belongs_to_nobody_is_a_chain_of_its_own(owner, happens, seal):
    await happens({"mark": "nobody's"}, org_id=None)

    await seal()

    assert {"mark": "nobody's"} in payloads(await chains.whole(owner, "system"))


@pytest.mark.parametrize(
    ("payload", "stored"),
    [
        ({}, "{}"),
        ({"b": 1, "a": {"d": [], "c": None}}, '{"a":{"c":null,"d":[]},"b":1}'),
        ({"ä": "naïve ☃ \U0001f600 \u2028\x7f\t"}, '{"ä":"naïve ☃ \U0001f600 \u2028\x7f\\t"}'),
        # By UTF-16 code units, in which the astral one comes first.
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'),
        (
            {"f": [0.1, 1.0, -0.0, 1e-7, 333333333.33333329]},
            '{"f":[0.1,1,0,1e-7,333333333.3333333]}',
        ),
        ({"f": [1e20, 1e21, 1e300, 5e-324]}, '{"f":[100000000000000000000,1e+21,1e+300,5e-324]}'),
        ({"i": [2**53 - 1, -(2**53) + 1]}, '{"i":[9007199254740991,-9007199254740991]}'),
        ({"i": [2**53 + 1, 2**64, 10**40 + 1]}, None),
        ({"large": "x" * 200_000}, '{"large":"' + "x" * 200_000 + '"}'),
    ],
)
async def test_every_payload_is_stored_as_it_was_hashed(
    make, owner, happens, seal, payload, stored
):
    await happens(payload)

    await seal()

    row = (await chains.whole(owner, make.org_id))[-1]
    if stored is None:  # no double holds these, so they are texts
        stored = '{"i":["9007199254740993","18446744073709551616","' + str(10**40 + 1) + '"]}'
    assert row.payload == stored


async def test_a_payload_that_cannot_be_followed_keeps_nobody_back(make, owner, happens, seal):
    deep = "[" * 3000 + "]" * 3000
    async with database.statement() as db:
        for payload in (f'{{"deep": {deep}}}', '{"long": 1' + "0" * 9000 + "}", '"a text"'):
            await db.exec_driver_sql(
                "insert into audit_pending (org_id, event_type, actor_type, payload)"
                " values (%s, 'test.happened', 'system', %s)",
                (make.org_id, payload),
            )
    await happens({"after": True})

    await seal()

    *_, first, second, third, last = payloads(await chains.whole(owner, make.org_id))
    assert first.keys() <= {"deep", "unreadable"}
    assert second == {"long": "1" + "0" * 9000}
    assert third == {"value": "a text"}
    assert last == {"after": True}


async def test_one_process_seals_while_the_others_pass_by(make, owner, happens, seal):
    await happens(*({"n": n} for n in range(40)))

    counts = await asyncio.gather(*(seal() for _ in range(6)))

    assert payloads(await chains.whole(owner, make.org_id)) == [{"n": n} for n in range(40)]
    assert sum(counts) >= 40


async def test_writers_and_sealers_at_once_lose_nothing(make, owner, happens, seal, monkeypatch):
    monkeypatch.setattr(job, "MOST", 7)
    done = asyncio.Event()

    async def sealer():
        while not done.is_set():
            await seal()
            await asyncio.sleep(0)

    async def writer(name):
        await happens(*({"writer": name, "n": n} for n in range(15)))

    sealing = [asyncio.create_task(sealer()) for _ in range(2)]
    await asyncio.gather(*(writer(name) for name in range(8)))
    done.set()
    await asyncio.gather(*sealing)
    await seal()

    found = payloads(await chains.whole(owner, make.org_id))
    assert len(found) == 8 * 15
    for name in range(8):
        assert [each["n"] for each in found if each["writer"] == name] == list(range(15))


async def test_a_sealer_that_loses_its_connection_has_taken_nothing(
    make, owner, happens, seal, stores, monkeypatch
):
    await happens({"n": 1})
    sealed = job._sealed

    def ended_meanwhile(batch):
        with psycopg.connect(stores.postgres.url(SUPERUSER)) as db:
            db.execute(
                "select pg_terminate_backend(l.pid) from pg_locks l"
                " where l.locktype = 'advisory' and l.objid = %s and l.granted",
                (job.audit_chains.LOCK & 0xFFFFFFFF,),
            )
        return sealed(batch)

    monkeypatch.setattr(job, "_sealed", ended_meanwhile)
    with pytest.raises(Unavailable):
        await seal()
    monkeypatch.setattr(job, "_sealed", sealed)
    await seal()

    assert payloads(await chains.whole(owner, make.org_id)) == [{"n": 1}]


async def test_a_chain_never_goes_back_in_time(make, owner, happens, seal):
    await happens({"n": 1})
    await seal()
    async with database.statement() as db:
        await db.exec_driver_sql(
            "insert into audit_pending (org_id, event_type, actor_type, payload, occurred_at)"
            " values (%s, 'test.happened', 'system', '{}', now() - interval '3 years')",
            (make.org_id,),
        )

    await seal()

    rows = await chains.whole(owner, make.org_id)
    assert rows[-1].occurred_at == rows[-2].occurred_at


async def test_a_first_row_of_another_month_is_kept_too(make, owner, happens, seal):
    """The month was never made: the row lies in the partition for all others."""
    org_id = await make.organization()
    await owner.execute(
        "update audit_pending set occurred_at = now() - interval '3 years' where org_id = %s",
        (org_id,),
    )

    await seal()

    (row,) = await chains.whole(owner, org_id)
    (place,) = await chains.fetch(
        owner, "select tableoid::regclass::text as name from audit_events where id = %s", row.id
    )
    assert place.name == "audit_months.other"


async def test_months_are_made_ahead_and_once(owner, run_job):
    await owner.execute("drop table audit_months.events_" + await month(owner, 3))

    made = [await run_job(make_audit_months) for _ in range(2)]

    assert made == [1, 0]


async def month(owner, ahead):
    (row,) = await chains.fetch(
        owner,
        "select to_char(now() at time zone 'UTC' + make_interval(months => %s), 'YYYY_MM') as name",
        ahead,
    )
    return row.name


async def test_a_checkpoint_covers_what_is_sealed_at_most_once_a_second(
    make, owner, happens, seal, monkeypatch
):
    await happens({"n": 1})
    await seal()
    await happens({"n": 2})
    await seal()
    rows = await chains.fetch(owner, chains.CHECKPOINTS, make.org_id)
    assert len(rows) == 1

    await owner.execute(
        "update audit_chains set checkpoint_at = checkpoint_at - interval '1 second'"
        " where workspace_id = %s",
        (make.org_id,),
    )
    await seal()

    sealed = await chains.whole(owner, make.org_id)
    rows = await chains.fetch(owner, chains.CHECKPOINTS, make.org_id)
    assert [row.tree_size for row in rows] == [len(sealed) - 1, len(sealed)]
    assert rows[-1].note.startswith(f"rensei/audit/{make.org_id}\n{len(sealed)}\n")


@pytest.fixture
def filed(given, tmp_path):
    """A file that checkpoints go to."""
    path = tmp_path / "audit" / "checkpoints"
    use(replace(given, audit_checkpoint_file=path))
    yield path
    use(given)


async def test_checkpoints_go_into_the_file_once_and_whole(make, happens, seal, run_job, filed):
    await happens({"n": 1})
    await seal()
    await run_job(file_checkpoints)
    await run_job(file_checkpoints)

    with filed.open() as lines:
        found = [each.checkpoint.origin for each in parse_many(lines)]
    assert found.count(f"rensei/audit/{make.org_id}") == 1
    assert filed.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("rest", ["half a checkpo", "rensei/audit/x\n3\nroot\n\n— rensei/aud"])
def test_what_a_power_cut_left_of_a_checkpoint_is_cut_off(tmp_path, rest):
    note = "rensei/audit/org_1\n1\nAAAA\n\n— rensei/audit/org_1 BBBB\n"
    path = tmp_path / "checkpoints"
    filing.append(path, [note])
    with path.open("a") as file:
        file.write(rest)

    filing.append(path, [note])

    assert path.read_text() == f"{note}\n{note}\n"


async def test_personal_members_are_encrypted_each_under_its_subjects_key(
    make, owner, happens, seal
):
    await happens(
        {"email": "Ada@acme.example", "authorName": "Ada", "n": 1},
        {"users": [{"email": "ada@acme.example"}, {"email": "bob@acme.example"}]},
        {"source": "192.0.2.7"},
    )

    await seal()

    rows = await chains.whole(owner, make.org_id)
    text = "".join(row.payload for row in rows).lower()
    assert "acme.example" not in text
    assert '"ada"' not in text
    assert "192.0.2.7" not in text
    first, second, third = payloads(rows)
    ada = first["email"]["$subject"]
    assert first["authorName"]["$subject"] == ada
    assert first["n"] == 1
    assert [each["email"]["$subject"] == ada for each in second["users"]] == [True, False]
    stored = await chains.fetch(
        owner, "select * from audit_subjects where workspace_id = %s", make.org_id
    )
    assert {row.id for row in stored} == {
        ada,
        second["users"][1]["email"]["$subject"],
        third["source"]["$subject"],
    }


async def test_a_chain_whose_key_was_revoked_by_hand_goes_on_under_a_new_one(
    make, owner, happens, seal
):
    await happens({"n": 1})
    await seal()
    await owner.execute(
        "update audit_keys set revoked_at = clock_timestamp() where workspace_id = %s",
        (make.org_id,),
    )
    await happens({"n": 2})
    await seal()

    *_, before, after = await chains.whole(owner, make.org_id)
    assert before.signing_key_id != after.signing_key_id


async def test_no_private_key_is_stored_in_the_open(make, owner, happens, seal):
    await happens({})
    await seal()

    (row,) = await chains.fetch(
        owner,
        "select s.secret_encrypted, k.* from audit_keys k join audit_key_secrets s using (kid)"
        " where workspace_id = %s",
        make.org_id,
    )
    private = keyring.current().master.open(row.secret_encrypted, f"audit key {row.kid}")
    assert len(private) == 32
    assert private not in row.secret_encrypted


@pytest.mark.parametrize("what", ["digest key", "signing key"])
async def test_a_chain_that_cannot_be_opened_waits_and_the_others_go_on(
    what, make, owner, happens, seal, monkeypatch
):
    monkeypatch.setattr(job, "_closed_until", {})
    other = await make.organization()
    await happens({"n": 0})
    await seal()
    table, column, key = {
        "digest key": ("audit_chains", "subject_key", "workspace_id = %s"),
        "signing key": (
            "audit_key_secrets",
            "secret_encrypted",
            "kid in (select kid from audit_keys where workspace_id = %s)",
        ),
    }[what]
    (was,) = await chains.fetch(
        owner, f"select {column} as value from {table} where {key}", make.org_id
    )
    change = f"update {table} set {column} = %s where {key}"
    await owner.execute(change, (bytes(60), make.org_id))

    await happens({"n": 1})
    await happens({"n": 1}, org_id=other)
    await seal()
    meanwhile = [payloads(await chains.whole(owner, each)) for each in (make.org_id, other)]
    await owner.execute(change, (was.value, make.org_id))
    job._closed_until.clear()
    await seal()

    assert meanwhile == [[{"n": 0}], [{"n": 1}]]
    assert payloads(await chains.whole(owner, make.org_id)) == [{"n": 0}, {"n": 1}]
