"""Every operation refuses whoever may not: no credential, a wrong one, somebody else's.

The operations come from the contract, none is named here but in `EXCEPTIONS`, and each exception
is run and has to fail: one that is no longer needed fails the suite.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Final

import pytest

from auth import tokens
from auth.scopes import COOKIE_ONLY
from contract import Operation
from domain.principal import Kind
from tests.client import BASE_URL
from tests.contract.forgery import FORGERIES
from tests.contract.operations import (
    EXAMPLE,
    OPERATIONS,
    SAFE,
    Call,
    call,
    has_scope,
    refuses,
    rule,
    shape,
    takes_bearer,
    takes_cookie,
)
from tests.contract.world import NOWHERE, OF_A_PROJECT, World, claims_of
from tests.factories import signed

ANYONE: Final = "public: it says only whether the server serves"
FOR_EVERYBODY: Final = "public by the A2A protocol: it tells where to ask, and nothing of anybody"
CLIENT_SECRET: Final = "public: the client's secret in the body or by Basic is the credential"
TOKEN_IN_BODY: Final = "public: the registration token in the body is the credential"
SIGNATURE: Final = "the signature over the body is the credential, and no bearer is looked at"

EXCEPTIONS: Final[dict[tuple[str, str], str]] = {
    ("no credential", "getHealth"): ANYONE,
    ("no credential", "getAuditKeys"): ANYONE,
    ("no credential", "getAgentCard"): FOR_EVERYBODY,
    ("no credential", "issueM2MToken"): CLIENT_SECRET,
    ("no credential", "daemonRegister"): TOKEN_IN_BODY,
    ("a day ago", "workerRefreshToken"): "renewing a token that has expired is what it is for",
}
"""(promise, operation) -> why it does not hold there. What the credential of such an operation
is instead has tests of its own at the end of this file."""

LIFE_SIGN: Final = "a sign of life, or a word of the agent's, as decision 27 has it"
READS: Final = "it changes nothing"
NOT_HERE: Final = "its example changes nothing; what it can change is looked at in its own tests"

UNAUDITED: Final[dict[str, str]] = {
    "daemonHeartbeat": LIFE_SIGN,
    "workerHeartbeat": LIFE_SIGN,
    "postSessionActivity": LIFE_SIGN,
    "postSessionProgress": LIFE_SIGN,
    "postTokenDelta": LIFE_SIGN,
    "lockRefresh": LIFE_SIGN,
    "inboxAck": "a lock refresh says the same (decision 16)",
    "reserveFiles": "reservations bind nobody (0008)",
    "releaseFiles": "reservations bind nobody (0008)",
    "releaseAllFiles": "reservations bind nobody (0008)",
    "routingSelect": "advice; what is learned of it is audited",
    "postFileConflictCheck": READS,
    "verifyAudit": READS,
    "claimSession": NOT_HERE,
    "transferOwnership": NOT_HERE,
    "issueTrackerProxy": NOT_HERE,
    "mcpCall": NOT_HERE,
    "forgetAuditSubject": NOT_HERE,
}
"""Operation -> why no event follows from its example, though its method is one of change."""

LONG_AGO: Final = -8 * 24 * 3600
A_MOMENT_AGO: Final = -60


def each(
    cases: Iterable[tuple[Operation, *tuple[Any, ...]]], promise: str = ""
) -> pytest.MarkDecorator:
    """Parametrise over cases that begin with an operation, but for the exceptions."""

    def params() -> Iterator[Any]:
        for operation, *rest in cases:
            if (promise, operation.id) in EXCEPTIONS:
                continue
            words = [each.value if isinstance(each, Kind) else str(each) for each in rest]
            yield pytest.param(*(operation, *rest), id="-".join([operation.id, *words]))

    made = list(params())
    names = "operation" if len(made[0].values) == 1 else None
    names = names or ("operation,kind" if len(made[0].values) == 2 else "operation,kind,what")
    return pytest.mark.parametrize(names, made)


def kinds(operation: Operation) -> list[Kind]:
    """The kinds of credential that the table names, in a steady order."""
    return sorted(rule(operation).kinds, key=lambda kind: kind.value)


def parts(operation: Operation, among: Iterable[str]) -> list[str]:
    """The parts of the examples' world that the operation's example names."""
    example = call(operation, {})
    return [part for part in among if example.names(EXAMPLE[part])]


LAST_EVENT: Final = "select coalesce(max(id), 0) as id from audit_pending"
SINCE: Final = """
select event_type from audit_pending where id > %s and event_type <> 'request.refused' order by id
"""
"""Refusals are written by the clock."""


@pytest.fixture(scope="module")
async def world(application: Any, owner: Any) -> AsyncIterator[World]:
    """The organization that the requests are about. No test changes it."""
    made = await World.begin(application, owner)
    yield made
    await made.maker.close()


@pytest.fixture(scope="module")
async def elsewhere(application: Any, owner: Any) -> AsyncIterator[World]:
    """Another organization."""
    made = await World.begin(application, owner)
    yield made
    await made.maker.close()


@pytest.fixture(scope="module")
async def next_door(world: World) -> World:
    """Another project of the same organization."""
    return await world.next_door()


@pytest.fixture(scope="module")
async def other_registration(world: World) -> World:
    """Another registration in the same project."""
    return await world.again()


# --- the requests are good ---


@each((o, kind) for o in OPERATIONS for kind in kinds(o))
async def test_the_example_with_the_right_credential_passes(operation, kind, world, owner):
    """Without this, every refusal below might be about something else.

    What it changed stands in the audit log; those of which nothing does are listed with a reason.
    """
    mine = await world.again(org_wide=kind is Kind.ORG_KEY, only=parts(operation, EXAMPLE))
    registrar = mine.maker.client(mine.registrar)
    caller = registrar if kind is Kind.ORG_KEY else await mine.credential(kind)

    last = await (await owner.execute(LAST_EVENT)).fetchone()
    answer = await call(operation, mine.things).by(caller)
    events = await (await owner.execute(SINCE, (last.id,))).fetchall()

    assert answer.is_success, answer.text
    if operation.method not in SAFE:
        assert bool(events) != (operation.id in UNAUDITED), events


# --- no credential, or nonsense ---


@each(((o,) for o in OPERATIONS), "no credential")
async def test_without_a_credential_the_answer_is_401(operation, world):
    await refused_without_a_credential(operation, world)


async def refused_without_a_credential(operation, world):
    answer = await call(operation, world.things).by(world.maker.client())

    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")


NONSENSE: Final = [
    "Bearer",
    "Bearer ",
    "Bearer rsk_live_" + "0" * 64,
    "Bearer rsp_live_" + "0" * 64,
    "Bearer ..",
    "Bearer a.b.c",
    "Bearer null",
    "Basic cnNrX2xpdmU6",
    "Bearer " + "x" * 8000,
    "bearer\trsk_live_1",
    "Bearer caf\u00e9",
]


@each((o,) for o in OPERATIONS if o.security)
async def test_a_credential_that_is_none_is_401(operation, world):
    asked = call(operation, world.things)

    for text in NONSENSE:
        answer = await asked.by(world.maker.client(), Authorization=text)

        assert answer.status_code == 401, (text, answer.text)


@each((o,) for o in OPERATIONS if takes_cookie(o))
async def test_a_cookie_that_is_none_is_401(operation, world):
    for value in ("", "nobody", "x" * 4000, world.maker.org_key):
        browser = world.by_cookie(value)

        answer = await call(operation, world.things).by(browser)

        assert answer.status_code == 401, (value, answer.text)


# --- a good credential that may not ---


@each(
    (o, kind)
    for o in OPERATIONS
    if has_scope(o)
    for kind in kinds(o)
    # The token of a session's agent says no scope: it holds the one that its operation needs.
    if kind not in {Kind.SYSTEM, Kind.AGENT}
)
async def test_another_scope_is_403(operation, kind, world):
    needed = rule(operation).scope
    caller = await world.credential_with(
        kind, "sessions:read" if needed != "sessions:read" else "org:read"
    )

    answer = await call(operation, world.things).by(caller)

    assert answer.status_code == 403, answer.text
    assert answer.json()["error"] == f"The credential lacks the scope {needed}"


@each(
    (o, kind)
    for o in OPERATIONS
    if takes_bearer(o) or takes_cookie(o)
    for kind in Kind
    # What becomes of an agent's token is told further down.
    if kind not in rule(o).kinds and kind is not Kind.AGENT
)
async def test_a_kind_that_the_table_does_not_name_is_refused(operation, kind, world):
    """403 where the credential was read, 401 where the operation looks for one elsewhere."""
    caller = await world.credential(kind)
    is_read = takes_cookie(operation) if kind is Kind.COOKIE else takes_bearer(operation)

    answer = await call(operation, world.things).by(caller)

    assert answer.status_code == (403 if is_read else 401), answer.text


@each(
    (o,)
    for o in OPERATIONS
    if Kind.COOKIE in rule(o).kinds
    and Kind.PROJECT_KEY not in rule(o).kinds
    # What no key may do at all is narrowed by the projects that the browser sees.
    and rule(o).kinds != COOKIE_ONLY
    and has_scope(o)
)
async def test_a_browser_session_reaches_no_further_than_its_key(operation, world):
    browser = await world.credential(Kind.COOKIE, org_wide=False)

    answer = await call(operation, world.things).by(browser)

    assert answer.status_code == 403, answer.text


# --- somebody else's ---


def _lacks_secrets(text: str, of: World, sent: Call, *own: str) -> list[str]:
    return [id_ for id_ in of.ids if id_ in text and not sent.names(id_) and id_ not in own]


@each(
    (o, kind, part)
    for o in OPERATIONS
    for kind in kinds(o)
    if kind is not Kind.SYSTEM
    for part in parts(o, NOWHERE)
)
async def test_a_thing_of_another_organization_is_as_good_as_none(
    operation, kind, what, world, elsewhere
):
    caller = await elsewhere.credential(kind)
    theirs = call(operation, elsewhere.things | {what: world.things[what]})
    nobodys = call(operation, elsewhere.things | {what: NOWHERE[what]})

    answer, expected = await theirs.by(caller), await nobodys.by(caller)

    assert refuses(operation, answer, 401, 403, 404), answer.text
    assert shape(answer, world.things[what]) == shape(expected, NOWHERE[what])


@each((o, kind) for o in OPERATIONS for kind in kinds(o) if kind is not Kind.SYSTEM)
async def test_no_answer_tells_of_another_organization(operation, kind, world, elsewhere):
    caller = await elsewhere.credential(kind)
    theirs = call(operation, world.things)

    answers = [
        await theirs.by(caller),
        await theirs.by(caller, **{"X-Rensei-Org": world.maker.org_id}),
        await theirs.by(caller, **{"X-Rensei-Project": world.project_id}),
        await theirs.by(
            caller, Referer=f"{BASE_URL}/{world.maker.slug}/{world.project_id}/sessions"
        ),
    ]

    for answer in answers:
        assert _lacks_secrets(answer.text, world, theirs) == [], answer.text


@each(
    (o, kind, part)
    for o in OPERATIONS
    for kind in kinds(o)
    if kind in OF_A_PROJECT
    for part in parts(
        o,
        (
            "project",
            "worker",
            "daemon",
            "session",
            "public_session",
            "agent_session",
            "waiting_session",
            "finished_session",
            "mapping",
            "batch_job",
        ),
    )
)
async def test_a_thing_of_another_project_is_as_good_as_none(
    operation, kind, what, world, next_door
):
    caller = await next_door.credential(kind, org_wide=False)
    theirs = call(operation, next_door.things | {what: world.things[what]})
    nobodys = call(operation, next_door.things | {what: NOWHERE[what]})

    answer, expected = await theirs.by(caller), await nobodys.by(caller)

    assert refuses(operation, answer, 403, 404), answer.text
    assert shape(answer, world.things[what]) == shape(expected, NOWHERE[what])


@each((o, kind) for o in OPERATIONS for kind in kinds(o) if kind in OF_A_PROJECT)
async def test_no_answer_tells_of_another_project(operation, kind, world, next_door):
    caller = await next_door.credential(kind, org_wide=False)
    theirs = call(operation, world.things)

    answer = await theirs.by(caller)

    assert (
        _lacks_secrets(
            answer.text, world, theirs, world.things["organization"], world.things["m2m_client"]
        )
        == []
    ), answer.text


@each(
    (o, kind, part)
    for o in OPERATIONS
    for kind in kinds(o)
    if kind in {Kind.PROJECT_KEY, Kind.RUNTIME}
    for part in parts(o, ("worker", "daemon"))
)
async def test_a_worker_of_another_registration_is_as_good_as_none(
    operation, kind, what, world, other_registration
):
    caller = await other_registration.credential(kind)
    theirs = call(operation, other_registration.things | {what: world.things[what]})
    nobodys = call(operation, other_registration.things | {what: NOWHERE[what]})

    answer, expected = await theirs.by(caller), await nobodys.by(caller)

    assert refuses(operation, answer, 403, 404), answer.text
    assert shape(answer, world.things[what]) == shape(expected, NOWHERE[what])


@each(
    (o, kind)
    for o in OPERATIONS
    if o.method not in SAFE and parts(o, ["session"])
    for kind in kinds(o)
    if kind in {Kind.PROJECT_KEY, Kind.RUNTIME}
)
async def test_a_session_that_another_worker_holds_is_not_written_to(
    operation, kind, world, other_registration
):
    caller = await other_registration.credential(kind)
    theirs = call(operation, other_registration.things | {"session": world.things["session"]})

    answer = await theirs.by(caller)

    assert refuses(operation, answer, 403), answer.text
    if answer.status_code == 403:
        assert "owned by another worker" in answer.json()["error"]


@each(
    (o, kind)
    for o in OPERATIONS
    if parts(o, ("worker", "daemon"))
    for kind in kinds(o)
    if kind is Kind.RUNTIME
)
async def test_a_runtime_token_acts_for_no_other_worker_of_its_registration(operation, kind, world):
    sibling = await world.maker.worker(world.registrar)

    answer = await call(operation, world.things).by(sibling.client)

    assert answer.status_code == 403, answer.text
    assert answer.json()["error"] == "The runtime token belongs to another worker"


# --- forged ---


@pytest.fixture(scope="module")
async def forged(world: World, m2m_token: str) -> dict[Kind, dict[str, str]]:
    """What is wrong with it -> the token, for every kind of token that operations take."""
    genuine = {
        Kind.RUNTIME: (tokens.RUNTIME, world.runtime_token),
        Kind.M2M: (tokens.M2M, m2m_token),
        Kind.BATCH: (tokens.BATCH, world.batch_token),
        Kind.AGENT: (tokens.MCP, world.agent_token),
    }
    return {
        kind: {
            name: await forge(*of)
            for name, forge in FORGERIES.items()
            # An agent's token is none that only pretends to be an agent's.
            if not (kind is Kind.AGENT and "an agent" in name)
        }
        for kind, of in genuine.items()
    }


@each(
    (o, kind)
    for o in OPERATIONS
    if takes_bearer(o)
    for kind in (Kind.RUNTIME, Kind.M2M, Kind.BATCH, Kind.AGENT)
    if kind in {Kind.RUNTIME, Kind.M2M} or kind in rule(o).kinds
)
async def test_every_forged_token_is_401(operation, kind, world, forged):
    request, caller = call(operation, world.things), world.maker.client()

    answers = {
        name: await request.by(caller, Authorization=f"Bearer {token}")
        for name, token in forged[kind].items()
    }

    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(
        forged[kind], 401
    )
    assert {answer.json()["error"] for answer in answers.values()} <= {
        tokens.INVALID,
        "The key is unknown, expired or revoked",
    }


@each((o,) for o in OPERATIONS if takes_bearer(o) and Kind.AGENT not in rule(o).kinds)
async def test_the_token_of_a_sessions_agent_is_401(operation, world):
    """It is good, and for MCP alone."""
    answer = await call(operation, world.things).by(world.maker.client(world.agent_token))

    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == tokens.INVALID


@pytest.fixture(scope="module")
async def m2m_token(world: World) -> str:
    return await world.m2m_token(await world.m2m_client(["*"]))


# --- expired ---


@each((o, kind) for o in OPERATIONS for kind in kinds(o) if kind not in {Kind.SYSTEM, Kind.COOKIE})
async def test_a_credential_that_expired_long_ago_is_401(operation, kind, world, m2m_token, owner):
    if kind is Kind.RUNTIME:
        claims = claims_of(world.runtime_token)
        credential = await tokens.mint(tokens.RUNTIME, claims, LONG_AGO)
    elif kind is Kind.BATCH:
        credential = await tokens.mint(tokens.BATCH, claims_of(world.batch_token), LONG_AGO)
    elif kind is Kind.AGENT:
        credential = await tokens.mint(tokens.MCP, claims_of(world.agent_token), LONG_AGO)
    elif kind is Kind.M2M:
        credential = await tokens.mint(tokens.M2M, claims_of(m2m_token), LONG_AGO)
    else:
        credential = await world.key(kind)
        await _expire(owner, credential)

    answer = await call(operation, world.things).by(world.maker.client(credential))

    assert answer.status_code == 401, answer.text


@each(((o, kind) for o in OPERATIONS for kind in kinds(o) if kind is Kind.RUNTIME), "a day ago")
async def test_a_runtime_token_that_just_expired_is_401_in_the_words_workers_know(
    operation, kind, world
):
    await refused_just_expired(operation, world)


async def refused_just_expired(operation, world):
    expired = await tokens.mint(tokens.RUNTIME, claims_of(world.runtime_token), A_MOMENT_AGO)

    answer = await call(operation, world.things).by(world.maker.client(expired))

    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == "Runtime token expired"


PROMISES: Final = {
    "no credential": refused_without_a_credential,
    "a day ago": refused_just_expired,
}


@pytest.mark.parametrize(("promise", "operation_id"), EXCEPTIONS)
async def test_an_exception_that_is_needed_no_longer_fails_here(promise, operation_id, world):
    (operation,) = (each for each in OPERATIONS if each.id == operation_id)

    with pytest.raises(AssertionError):
        await PROMISES[promise](operation, world)


@each((o,) for o in OPERATIONS if takes_cookie(o))
async def test_a_browser_session_ends_by_the_clock_and_with_its_key(operation, world, owner):
    timed, keyed = await world.key(Kind.ORG_KEY), await world.key(Kind.ORG_KEY)
    browsers = [world.by_cookie(await world.cookie(key)) for key in (timed, keyed)]
    await _expire(owner, keyed)
    await owner.execute(
        "update browser_sessions set expires_at = now() - interval '1 second' from api_keys k"
        " where k.id = key_id and k.key_hash = %s",
        (hashlib.sha256(timed.encode()).digest(),),
    )

    for browser in browsers:
        answer = await call(operation, world.things).by(browser)

        assert answer.status_code == 401, answer.text


@each(
    (o, kind)
    for o in OPERATIONS
    if rule(o).scope == "worker:register"
    for kind in kinds(o)
    if kind is Kind.RUNTIME
)
async def test_a_registration_that_expired_makes_no_new_runtime_tokens(
    operation, kind, world, owner
):
    mine = await world.again(only=parts(operation, EXAMPLE))
    caller = await mine.credential(kind)
    await _expire(owner, mine.registrar)

    answer = await call(operation, mine.things).by(caller)

    assert answer.status_code == 401, answer.text


async def _expire(owner: Any, key: str) -> None:
    done = await owner.execute(
        "update api_keys set expires_at = now() - interval '1 second' where key_hash = %s",
        (hashlib.sha256(key.encode()).digest(),),
    )
    assert done.rowcount == 1


# --- revoked ---


@each((o, kind) for o in OPERATIONS for kind in kinds(o) if kind is not Kind.SYSTEM)
async def test_a_revoked_credential_is_401_at_once(operation, kind, world, owner):
    mine = await world.again(org_wide=kind is Kind.ORG_KEY, only=parts(operation, EXAMPLE))
    if kind is Kind.COOKIE:
        speaker = mine.by_cookie(await mine.cookie(mine.registrar))
    elif kind is Kind.M2M:
        client = await mine.m2m_client(["*"])
        speaker = mine.maker.client(await mine.m2m_token(client))
    else:
        signed_for = {Kind.RUNTIME: mine.runtime_token, Kind.BATCH: mine.batch_token}
        if kind is Kind.AGENT:
            signed_for[kind] = mine.agent_token
        speaker = mine.maker.client(signed_for.get(kind, mine.registrar))
    # Whatever remembers credentials between calls has now seen this one.
    for path in ("/api/cli/whoami", f"/api/workers/{mine.things['worker']}/poll"):
        await speaker.get(path)
    gone = (
        f"/api/admin/m2m-clients/{client['clientId']}"
        if kind is Kind.M2M
        else f"/api/org/{mine.maker.org_id}/keys/{await _key_id(owner, mine.registrar)}"
    )
    revoked = await mine.maker.org.delete(gone)

    answer = await call(operation, mine.things).by(speaker)

    assert revoked.status_code == 200, revoked.text
    assert answer.status_code == 401, answer.text


async def _key_id(owner: Any, key: str) -> str:
    rows = await owner.execute(
        "select id from api_keys where key_hash = %s", (hashlib.sha256(key.encode()).digest(),)
    )
    return str((await rows.fetchone()).id)


@each((o,) for o in OPERATIONS if takes_cookie(o))
async def test_a_browser_session_that_was_ended_is_401(operation, world):
    browser = await world.credential(Kind.COOKIE)
    ended = await browser.delete("/api/auth/session")

    answer = await call(operation, world.things).by(browser)

    assert ended.status_code == 200, ended.text
    assert answer.status_code == 401, answer.text


# --- two credentials, and where a cookie comes from ---


@each((o,) for o in OPERATIONS if takes_cookie(o) and takes_bearer(o))
async def test_a_bad_credential_is_refused_beside_a_good_one(operation, world):
    browser = await world.credential(Kind.COOKIE)
    asked = call(operation, world.things)

    bad_bearer = await asked.by(browser, Authorization="Bearer rsk_live_" + "0" * 64)
    bad_cookie = await asked.by(world.maker.org, Cookie="wos-session=nobody", Origin=BASE_URL)

    assert bad_bearer.status_code == 401, bad_bearer.text
    assert bad_cookie.status_code == 401, bad_cookie.text


FOREIGN: Final = [
    "",
    "null",
    "http://evil.example",
    f"{BASE_URL}.evil.example",
    BASE_URL.replace("http:", "https:"),
    BASE_URL.replace("8080", "8081"),
    BASE_URL.replace("127.0.0.1", "localhost"),
    f"http://evil.example/{BASE_URL}",
]


@each((o,) for o in OPERATIONS if takes_cookie(o) and o.method not in SAFE)
async def test_a_change_by_cookie_from_another_page_is_403(operation, world):
    value = await world.cookie(world.maker.org_key)
    asked = call(operation, world.things)

    answers = [await asked.by(world.by_cookie(value, Origin=origin)) for origin in FOREIGN]

    assert [answer.status_code for answer in answers] == [403] * len(FOREIGN)


# --- the credentials that are no bearer ---


BAD_REGISTRATIONS: Final = ("unknown", "expired", "revoked", "m2m", "cookie", "system")


@pytest.mark.parametrize("what", BAD_REGISTRATIONS)
async def test_a_registration_token_in_the_body_must_be_a_living_key(
    what, world, m2m_token, owner, anonymous
):
    expired, revoked = await world.key(Kind.PROJECT_KEY), await world.key(Kind.PROJECT_KEY)
    await _expire(owner, expired)
    await world.maker.org.delete(
        f"/api/org/{world.maker.org_id}/keys/{await _key_id(owner, revoked)}"
    )
    token = {
        "unknown": "rsk_live_" + "0" * 64,
        "expired": expired,
        "revoked": revoked,
        "m2m": m2m_token,
        "cookie": await world.cookie(world.registrar),
        "system": world.maker.system.headers["Authorization"].removeprefix("Bearer "),
    }[what]

    answer = await anonymous.post(
        "/v1/daemon/register",
        json={"registrationToken": token, "hostname": "forge-07", "maxAgents": 1},
    )

    assert answer.status_code == 401, answer.text
    assert answer.json()["error"] == "The key is unknown, expired or revoked"


async def test_a_registration_token_in_the_body_needs_the_scope(world, anonymous):
    lacking = await world.key(Kind.PROJECT_KEY, scopes=["worker:poll"])

    answer = await anonymous.post(
        "/v1/daemon/register",
        json={"registrationToken": lacking, "hostname": "forge-07", "maxAgents": 1},
    )

    assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("way", ["body", "form", "basic"])
async def test_the_token_endpoint_says_the_same_of_every_client_it_does_not_take(
    way, world, elsewhere, anonymous
):
    good, revoked = await world.m2m_client(["*"]), await world.m2m_client(["*"])
    other = await elsewhere.m2m_client(["*"])
    await world.maker.org.delete(f"/api/admin/m2m-clients/{revoked['clientId']}")
    pairs = [
        (NOWHERE["m2m_client"], good["clientSecret"]),
        (good["clientId"], "m2ms_" + "0" * 64),
        (good["clientId"], other["clientSecret"]),
        (revoked["clientId"], revoked["clientSecret"]),
        (NOWHERE["m2m_client"], ""),
        (good["clientId"], ""),
    ]

    answers = []
    for client_id, secret in pairs:
        grant = {"grant_type": "client_credentials"}
        named = {**grant, "client_id": client_id, "client_secret": secret}
        given = {
            "body": {"json": named},
            "form": {"data": named},
            "basic": {"data": grant, "auth": (client_id, secret)},
        }[way]
        answers.append(await anonymous.post("/api/oauth/token", **given))

    *full, empty_of_nobody, empty = map(shape, answers)
    assert full == [(401, answers[0].text)] * len(full)
    assert empty == empty_of_nobody
    assert empty[0] in {400, 401}
    assert answers[0].json()["error"] == "invalid_client"


def _deliveries(world: World, provider: str) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    body = json.dumps({"organizationId": "lin_nobody", "n": secrets.token_hex(4)}).encode()
    header = {"linear": "linear-signature", "vercel": "x-vercel-signature"}.get(
        provider, "x-hub-signature-256"
    )
    prefix = "sha256=" if provider.startswith("github") else ""

    def by(secret: str, of: bytes = body) -> str:
        return prefix + hmac.new(secret.encode(), of, hashlib.sha256).hexdigest()

    yield "none", body, {}
    yield "empty", body, {header: ""}
    yield "nonsense", body, {header: "x" * 8000}
    yield "nonsense of the right length", body, {header: prefix + "z" * 64}
    yield "unknown secret", body, {header: by("guessed")}
    yield "empty secret", body, {header: by("")}
    yield "another body", body, {header: by("gh_wh_secret", body + b" ")}
    yield "an API key", body, {"Authorization": f"Bearer {world.maker.org_key}"}


@pytest.mark.parametrize("provider", ["linear", "github", "vercel"])
async def test_a_delivery_without_its_providers_signature_is_401(provider, world, anonymous):
    for what, body, headers in _deliveries(world, provider):
        answer = await anonymous.post(
            f"/api/webhooks/ingest/{provider}",
            content=body,
            headers={"Content-Type": "application/json", **headers},
        )

        assert answer.status_code == 401, (what, answer.text)


async def test_a_delivery_under_another_organizations_secret_is_401(world, elsewhere, anonymous):
    workspace = f"lin-{secrets.token_hex(4)}"
    for each_world, secret in ((world, "of-the-mapped-one"), (elsewhere, "of-somebody-else")):
        await each_world.maker.org.patch(
            f"/api/org/{each_world.maker.org_id}/settings",
            json={"webhookSecrets": {"linear": secret}},
        )
    await world.maker.org.post(
        f"/api/org/{world.maker.org_id}/workspaces",
        json={"provider": "linear", "workspaceId": workspace, "projectId": world.project_id},
    )
    event = {"type": "Issue", "organizationId": workspace}

    own = await anonymous.post("/api/webhooks/ingest/linear", **signed("of-the-mapped-one", event))
    others = await anonymous.post(
        "/api/webhooks/ingest/linear", **signed("of-somebody-else", event)
    )

    assert own.status_code == 200, own.text
    assert others.status_code == 401, others.text


# --- the list above ---


def test_every_exception_is_about_an_operation_of_the_contract():
    known = {operation.id for operation in OPERATIONS}

    assert {operation_id for _, operation_id in EXCEPTIONS} <= known


def test_every_operation_without_a_bearer_or_a_cookie_has_tests_of_its_own():
    """A new one would not be walked by most of the promises above."""
    own = {
        reason
        for reason in EXCEPTIONS.values()
        if reason in {ANYONE, FOR_EVERYBODY, CLIENT_SECRET, TOKEN_IN_BODY}
    }
    others = [o.id for o in OPERATIONS if not takes_bearer(o) and not takes_cookie(o)]

    assert sorted(others) == sorted(
        {o for (_, o), reason in EXCEPTIONS.items() if reason in own} | {"webhookIngest"}
    )
