"""The audit log as its organization reads it, and as everybody can check it."""

import asyncio
import base64
import gzip
import json

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain import checkpoints, merkle
from domain.audit_entries import GENESIS
from jobs.seal_audit import seal_audit
from persistence import audit, database
from services import audit_verification
from supervisor.postgres import SUPERUSER
from tests import chains

LIST = "/api/audit"
VERIFY = "/api/audit/verify"
CHECKPOINT = "/api/audit/checkpoint"
INCLUSION = "/api/audit/inclusion"
CONSISTENCY = "/api/audit/consistency"
EXPORT = "/api/audit/export"
FORGET = "/api/audit/subjects/forget"
ROTATE = "/api/audit/keys/rotate"


@pytest.fixture
def seal(run_job):
    async def sealed():
        return await run_job(seal_audit)

    return sealed


@pytest.fixture
def happens(application, make):
    async def append(*payloads, entity=None, event_type="test.happened"):
        for payload in payloads:
            async with database.transaction() as db:
                await audit.append(db, make.org_id, None, event_type, entity, payload)

    return append


@pytest.fixture
async def chain(make, owner, happens, seal):
    """A chain of this test, sealed, with a checkpoint over all of it."""
    await happens(*({"n": n} for n in range(9)), entity=("thing", "t-1"))
    await seal()
    return await chains.whole(owner, make.org_id)


def keys_of(make):
    return make.client().get(f"/.well-known/audit-keys/{make.org_id}")


def bundle(answer):
    return [json.loads(line) for line in gzip.decompress(answer.content).splitlines()]


async def test_rows_are_listed_newest_first_as_they_were_hashed(make, chain):
    answer = await make.org.get(LIST)

    events = answer.json()["events"]
    assert answer.status_code == 200
    assert [each["sequenceNumber"] for each in events] == list(range(len(chain), 0, -1))
    newest, row = events[0], chain[-1]
    assert newest == {
        "id": row.id,
        "workspaceId": make.org_id,
        "sequenceNumber": len(chain),
        "eventType": "test.happened",
        "actorId": None,
        "actorType": "system",
        "entityType": "thing",
        "entityId": "t-1",
        "payload": {"n": 8},
        "prevHash": events[1]["entryHash"],
        "entryHash": row.entry_hash.hex(),
        "occurredAt": newest["occurredAt"],
        "signature": base64.b64encode(row.signature).decode(),
        "signingKeyId": row.signing_key_id,
    }
    assert events[-1]["prevHash"] == GENESIS


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("limit=2", [-1, -2]),
        ("limit=2&offset=3", [-4, -5]),
        ("limit=0", [-1]),
        ("limit=-7&offset=-3", [-1]),
        ("limit=1&offset=9007199254740991", []),
        ("limit=2&entityId=t-1", [-1, -2]),
        ("limit=2&entityType=thing&entityId=t-1&offset=1", [-2, -3]),
        ("entityId=t-", []),
        ("entityType=Thing", []),
    ],
)
async def test_pages_and_filters_are_exact_and_clamped(make, chain, query, numbers):
    answer = await make.org.get(f"{LIST}?{query}")

    shown = [each["sequenceNumber"] for each in answer.json()["events"]]
    assert shown == [chain[number].sequence_number for number in numbers]


async def test_a_page_holds_two_hundred_rows_at_the_most(make, happens, seal):
    await happens(*({} for _ in range(210)))
    await seal()

    whole = await make.org.get(f"{LIST}?limit=100000")
    usual = await make.org.get(LIST)

    assert len(whole.json()["events"]) == 200
    assert len(usual.json()["events"]) == 50


@pytest.mark.parametrize("query", ["limit=two", "offset=1.5", "limit="])
async def test_what_is_no_number_is_refused(make, query):
    assert (await make.org.get(f"{LIST}?{query}")).status_code == 400


async def test_another_organization_is_not_found(make, chain):
    other = await make.organization()
    for path in (LIST, CHECKPOINT, EXPORT):
        answer = await make.org.get(f"{path}?workspaceId={other}")
        assert answer.status_code == 404
    for path in (VERIFY, ROTATE):
        assert (await make.org.post(path, json={"workspaceId": other})).status_code == 404
    answer = await make.org.post(FORGET, json={"workspaceId": other, "subject": "a"})
    assert answer.status_code == 404


