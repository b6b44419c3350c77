"""No secret that was given to the server is found anywhere it should not be.

Everything is done with credentials that can be done, good and bad, and then every place that
something could have leaked into is searched.
"""

import json
import logging
import secrets

import psycopg
import pytest

from jobs.deliver_events import deliver_events
from jobs.fold_counts import fold_counts
from jobs.requeue_orphans import requeue_orphans
from persistence import refusals
from persistence.ephemeral import store
from services import credential_watch
from tests.client import Client
from tests.streams import eventually, opened

SNAPSHOT = "/api/daemon/credentials/snapshot"
STREAM = "/api/daemon/credentials/rotate-stream"
ROTATE = "/api/daemon/credentials/rotate"


class Sinks:
    """All that was said, but to those whom the secrets are for."""

    def __init__(self):
        self.answers = []
        self.heard = []

    def hear(self, answer):
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer


def secret(name):
    return f"{name}-{secrets.token_hex(20)}"


@pytest.fixture
def plain():
    """The plaintexts: of each kind one, and one for each way to go wrong."""
    return {
        name: secret(name)
        for name in ("first", "second", "project", "pem", "refused", "misplaced", "unopened")
    }


async def test_a_secret_is_given_to_its_worker_and_leaves_no_trace(
    make, address, owner, stores, plain, run_job, caplog, capfd, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    sinks = Sinks()
    listening = store.current().pubsub()
    await listening.psubscribe("*")
    monitored = await commands_seen()

    received = await everything(make, address, owner, plain, sinks)
    for job in (deliver_events, fold_counts, requeue_orphans):
        await run_job(job)
    await refusals.write()

    while message := await listening.get_message(timeout=0.2):
        sinks.heard.append(str(message))
    await listening.aclose()
    printed = capfd.readouterr()
    places = {
        "answers": "\n".join(sinks.answers),
        "log": caplog.text + printed.out + printed.err,
        "redis messages": "\n".join(sinks.heard),
        "redis": await redis_text(),
        "redis commands": await monitored(),
        "database": database_text(stores.owner_url),
    }

    assert make.org_id in places["database"]  # the search would find something
    assert make.org_id in places["redis messages"]
    assert "credential.snapshot" in places["database"]
    assert "does not open" in places["log"]
    for name in ("first", "second", "project", "pem"):
        assert plain[name] in received, name  # and the worker was given each of them
    for name, value in plain.items():
        encodings = {
            value,
            value.encode().hex(),
            json.dumps(value)[1:-1],
            value.removeprefix(name),
        }
        for place, text in places.items():
            for encoded in encodings:
                assert encoded not in text, f"{name} is in {place}"


async def everything(make, address, owner, plain, sinks):
    """All that can be done with credentials; returns what the worker was given."""
    worker = await make.worker()
    session_id = await make.claimed(worker)
    url = f"/api/org/{make.org_id}/credentials"
    body = {"orgId": make.org_id, "sessionId": session_id}

    async def put(kind, value, **place):
        variables = [{"name": f"{kind.upper()}_KEY", "value": value}]
        return sinks.hear(
            await make.org.put(url, json={"kind": kind, "variables": variables, **place})
        )

    await put("anthropic", plain["first"])
    await put("npm", plain["project"], projectId=make.project_id)
    await put("pem", f"-----BEGIN KEY-----\n{plain['pem']}\n-----END KEY-----\n")
    received = (await worker.client.post(SNAPSHOT, json=body)).text
    async with opened(address, worker.client, STREAM, {"sessionId": session_id}) as stream:
        await eventually(lambda: len(credential_watch.current().everyone()) == 1)
        await put("anthropic", plain["second"])
        sinks.hear(await make.org.post(ROTATE, json={"orgId": make.org_id, "kind": "anthropic"}))
        received += json.dumps(await stream.next())
    sinks.hear(await make.org.get(url))

    # Refused: reserved, misplaced in the body, from others, and by others.
    await put("worker_api", plain["refused"])
    await put(plain["misplaced"].upper(), plain["refused"])
    await put("a", [plain["misplaced"]])
    await put("a", plain["refused"], projectId="proj_nobodys")
    await put("a", plain["refused"], envName=f"no {plain['misplaced']}")
    await put("a", plain["refused"] * 2000)
    await put("a", plain["refused"] + "\0")
    for value in (plain["misplaced"], {"variables": plain["misplaced"]}, [plain["misplaced"]]):
        sinks.hear(await make.org.put(url, json=value))
    sinks.hear(await make.org.put(url, content=f'{{"kind": "{plain["misplaced"]}'.encode()))
    stranger = await make.worker(await make.key(projects=[await make.project()]))
    for caller in (stranger.client, make.org, make.system, make.client("rsk_live_" + "0" * 64)):
        sinks.hear(await caller.post(SNAPSHOT, json=body))
        sinks.hear(await caller.get(STREAM, params={"sessionId": session_id}))

    # Broken by somebody who writes into the database.
    unopened = (await put("broken", plain["unopened"])).json()["credential"]["id"]
    await owner.execute(
        "update credentials set project_id = %s where id = %s", (make.project_id, unopened)
    )
    # Whatever fails inside is answered and logged, and the answer is not the worker's secret.
    async with Client(make.application, worker.answer["runtimeToken"]) as again:
        sinks.hear(await again.post(SNAPSHOT, json=body))
    sinks.hear(await make.org.post(ROTATE, json={"orgId": make.org_id, "kind": "broken"}))
    sinks.hear(await make.org.get(url))
    sinks.hear(await make.org.delete(f"{url}/{unopened}"))
    return received


async def commands_seen():
    """Begin to record what is sent to Redis; the function returned gives it as text."""
    redis = store.current()
    await redis.config_set("slowlog-log-slower-than", 0)
    await redis.config_set("slowlog-max-len", 10_000)
    await redis.slowlog_reset()

    async def text():
        found = str(await redis.slowlog_get(10_000))
        await redis.config_set("slowlog-log-slower-than", 10_000)
        return found

    return text


async def redis_text():
    """Every key of Redis, and its value."""
    redis = store.current()
    found = []
    async for key in redis.scan_iter("*"):
        found += [key, str(await redis.execute_command("DUMP", key, NEVER_DECODE=True))]
    return "\n".join(found)


def database_text(owner_url):
    """Every row of every table."""
    with psycopg.connect(owner_url) as db:
        tables = db.execute("select tablename from pg_tables where schemaname = 'public'")
        return "\n".join(
            str(row)
            for (table,) in tables.fetchall()
            for row in db.execute(f"select t::text from {table} t")
        )
