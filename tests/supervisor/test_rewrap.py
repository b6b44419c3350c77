"""The master key is changed: all opens with either key, and soon with the new one alone."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.rows import namedtuple_row
from sqlalchemy import LargeBinary

import settings
from app import create_app
from auth import keyring, tokens
from auth.credentials import unseal
from auth.sealing import MasterKey, WrongMasterKey
from auth.webhook_signatures import secret_context
from persistence import audit, database, migrations
from persistence.ephemeral import store
from persistence.tables import metadata
from services import credential_watch, session_watch, work_bell
from settings import PROJECT, Secret
from supervisor.postgres import OWNER, SUPERUSER
from supervisor.rewrap import SEALED, rewrap, warn_of_wrong_key
from tests import chains
from tests.client import Client
from tests.conftest import SYSTEM_KEY, serving
from tests.factories import Maker, signed

NEW = Secret("ef" * 32)
LINEAR_SECRET = "secret-of-the-org-alone"

NOT_SEALED = {
    ("activities", "repeat_key"),
    ("webhook_events", "body"),
    ("file_reservations", "file_key"),  # a hash
    ("tracker_comments", "digest"),  # another
    ("credentials", "sealed"),  # under its data key, which is rewrapped
    ("audit_chains", "frontier"),  # hashes
    ("audit_checkpoints", "time_stamp"),  # an authority's, of what is public
    ("audit_events", "signature"),
    ("audit_keys", "public_key"),
    ("audit_nodes", "hash"),
    ("audit_subjects", "digest"),  # keyed
}
"""Columns of bytes, beside hashes, that are not sealed under the master key."""


def test_every_column_of_bytes_is_rewrapped_or_said_not_to_be():
    """A new one that is sealed belongs to `SEALED`, or the next change of the key would lose it."""
    found = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary) and not column.name.endswith("_hash")
    }

    assert found - NOT_SEALED == {(column.table.name, column.name) for column, _ in SEALED}
    assert found >= NOT_SEALED


@pytest.fixture
async def stage(stores, given, tmp_path_factory):
    """A database of its own, and a way to serve it under other keys than the rest of this run."""

    def there(url):
        return urlunsplit(urlsplit(url)._replace(path="/rewrapping"))

    with psycopg.connect(stores.postgres.url(SUPERUSER), autocommit=True) as db:
        db.execute("drop database if exists rewrapping with (force)")
        db.execute(f"create database rewrapping owner {OWNER}")
    owner_url = there(stores.owner_url)
    await asyncio.to_thread(migrations.upgrade, owner_url)
    yield Stage(
        owner_url,
        replace(
            given,
            web_database_url=there(given.web_database_url),
            jobs_database_url=there(given.jobs_database_url),
        ),
    )
    with psycopg.connect(stores.postgres.url(SUPERUSER), autocommit=True) as db:
        db.execute("drop database rewrapping with (force)")


class Stage:
    """A database that is served under one master key after the other."""

    def __init__(self, owner_url, given):
        self.owner_url = owner_url
        self.given = given

    def settings(self, master, *previous):
        return replace(self.given, master_key=master, previous_master_keys=previous)

    @asynccontextmanager
    async def maker(self, application):
        connecting = psycopg.AsyncConnection.connect(
            self.owner_url, autocommit=True, row_factory=namedtuple_row
        )
        async with await connecting as owner:
            made = await Maker.begin(application, owner, SYSTEM_KEY)
            yield made
            await made.close()

    def rows(self, table):
        with psycopg.connect(self.owner_url) as db:
            cursor = db.cursor(row_factory=namedtuple_row)
            return cursor.execute(f"select * from {table}").fetchall()


@pytest.fixture
def untouched(given, application):
    """What other tests of this process use is put back."""
    kept = [
        (module, name, getattr(module, name))
        for module, name in (
            (keyring, "_keyring"),
            (database, "_database"),
            (store, "_redis"),
            (session_watch, "_watch"),
            (credential_watch, "_watch"),
            (work_bell, "_bell"),
        )
    ]
    verified = dict(tokens._verified)
    yield
    settings.use(given)
    for module, name, value in kept:
        setattr(module, name, value)
    tokens._verified.clear()
    tokens._verified.update(verified)


async def test_a_change_of_the_master_key_loses_nothing(stage, untouched, capsys):
    """Tokens, webhook secrets and credentials: before, during and after, and then without the old
    key."""
    old = stage.given.master_key
    tokens._verified.clear()
    async with served(stage.settings(old)) as application, stage.maker(application) as made:
        worker = await made.worker()
        session_id = await made.claimed(worker)
        own = {"webhookSecrets": {"linear": LINEAR_SECRET}}
        changed = await made.org.patch(f"/api/org/{made.org_id}/settings", json=own)
        assert changed.status_code == 200, changed.text
        workspace = {"provider": "linear", "workspaceId": "lin_own", "projectId": made.project_id}
        mapped = await made.org.post(f"/api/org/{made.org_id}/workspaces", json=workspace)
        assert mapped.status_code == 201, mapped.text
        await made.credential("anthropic", ANTHROPIC_API_KEY="sk-ant-before")
    ids = (made.org_id, session_id, worker.answer["runtimeToken"], made.org_key)

    async with served(stage.settings(NEW, old)) as application:  # before anything is brought over
        await all_works(application, *ids, {"ANTHROPIC_API_KEY": "sk-ant-before"})
        async with Client(application, made.org_key) as org:
            await put(org, made.org_id, "npm", NPM_TOKEN="sealed under the new key")
    capsys.readouterr()
    lost = await asyncio.to_thread(rewrap, stage.owner_url, stage.settings(NEW, old))
    assert lost == 0
    assert "Everything is sealed under RENSEI_MASTER_KEY (" in capsys.readouterr().out
    again = await asyncio.to_thread(rewrap, stage.owner_url, stage.settings(NEW, old))
    assert again == 0
    assert "(0 secrets were brought over)" in capsys.readouterr().out

    env = {"ANTHROPIC_API_KEY": "sk-ant-before", "NPM_TOKEN": "sealed under the new key"}
    async with served(stage.settings(NEW)) as application:  # the old key is gone
        await all_works(application, *ids, env)
    for column, context in SEALED:
        for row in stage.rows(column.table.name):
            MasterKey(NEW).open(bytes(getattr(row, column.name)), context(row))
            with pytest.raises(WrongMasterKey):
                MasterKey(old).open(bytes(getattr(row, column.name)), context(row))


async def test_the_audit_log_goes_on_under_the_new_key_alone(stage, untouched):
    """Its signing keys, and those of whom it speaks."""
    old = stage.given.master_key
    async with served(stage.settings(old)) as application, stage.maker(application) as made:
        async with database.transaction() as db:
            await audit.append(db, made.org_id, None, "test", None, {"email": "ada@acme.example"})
        await chains.seal_all()

    lost = await asyncio.to_thread(rewrap, stage.owner_url, stage.settings(NEW, old))
    async with served(stage.settings(NEW)), database.transaction() as db:
        await audit.append(db, made.org_id, None, "test", None, {"email": "ada@acme.example"})
    async with served(stage.settings(NEW)) as application:
        await chains.seal_all()
        async with Client(application, made.org_key) as org:
            *events, _ = (await org.get("/api/audit")).json()["events"]

    latest, before = (each for each in events if each["eventType"] == "test")
    assert lost == 0
    assert latest["signingKeyId"] == before["signingKeyId"]
    assert latest["payload"]["email"]["$subject"] == before["payload"]["email"]["$subject"]
    assert before["readablePayload"] == {"email": "ada@acme.example"}
    for column, context in SEALED:
        for row in stage.rows(column.table.name):
            MasterKey(NEW).open(bytes(getattr(row, column.name)), context(row))


async def test_what_no_key_opens_is_named_and_stays_as_it_is(stage, untouched, capsys):
    old = stage.given.master_key
    async with served(stage.settings(old)) as application, stage.maker(application) as made:
        kept = await made.credential("npm", NPM_TOKEN="npm_secret_value")
        lost = await made.credential("lost", A="1")
    with psycopg.connect(stage.owner_url, autocommit=True) as db:
        db.execute("update credentials set data_key = %s where id = %s", (b"x" * 60, lost["id"]))

    count = await asyncio.to_thread(rewrap, stage.owner_url, stage.settings(NEW, old))

    told = capsys.readouterr().out
    rows = {row.id: row for row in stage.rows("credentials")}
    assert count == 1
    assert f'"{lost["id"]}"' in told
    assert "Everything is sealed" not in told
    assert "npm_secret_value" not in told
    assert bytes(rows[lost["id"]].data_key) == b"x" * 60
    assert unseal(MasterKey(NEW), rows[kept["id"]]).env == {"NPM_TOKEN": "npm_secret_value"}


async def test_a_key_that_the_database_was_not_sealed_under_is_told_at_the_start(
    stage, untouched, capsys
):
    old = stage.given.master_key
    async with served(stage.settings(old)) as application, stage.maker(application) as made:
        await made.worker()
    keys = len(stage.rows("signing_keys"))

    right = await asyncio.to_thread(warn_of_wrong_key, stage.owner_url, stage.settings(old))
    quiet = capsys.readouterr().out
    wrong = await asyncio.to_thread(warn_of_wrong_key, stage.owner_url, stage.settings(NEW))

    assert (right, quiet) == (0, "")
    assert wrong == keys > 0
    assert f"RENSEI_MASTER_KEY does not open {keys} of {keys}" in capsys.readouterr().out


async def test_more_rows_than_a_portion_are_all_brought_over(stage, untouched, monkeypatch):
    monkeypatch.setattr("persistence.sealed.PORTION", 3)
    old = stage.given.master_key
    with psycopg.connect(stage.owner_url, autocommit=True) as db:
        db.execute("insert into organizations (id, name, slug) values ('o', 'o', 'o')")
        for n in range(10):
            provider = f"provider-{n}"
            sealed = MasterKey(old).seal(b"s", secret_context("o", provider))
            db.execute(
                "insert into org_webhook_secrets values (%s, %s, %s)", ("o", provider, sealed)
            )

    await asyncio.to_thread(rewrap, stage.owner_url, stage.settings(NEW, old))

    rows = stage.rows("org_webhook_secrets")
    assert len(rows) == 10
    for row in rows:
        MasterKey(NEW).open(bytes(row.secret_encrypted), secret_context("o", row.provider))


def test_the_command_says_what_it_wants():
    environment = {"PATH": os.environ["PATH"], "RENSEI_MASTER_KEY": "ab" * 32}

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "supervisor.rewrap"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "RENSEI_MASTER_KEY_PREVIOUS" in done.stderr


# --- a server under other keys ---


def served(now):
    return serving(create_app(now))


async def put(org, org_id, kind, **env):
    variables = [{"name": name, "value": value} for name, value in env.items()]
    answer = await org.put(
        f"/api/org/{org_id}/credentials", json={"kind": kind, "variables": variables}
    )
    assert answer.status_code == 200, answer.text


async def all_works(application, org_id, session_id, runtime_token, org_key, env):
    tokens._verified.clear()
    async with (
        Client(application, runtime_token) as worker,
        Client(application, org_key) as org,
        Client(application, None) as anonymous,
    ):
        snapshot = await worker.post(
            "/api/daemon/credentials/snapshot", json={"orgId": org_id, "sessionId": session_id}
        )
        assert snapshot.status_code == 200, snapshot.text
        assert snapshot.json()["env"] == env
        listed = await org.get(f"/api/org/{org_id}/credentials")
        assert all(v["masked"] for c in listed.json()["credentials"] for v in c["variables"])
        event = {"type": "Issue", "organizationId": "lin_own"}
        delivered = await anonymous.post(
            "/api/webhooks/ingest/linear", **signed(LINEAR_SECRET, event)
        )
        assert delivered.status_code == 200, delivered.text