async def test_the_system_key_reads_any_chain_and_its_own(make, chain, seal):
    await make.client("rsk_live_" + "0" * 64).get("/api/cli/whoami")  # refused, of nobody
    theirs = await make.system.get(f"{LIST}?workspaceId={make.org_id}&limit=1")
    own = await make.system.get(f"{LIST}?limit=1")

    assert theirs.json()["events"][0]["workspaceId"] == make.org_id
    assert {each["workspaceId"] for each in own.json()["events"]} <= {"system"}


async def test_the_web_sees_rows_of_the_workspace_it_names_and_of_no_other(make, chain):
    async with database.transaction() as db:
        none = await db.exec_driver_sql("select count(*) from audit_events")
        assert none.scalar_one() == 0


@pytest.mark.parametrize("number", [1e20, 1e300, 0.1, 2**53 - 1, -1.5e-9])
async def test_numbers_are_shown_as_they_were(make, happens, seal, number):
    await happens({"number": number})
    await seal()

    answer = await make.org.get(f"{LIST}?limit=1")

    assert answer.json()["events"][0]["payload"] == {"number": number}


# --- Keys ---------------------------------------------------------------------------------------


async def test_everybody_may_read_the_keys_that_sign(make, chain):
    answer = await keys_of(make)
    again = await make.client().get(f"/.well-known/audit-keys/{make.org_id}.json")

    (key,) = answer.json()["keys"]
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=3600"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert again.content == answer.content
    assert again.headers["etag"] == answer.headers["etag"]
    assert key["kid"] == chain[0].signing_key_id
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert "=" not in key["x"]
    assert len(base64.urlsafe_b64decode(key["x"] + "=")) == 32
    assert key["rensei:workspace_id"] == make.org_id
    assert key["rensei:revoked_at"] is None


@pytest.mark.parametrize(
    "workspace", ["org_ffffffffffffffff", "x", ".json", "a%20b", "ä", "x" * 999]
)
async def test_a_workspace_that_never_was_has_no_keys(anonymous, workspace):
    answer = await anonymous.get(f"/.well-known/audit-keys/{workspace}")

    assert (answer.status_code, answer.json()) == (200, {"keys": []})


async def test_a_copy_that_is_still_right_is_not_sent_again(make, chain):
    tag = (await keys_of(make)).headers["etag"]
    path = f"/.well-known/audit-keys/{make.org_id}"
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = await make.client().get(path, headers={"If-None-Match": sent})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["access-control-allow-origin"] == "*"
    for sent in ('"other"', "nonsense"):
        answer = await make.client().get(path, headers={"If-None-Match": sent})
        assert answer.status_code == 200

    await make.org.post(ROTATE)

    answer = await make.client().get(path, headers={"If-None-Match": tag})
    assert answer.status_code == 200


async def test_rotation_makes_a_key_that_no_other_is_derived_from(
    make, owner, chain, happens, seal
):
    answer = await make.org.post(ROTATE)
    await happens({"n": 10})
    await seal()

    rows = await chains.whole(owner, make.org_id)
    old, new = (await keys_of(make)).json()["keys"]
    said = answer.json()
    assert answer.status_code == 201
    assert (said["key"], said["revoked"]) == (new, old["kid"])
    assert old["x"] != new["x"]
    assert old["rensei:revoked_at"] >= chain[-1].occurred_at.isoformat()[:23]
    assert new["rensei:revoked_at"] is None
    assert [row.signing_key_id for row in rows[-3:]] == [old["kid"], new["kid"], new["kid"]]
    assert (rows[-2].event_type, rows[-2].entity_id) == ("audit_key.rotated", new["kid"])
    assert (await make.org.post(VERIFY)).json()["valid"] is True


async def test_a_rotation_before_the_first_row_makes_the_first_key(make):
    org_id = await make.organization()
    org = make.client(await make.key(org_id))

    first = await org.post(ROTATE)
    second = await org.post(ROTATE)

    assert first.json()["revoked"] is None
    assert second.json()["revoked"] == first.json()["key"]["kid"]


async def test_keys_are_not_made_without_end(make):
    org = make.client(await make.key(await make.organization()))

    some = [await org.post(ROTATE) for _ in range(15)]
    many = await asyncio.gather(*(org.post(ROTATE) for _ in range(15)))

    assert {answer.status_code for answer in some} == {201}
    assert sorted(answer.status_code for answer in many) == [201] * 5 + [409] * 10


