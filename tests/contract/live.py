"""A server on a socket, as a process of its own, over stores of its own."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import psycopg
from psycopg.types.json import Jsonb

from auth import credentials
from auth.sealing import MasterKey
from domain.ids import fingerprint
from domain.principal import WORKER_SCOPES
from persistence import migrations
from persistence.tables import metadata
from settings import PROJECT, Secret
from supervisor.stores import Stores
from tests.conftest import LINEAR_SECRET, SYSTEM_KEY
from tests.contract.operations import EXAMPLE

START_SECONDS: Final = 120
STOP_SECONDS: Final = 20

NO_HTTP: Final = "Invalid HTTP request received."
"""What the server's HTTP parser says of bytes that never become a request, and may say."""

ORG_KEY: Final = "rsk_live_" + "a" * 64
WORKER_KEY: Final = EXAMPLE["registration_token"]
SPARE_KEY: Final = "rsk_live_" + "c" * 64

SCANNER: Final = "wkr_5ca77e2b90d1f346"
"""A worker that has no room for sessions and serves a lane of batch jobs."""
MASTER_KEY: Final = "cd" * 32

SPARE_CONNECTION: Final = "conn_5bare"
FINISHED_PUBLIC_ID: Final = "0b1f6c2e58c44f0e"
AT_WORK: Final = "4f1e0b7a-2c55-4d0e-8f7b-1f2d3c4b5a69"
"""A session of the examples' worker that no example ends."""

KEYS_IN_USE: Final = ("key_of_the_org", "key_of_the_workers")
"""Ids of the keys that `seed` makes for calling, and that nobody should revoke."""

LONG_AGO: Final = datetime(2024, 7, 1, 9, tzinfo=UTC)

KEPT: Final = {
    "alembic_version",
    "signing_keys",
    "service_pulse",
    *(name for name in metadata.tables if name.startswith("audit_") and name != "audit_pending"),
}
"""Tables that a server has read already, or that are nobody's."""


@dataclass(frozen=True)
class Live:
    """A running server, and its database as the owner sees it."""

    base_url: str
    owner_url: str
    log: Path

    def complaints(self) -> list[str]:
        """What the server logged; whatever it is asked, it should have nothing to say."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if line.strip() and NO_HTTP not in line]


@contextmanager
def live_server(folder: Path, **settings: str) -> Iterator[Live]:
    """Serve an empty, migrated database on a free loopback port, until the end of the body.

    The stores are not those of the other tests: whoever fuzzes sees every organization.
    """
    with Stores(folder, durable=False) as stores:
        migrations.upgrade(stores.owner_url)
        port = _free_port()
        live = Live(f"http://127.0.0.1:{port}", stores.owner_url, folder / "server.log")
        environment = {
            "PATH": os.environ["PATH"],
            "RENSEI_PORT": str(port),
            "RENSEI_WORKERS": "1",
            "RENSEI_WEB_DATABASE_URL": stores.web_url,
            "REDIS_URL": stores.redis_url,
            "RENSEI_MASTER_KEY": MASTER_KEY,
            "RENSEI_SYSTEM_KEY": SYSTEM_KEY,
            "WEBHOOK_SECRET_LINEAR": LINEAR_SECRET,
            "WEBHOOK_SECRET_GITHUB": LINEAR_SECRET,
            "WEBHOOK_SECRET_GITHUB_ACTIONS": LINEAR_SECRET,
            "WEBHOOK_SECRET_VERCEL": LINEAR_SECRET,
            "RENSEI_FAILURES_PER_MINUTE": "0",
            "ROUTING_SELECTOR_ENABLED": "true",
            **settings,
        }
        _seal(stores, environment)
        configuration = str(PROJECT / "supervisor" / "gunicorn_conf.py")
        gunicorn = [sys.executable, "-W", "ignore", "-m", "gunicorn", "-c", configuration]
        with live.log.open("wb") as log:
            process = subprocess.Popen(
                [*gunicorn, "app:create_app()"],
                cwd=PROJECT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                _wait(process, live)
                yield live
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


SEAL: Final = """
import asyncio
import settings
from auth import keyring
from jobs.seal_audit import seal_audit
from persistence import database

async def main():
    await database.connect(settings.current().jobs_database_url)
    await seal_audit()
    await database.disconnect()