# --- Verification -------------------------------------------------------------------------------


async def test_a_whole_chain_is_valid(make, chain):
    answer = await make.org.post(VERIFY, json={"workspaceId": make.org_id})

    assert answer.json() == {
        "workspaceId": make.org_id,
        "valid": True,
        "eventCount": len(chain),
        "firstSequence": 1,
        "lastSequence": len(chain),
        "brokenAt": None,
        "complete": True,
        "nextSequence": None,
    }


async def test_a_chain_that_never_began_is_valid_and_empty(make):
    org = make.client(await make.key(await make.organization()))

    said = (await org.post(VERIFY)).json()

    assert (said["valid"], said["complete"], said["eventCount"]) == (True, True, 0)


@pytest.fixture
def superuser(stores):
    """What nobody but a superuser can do to a chain."""

    def change(statement, *values):
        with psycopg.connect(stores.postgres.url(SUPERUSER)) as db:
            assert db.execute(statement, values).rowcount > 0

    return change


ROW = "where workspace_id = %s and sequence_number = 5"


@pytest.mark.parametrize(
    ("tampering", "number", "reason"),
    [
        (f"update audit_events set payload = '{{\"n\":99}}' {ROW}", 5, "content"),
        (f"update audit_events set payload = 'no json' {ROW}", 5, "content"),
        (f"update audit_events set actor_id = 'somebody' {ROW}", 5, "content"),
        (
            f"update audit_events set occurred_at = occurred_at - interval '1 ms' {ROW}",
            5,
            "content",
        ),
        (f"update audit_events set entry_hash = sha256(entry_hash) {ROW}", 5, "content"),
        (f"update audit_events set prev_hash = sha256(prev_hash) {ROW}", 5, "follow"),
        (
            f"update audit_events set signature = sha256('a') || sha256('b') {ROW}",
            5,
            "signature",
        ),
        (f"update audit_events set signing_key_id = 'audk_other' {ROW}", 5, "key"),
        (f"delete from audit_events {ROW}", 5, "missing"),
        (
            "update audit_keys set revoked_at = '2020-01-01' where workspace_id = %s",
            1,
            "revoked",
        ),
        (
            "update audit_checkpoints set root_hash = sha256(root_hash) where workspace_id = %s",
            None,
            "checkpoint",
        ),
        (
            "update audit_chains set head_hash = sha256(head_hash) where workspace_id = %s",
            None,
            "ended",
        ),
    ],
)
async def test_the_first_bad_row_is_named(make, chain, superuser, tampering, number, reason):
    superuser(tampering, make.org_id)

    said = (await make.org.post(VERIFY)).json()

    assert said["valid"] is False
    assert said["brokenAt"]["sequenceNumber"] == (number or len(chain))
    assert reason in said["brokenAt"]["reason"]
    assert said["complete"] is True


async def test_a_chain_cut_off_at_its_end_is_seen(make, chain, superuser):
    superuser(
        "delete from audit_events where workspace_id = %s and sequence_number = %s",
        make.org_id,
        len(chain),
    )

    said = (await make.org.post(VERIFY)).json()

    assert said["brokenAt"] == {
        "sequenceNumber": len(chain),
        "entryHash": None,
        "reason": "missing",
    }


async def test_a_check_goes_on_where_time_ran_out(make, chain, monkeypatch):
    monkeypatch.setattr(audit_verification, "PORTION", 4)
    monkeypatch.setattr(audit_verification, "MOST_SECONDS", 0.0)
    stopped = (await make.org.post(VERIFY)).json()
    monkeypatch.setattr(audit_verification, "MOST_SECONDS", 60.0)
    rest = (await make.org.post(VERIFY, json={"fromSequence": 6})).json()

    assert (stopped["complete"], stopped["nextSequence"]) == (False, 1)
    assert (rest["valid"], rest["complete"]) == (True, True)
    assert (rest["firstSequence"], rest["eventCount"]) == (6, len(chain) - 5)


async def test_more_than_two_checks_at_once_are_asked_to_wait(make, chain, monkeypatch):
    monkeypatch.setattr(audit_verification, "_running", audit_verification.AT_ONCE)

    answer = await make.org.post(VERIFY)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_a_check_from_beyond_the_end_finds_nothing(make, chain):
    answer = await make.org.post(VERIFY, json={"fromSequence": len(chain) + 2})

    assert answer.status_code == 404


# --- Checkpoints and proofs ---------------------------------------------------------------------


async def root_of(make):
    """The newest checkpoint, held to the keys that everybody sees."""
    said = (await make.org.get(CHECKPOINT)).json()
    keys = {
        key["kid"]: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        for key in (await keys_of(make)).json()["keys"]
    }
    signed = checkpoints.parse(said["checkpoint"])
    assert checkpoints.signers(signed, keys)
    assert signed.checkpoint.size == said["treeSize"]
    assert base64.b64encode(signed.checkpoint.root).decode() == said["rootHash"]
    return signed.checkpoint


async def test_the_newest_checkpoint_is_signed_and_says_how_far_sealing_is(make, chain):
    said = (await make.org.get(CHECKPOINT)).json()
    point = await root_of(make)

    assert point.origin == f"rensei/audit/{make.org_id}"
    assert (point.size, said["sealedCount"]) == (len(chain), len(chain))
    assert said["lagSeconds"] >= 0
    assert said["timeStamp"] is None


async def test_what_waits_to_be_sealed_shows_as_lag(make, owner, chain, happens, seal):
    await happens({})
    await owner.execute(
        "update audit_pending set occurred_at = now() - interval '30 seconds' where org_id = %s",
        (make.org_id,),
    )
    behind = (await make.org.get(CHECKPOINT)).json()["lagSeconds"]
    await seal()
    after = (await make.org.get(CHECKPOINT)).json()["lagSeconds"]

    assert behind >= 30
    assert after < 30


async def test_a_chain_without_a_checkpoint_has_no_proofs(make):
    org = make.client(await make.key(await make.organization()))
    paths = (CHECKPOINT, EXPORT, f"{INCLUSION}?sequenceNumber=1", f"{CONSISTENCY}?from=1")

    assert {(await org.get(path)).status_code for path in paths} == {404}


async def test_every_row_is_proved_to_be_in_every_tree(make, chain):
    for size in (1, 2, 7, len(chain)):
        for row in chain[:size]:
            said = (
                await make.org.get(
                    f"{INCLUSION}?sequenceNumber={row.sequence_number}&treeSize={size}"
                )
            ).json()
            proof = [base64.b64decode(each) for each in said["hashes"]]
            root = base64.b64decode(said["rootHash"])
            leaf = row.sequence_number - 1
            assert merkle.includes(row.entry_hash, leaf, size, proof, root)
            assert (said["leafIndex"], said["entryHash"]) == (leaf, row.entry_hash.hex())
    assert root == (await root_of(make)).root


async def test_every_tree_is_proved_to_be_how_the_next_began(make, chain):
    point = await root_of(make)
    for old in range(1, point.size + 1):
        said = (await make.org.get(f"{CONSISTENCY}?from={old}")).json()
        proof = [base64.b64decode(each) for each in said["hashes"]]
        before = base64.b64decode(said["fromRootHash"])
        assert merkle.is_consistent(old, point.size, proof, before, point.root)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (INCLUSION, 400),
        (f"{INCLUSION}?sequenceNumber=0", 400),
        (f"{INCLUSION}?sequenceNumber=9007199254740993", 400),
        (f"{INCLUSION}?sequenceNumber=1000", 404),
        (f"{INCLUSION}?sequenceNumber=1&treeSize=1000", 404),
        (f"{INCLUSION}?sequenceNumber=3&treeSize=2", 404),
        (CONSISTENCY, 400),
        (f"{CONSISTENCY}?from=3&to=2", 400),
        (f"{CONSISTENCY}?from=3&to=1000", 404),
        (f"{EXPORT}?from=1000", 400),
        (f"{EXPORT}?from=3&to=1", 400),
    ],
)
async def test_proofs_of_what_is_not_there_are_refused(make, chain, path, status):
    assert (await make.org.get(path)).status_code == status


# --- Bundles ------------------------------------------------------------------------------------