settings.use(settings.Settings.from_environment())
keyring.start()
asyncio.run(main())
"""


def _seal(stores: Stores, environment: Mapping[str, str]) -> None:
    """Give the examples' organization and the system a chain: under the server's master key, and so
    in a process of its own."""
    with psycopg.connect(stores.owner_url) as db:
        for org_id in (EXAMPLE["organization"], EXAMPLE["organization"], None):
            _insert(
                db, "audit_pending", org_id=org_id, event_type="test.happened", actor_type="system"
            )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SEAL],
        cwd=PROJECT,
        env={**environment, "RENSEI_JOBS_DATABASE_URL": stores.jobs_url},
        check=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], live: Live) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{live.base_url}/api/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the server did not start: " + "\n".join(live.complaints()))


def seed(live: Live, *, waiting: int = 0) -> dict[str, str]:
    """Make the contract's examples true; returns the variables of the samples.

    Can be called again and again: the database is emptied first. `waiting` is the number of
    sessions in the queue.
    """
    with psycopg.connect(live.owner_url, autocommit=True) as db:
        tables = db.execute("select tablename from pg_tables where schemaname = 'public'")
        names = ", ".join(name for (name,) in tables if name not in KEPT)
        db.execute(f"truncate {names} cascade")  # type: ignore[arg-type]
        _insert(db, "organizations", id=EXAMPLE["organization"], name="Demo", slug="demo")
        org = {"org_id": EXAMPLE["organization"]}
        of_project = {**org, "project_id": EXAMPLE["project"]}
        _insert(
            db, "projects", id=EXAMPLE["project"], name="Demo", slug="demo", is_default=True, **org
        )
        for key_id, key, scopes, projects in (
            (KEYS_IN_USE[0], ORG_KEY, ["*"], None),
            (KEYS_IN_USE[1], WORKER_KEY, list(WORKER_SCOPES), [EXAMPLE["project"]]),
            (EXAMPLE["key"], SPARE_KEY, list(WORKER_SCOPES), [EXAMPLE["project"]]),
        ):
            _insert(
                db,
                "api_keys",
                id=key_id,
                name=key_id,
                prefix=key[:13],
                key_hash=fingerprint(key),
                scopes=scopes,
                project_ids=projects,
                **org,
            )
        _insert(
            db,
            "m2m_clients",
            id=EXAMPLE["m2m_client"],
            name="reporting",
            secret_hash=fingerprint(EXAMPLE["m2m_secret"]),
            scopes=["sessions:read"],
            **org,
        )
        for worker_id in (EXAMPLE["worker"], EXAMPLE["daemon"]):
            _insert(
                db,
                "workers",
                id=worker_id,
                registration_id=KEYS_IN_USE[1],
                hostname="forge-07",
                capacity=6,
                **of_project,
            )
        for session_id, public_id, issue_id in (
            (EXAMPLE["session"], EXAMPLE["public_session"], "b1d2"),
            (AT_WORK, AT_WORK.replace("-", "")[:16], "b1d3"),
            (EXAMPLE["agent_session"], "5e551031a0b1c2d3", "b1d5"),
        ):
            _insert(
                db,
                "sessions",
                id=session_id,
                public_id=public_id,
                issue_id=issue_id,
                issue_identifier="ENG-204",
                work_type="development",
                priority=3,
                status="running",
                worker_id=EXAMPLE["worker"],
                slot_worker_id=EXAMPLE["worker"],
                lease_epoch=1,
                **of_project,
            )
        _insert(
            db,
            "sessions",
            id=EXAMPLE["finished_session"],
            public_id=FINISHED_PUBLIC_ID,
            issue_id="b1d1",
            issue_identifier="ENG-203",
            work_type="development",
            priority=3,
            status="completed",
            worker_id=EXAMPLE["worker"],
            **of_project,
        )
        # The last of the queue, so that no poll takes it away.
        _insert(
            db,
            "sessions",
            id=EXAMPLE["waiting_session"],
            public_id="3c5d9a7041f24e6b",
            issue_id="b1d4",
            issue_identifier="ENG-206",
            work_type="development",
            priority=9,
            **of_project,
        )
        _insert(
            db,
            "recovery_packets",
            session_id=EXAMPLE["session"],
            number=1,
            id="rp_04c1d2e3f4a5b6c7",
            chain_id="rc_7f0c3a529d1e4b7e",
            tier="minimal",
            token_estimate=3,
            data="{}",
            content_hash=fingerprint("{}"),
            text="Go on.",
            **org,
        )
        for interview_id, status in (
            (EXAMPLE["interview"], "running"),
            (EXAMPLE["finished_interview"], "completed"),
        ):
            session_id = interview_id.replace("int_", "interview-")
            _insert(
                db,
                "sessions",
                id=session_id,
                public_id=session_id[-16:],
                issue_id="",
                issue_identifier="",
                work_type="interview",
                priority=2,
                work=Jsonb({"mode": "interview", "initialPrompt": "Ask me about refunds"}),
                status=status,
                worker_id=EXAMPLE["worker"],
                slot_worker_id=EXAMPLE["worker"] if status == "running" else None,
                claimed_at=LONG_AGO,
                finished_at=LONG_AGO if status == "completed" else None,
                lease_epoch=1,
                **of_project,
            )
            _insert(
                db,
                "interviews",
                id=interview_id,
                session_id=session_id,
                request_hash=b"",
                **org,
            )
        for number in range(waiting):
            _insert(
                db,
                "sessions",
                id=f"waiting-{number}",
                public_id=f"{number:016x}",
                issue_id=f"issue-{number}",
                issue_identifier=f"ENG-{number}",
                work_type="development",
                priority=3,
                **of_project,
            )
        _insert(
            db,
            "worker_hosts",
            id=EXAMPLE["worker_host"],
            registration_id=KEYS_IN_USE[1],
            machine_id="c41f",
            hostname="forge-08",
            **org,
        )
        _insert(
            db,
            "mutations",
            id=EXAMPLE["mutation"],
            host_id=EXAMPLE["worker_host"],
            op="project.remove",
            params='{"id": "proj_7kq2"}',
            requested_by=EXAMPLE["key"],
            **org,
        )
        _insert(
            db,
            "workers",
            id=SCANNER,
            registration_id=KEYS_IN_USE[1],
            hostname="forge-08",
            capacity=0,
            capabilities=["code-survival-scan"],
            **of_project,
        )
        _insert(
            db,
            "batch_jobs",
            id=EXAMPLE["batch_job"],
            work_type="code-survival-scan",
            item=json.dumps({"contractVersion": 1, "prRepo": "acme/billing"}),
            **of_project,
        )
        _insert(
            db,
            "workspace_mappings",
            id=EXAMPLE["mapping"],
            provider="linear",
            workspace_id="lin_other",
            shared=True,
            **of_project,
        )
        for credential_id, kind in ((EXAMPLE["credential"], "npm"), ("cred_kept", "anthropic")):
            context = credentials.context(EXAMPLE["organization"], kind, credential_id, None, None)
            envelope = credentials.seal(MasterKey(Secret(MASTER_KEY)), {"TOKEN": "secret"}, context)
            _insert(
                db,
                "credentials",
                id=credential_id,
                kind=kind,
                names=["TOKEN"],
                sealed=envelope.sealed,
                data_key=envelope.data_key,
                **org,
            )
        for connection_id in (EXAMPLE["connection"], SPARE_CONNECTION):
            _insert(
                db,
                "connections",
                id=connection_id,
                provider="linear",
                name=connection_id,
                secret_encrypted=b"sealed elsewhere",
                secret_shown="…",
                **org,
            )
        _insert(
            db,
            "a2a_agents",
            id=EXAMPLE["agent"],
            url=EXAMPLE["agent_url"],
            trust_level="external",
            card='{"name":"Reviewer","skills":[{"id":"review","name":"Review"}]}',
            card_url="",
            **org,
        )
        _insert(
            db,
            "a2a_dispatches",
            id=EXAMPLE["dispatch"],
            agent_id=EXAMPLE["agent"],
            agent_name="Reviewer",
            kind="explicit",
            input_text="Check ENG-204",
            message_id="m-12",
            context_id="c-12",
            **org,
        )
        _insert(
            db,
            "webhook_events",
            id=EXAMPLE["webhook_event"],
            correlation_id="corr_31",
            provider="linear",
            verified_by="",
            event_name="AgentSessionEvent.created",
            type="linear.agent_session.created",
            body=b'{"type":"AgentSessionEvent","action":"created"}',
            status="dead",
            attempts=8,
            **org,
        )
    return _variables(live)


def _insert(db: "psycopg.Connection[tuple[object, ...]]", table: str, **values: object) -> None:
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    db.execute(f"insert into {table} ({names}) values ({places})", list(values.values()))  # type: ignore[arg-type]


def _variables(live: Live) -> dict[str, str]:
    """What a reader exports before trying the samples."""
    with httpx.Client(base_url=live.base_url) as client:
        org = EXAMPLE["organization"]
        own = client.patch(
            f"/api/org/{org}/settings",
            json={"webhookSecrets": {"linear": secrets.token_hex(16)}},
            headers=_bearer(ORG_KEY),
        )
        token = client.post(
            f"/api/workers/{EXAMPLE['daemon']}/refresh-token", headers=_bearer(WORKER_KEY)
        )
        polled = client.get(f"/api/workers/{SCANNER}/poll", headers=_bearer(WORKER_KEY))
        opened = client.post("/api/auth/session", headers=_bearer(ORG_KEY))
    assert own.is_success, own.text
    return {
        "RENSEI_ORG_KEY": ORG_KEY,
        "RENSEI_WORKER_KEY": WORKER_KEY,
        "RENSEI_SYSTEM_KEY": SYSTEM_KEY,
        "RENSEI_RUNTIME_TOKEN": token.json()["runtimeToken"],
        "RENSEI_BATCH_TOKEN": polled.json()["batchWork"][0]["resultAuth"],
        "RENSEI_SESSION": opened.cookies["wos-session"],
        "RENSEI_M2M_CLIENT_ID": EXAMPLE["m2m_client"],
        "RENSEI_M2M_CLIENT_SECRET": EXAMPLE["m2m_secret"],
        "WEBHOOK_SECRET_LINEAR": LINEAR_SECRET,
    }


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