async def test_a_bundle_holds_all_that_it_takes_to_check_it(make, chain, monkeypatch):
    monkeypatch.setattr("handlers.audit_proofs.PORTION", 3)
    answer = await make.org.get(f"{EXPORT}?from=2&to=7")

    head, keys, point, first, last, *events, end = bundle(answer)
    listed = (await make.org.get(LIST)).json()["events"]
    assert answer.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in answer.headers
    assert head == {
        "type": "bundle",
        "version": 1,
        "workspaceId": make.org_id,
        "from": 2,
        "to": 7,
        "treeSize": len(chain),
    }
    assert keys == {"type": "keys", "keys": (await keys_of(make)).json()["keys"]}
    assert point["text"] == (await make.org.get(CHECKPOINT)).json()["checkpoint"]
    assert [first["sequenceNumber"], last["sequenceNumber"]] == [2, 7]
    root = checkpoints.parse(point["text"]).checkpoint.root
    for proof, row in ((first, chain[1]), (last, chain[6])):
        hashes = [base64.b64decode(each) for each in proof["hashes"]]
        leaf = row.sequence_number - 1
        assert merkle.includes(row.entry_hash, leaf, proof["treeSize"], hashes, root)
    assert [{**each, "type": None} for each in events] == [
        {**each, "type": None} for each in reversed(listed) if 2 <= each["sequenceNumber"] <= 7
    ]
    assert end == {"type": "end", "count": 6}


async def test_a_bundle_may_end_where_the_log_does(make, chain):
    after = await make.org.get(f"{EXPORT}?from={len(chain) + 1}")
    beyond = await make.org.get(f"{EXPORT}?to=100000")

    assert [each["type"] for each in bundle(after)] == ["bundle", "keys", "checkpoint", "end"]
    assert len(bundle(beyond)) == 6 + len(chain)


async def test_payloads_are_exported_as_they_were_hashed(make, happens, seal, owner):
    await happens({"b": [1e20, 1e-7, "naïve ☃"], "a": {}})
    await seal()

    text = gzip.decompress((await make.org.get(EXPORT)).content).decode()

    assert '"payload":{"a":{},"b":[100000000000000000000,1e-7,"naïve ☃"]}' in text


# --- Persons ------------------------------------------------------------------------------------


async def test_what_is_personal_is_readable_until_it_is_forgotten(make, owner, happens, seal):
    await happens({"email": "ada@acme.example", "authorName": "Ada"}, {"source": "192.0.2.9"})
    await seal()
    source, person = (await make.org.get(f"{LIST}?limit=2")).json()["events"]
    exported = gzip.decompress((await make.org.get(EXPORT)).content).decode()

    gone = await make.org.post(FORGET, json={"subject": " ADA@acme.example"})
    again = await make.org.post(FORGET, json={"subject": "ada@acme.example"})
    await seal()

    _, still, forgotten = (await make.org.get(f"{LIST}?limit=3")).json()["events"]
    assert person["readablePayload"] == {"email": "ada@acme.example", "authorName": "Ada"}
    assert source["readablePayload"] == {"source": "192.0.2.9"}
    assert "acme.example" not in json.dumps(person["payload"]) + exported
    subject = person["payload"]["email"]["$subject"]
    assert gone.json() == {"forgotten": True, "subjectId": subject}
    assert again.json() == {"forgotten": False, "subjectId": None}
    assert forgotten["readablePayload"] == {"email": None, "authorName": None}
    assert forgotten["payload"] == person["payload"]
    assert still["readablePayload"] == {"source": "192.0.2.9"}
    assert (await make.org.post(VERIFY)).json()["valid"] is True
    rows = await chains.whole(owner, make.org_id)
    assert (rows[-1].event_type, rows[-1].entity_id) == ("audit_subject.forgotten", subject)
    assert "acme.example" not in rows[-1].payload


async def test_nobody_is_known_of_a_chain_that_never_began(make):
    org = make.client(await make.key(await make.organization()))

    answer = await org.post(FORGET, json={"subject": "ada@acme.example"})

    assert answer.json() == {"forgotten": False, "subjectId": None}


async def test_a_subject_comes_back_under_a_key_of_its_own(make, happens, seal):
    await happens({"email": "ada@acme.example"})
    await seal()
    await make.org.post(FORGET, json={"subject": "ada@acme.example"})
    await happens({"email": "ada@acme.example"})
    await seal()

    new, _, old = (await make.org.get(f"{LIST}?limit=3")).json()["events"]

    assert new["readablePayload"] == {"email": "ada@acme.example"}
    assert old["readablePayload"] == {"email": None}
