"""Organizations in which every thing that the contract's examples speak of exists."""

import json
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Final, Self

from auth import tokens
from domain.principal import WORKER_SCOPES, Kind
from tests import chains
from tests.client import BASE_URL, Client
from tests.conftest import SYSTEM_KEY
from tests.contract.operations import EXAMPLE
from tests.factories import Made, Maker

PROJECT_SCOPES: Final = [
    *WORKER_SCOPES,
    "sessions:read",
    "sessions:write",
    "projects:read",
    "projects:write",
    "org:read",
    "org:write",
    "workspaces:read",
    "workspaces:write",
    "batch:read",
    "batch:write",
]
"""All that a key of some projects can hold."""

OF_A_PROJECT: Final = frozenset(
    {Kind.PROJECT_KEY, Kind.COOKIE, Kind.RUNTIME, Kind.BATCH, Kind.AGENT}
)
"""The kinds of credential that can be bound to a project."""

NOWHERE: Final = {
    "organization": "org_ffffffffffffffff",
    "project": "proj_ffffffffffffffff",
    "worker": "wkr_ffffffffffffffff",
    "daemon": "wkr_ffffffffffffffff",
    "session": "ses-ffffffffffffffff",
    "public_session": "ffffffffffffffff",
    "agent_session": "ses-cccccccccccccccc",
    "waiting_session": "ses-dddddddddddddddd",
    "finished_session": "ses-eeeeeeeeeeeeeeee",
    "interview": "int_ffffffffffffffff",
    "interview_session": "interview-ffffffffffffffff",
    "finished_interview": "int_eeeeeeeeeeeeeeee",
    "key": "key_ffffffffffffffff",
    "mapping": "map_ffffffffffffffff",
    "worker_host": "host_ffffffffffffffff",
    "mutation": "mut_ffffffffffffffff",
    "batch_job": "batch:ffffffffffffffff",
    "credential": "cred_ffffffffffffffff",
    "connection": "conn_ffffffffffffffff",
    "webhook_event": "evt_ffffffffffffffff",
    "agent": "a2a_ffffffffffffffff",
    "dispatch": "dsp_ffffffffffffffff",
    "m2m_client": "m2m_" + "f" * 32,
}
"""Ids of things that never were."""


class World:
    """One project's things, by the part they play in the examples, and who may speak for them."""

    maker: Maker
    registrar: str
    worker: Made
    things: dict[str, str]
    runtime_token: str
    batch_token: str
    agent_token: str

    @classmethod
    async def begin(cls, application: Any, owner: Any) -> Self:
        """An organization of its own, with a secret of its own for Linear."""
        maker = await Maker.begin(application, owner, SYSTEM_KEY)
        changed = await maker.org.patch(
            f"/api/org/{maker.org_id}/settings",
            json={"webhookSecrets": {"linear": secrets.token_hex(16)}},
        )
        assert changed.status_code == 200, changed.text
        # The system's chain has a row too, for the system key to read.
        await owner.execute(
            "insert into audit_pending (event_type, actor_type) values ('test.happened', 'system')"
        )
        await chains.seal_all()
        return await cls._fill(maker, maker.project_id)

    async def next_door(self) -> Self:
        """The same in another project of the organization."""
        return await self._fill(self.maker, await self.maker.project())

    async def again(self, *, org_wide: bool = False, only: Iterable[str] = tuple(EXAMPLE)) -> Self:
        """The same in the same project, under another registration; maybe an org-wide one.

        `only` names the parts that are needed, so that hundreds of worlds are made quickly; a
        worker and its credentials are always there.
        """
        return await self._fill(self.maker, self.project_id, org_wide=org_wide, only=only)

    @classmethod
    async def _fill(
        cls,
        maker: Maker,
        project_id: str,
        *,
        org_wide: bool = False,
        only: Iterable[str] = tuple(EXAMPLE),
    ) -> Self:
        world = cls()
        world.maker = maker
        world.project_id = project_id
        world.registrar = (
            await maker.key()
            if org_wide
            else await maker.key(projects=[project_id], scopes=PROJECT_SCOPES)
        )
        # Room for what earlier tests left in the queue, and for its own.
        world.worker = await maker.worker(world.registrar, projectId=project_id, capacity=1_000)
        world.runtime_token = world.worker.answer["runtimeToken"]
        job_id, world.batch_token = await maker.claimed_batch_job(world.worker, project_id)
        world.things = {
            "organization": maker.org_id,
            "project": project_id,
            "worker": world.worker.id,
            "daemon": world.worker.id,
            "batch_job": job_id,
            "workspace": f"lin-{secrets.token_hex(4)}",
            "registration_token": world.registrar,
            "slug": f"org-{secrets.token_hex(4)}",
            "project_slug": f"p-{secrets.token_hex(4)}",
        }
        needed = set(only)
        for parts, add in cls._ADDED.items():
            if not needed.isdisjoint(parts):
                world.things |= dict(zip(parts, await add(world), strict=True))
        return world

    # What follows makes one group of things each, in the order of their parts in `_ADDED`.

    async def _sessions(self) -> tuple[str, ...]:
        await self.maker.empty_queue(self.project_id)
        session_id = await self.maker.claimed(self.worker, project_id=self.project_id)
        await self.maker.recovery_packet(session_id)
        stored = await self.maker.stored(session_id)
        return session_id, stored.public_id, stored.issue_id

    async def _agent_session(self) -> tuple[str, ...]:
        await self.maker.empty_queue(self.project_id)
        session_id, self.agent_token = await self.maker.claimed_with_token(
            self.worker, project_id=self.project_id
        )
        return (session_id,)

    async def _interview(self) -> tuple[str, ...]:
        interview_id, session_id = await self.maker.interview(self.project_id)
        polled = await self.worker.client.get(f"/api/workers/{self.worker.id}/poll")
        assert session_id in polled.json()["claimedSessionIds"], polled.text
        return interview_id, session_id

    async def _finished_interview(self) -> tuple[str, ...]:
        interview_id, session_id = await self.maker.interview(self.project_id)
        await self.maker.end(session_id)
        return (interview_id,)

    async def _waiting_session(self) -> tuple[str, ...]:
        return (await self.maker.session(self.project_id),)

    async def _finished_session(self) -> tuple[str, ...]:
        return (
            await self.maker.session(self.project_id, status="completed", worker_id=self.worker.id),
        )

    async def _key(self) -> tuple[str, ...]:
        return ((await self.maker.key_answer())["id"],)

    async def _m2m(self) -> tuple[str, ...]:
        client = await self.m2m_client(["*"])
        return client["clientId"], client["clientSecret"]

    async def _mapping(self) -> tuple[str, ...]:
        mapping = await self.maker.org.post(
            f"/api/org/{self.maker.org_id}/workspaces",
            json={
                "provider": "linear",
                "workspaceId": f"lin-{secrets.token_hex(4)}",
                "projectId": self.project_id,
            },
        )
        assert mapping.status_code == 201, mapping.text
        return (mapping.json()["mapping"]["id"],)

    async def _mutation(self) -> tuple[str, ...]:
        # Of a machine whose worker sends no heartbeat, so that the mutation stays to be cancelled.
        host = await self.maker.worker(
            self.registrar, projectId=self.project_id, machineId=secrets.token_hex(8)
        )
        mutation = await self.maker.org.post(
            "/api/daemon/mutations",
            json={
                "workerHostId": host.answer["workerHostId"],
                "op": "project.remove",
                "params": {"id": self.project_id},
            },
        )
        assert mutation.status_code == 201, mutation.text
        return host.answer["workerHostId"], mutation.json()["mutation"]["id"]

    async def _credential(self) -> tuple[str, ...]:
        made = [
            await self.maker.credential(kind, EXAMPLE_TOKEN="example-token-of-the-tests")
            for kind in ("anthropic", f"kind-{secrets.token_hex(4)}")
        ]
        return (made[-1]["id"],)

    async def _connection(self) -> tuple[str, ...]:
        connection = await self.maker.org.post(
            f"/api/org/{self.maker.org_id}/connections",
            json={"provider": "linear", "name": "test", "token": f"lin_{secrets.token_hex(16)}"},
        )
        assert connection.status_code == 201, connection.text
        return (connection.json()["connection"]["id"],)

    async def _webhook_event(self) -> tuple[str, ...]:
        return (await self.maker.dead_event(),)

    async def _agent(self) -> tuple[str, ...]:
        agent_id, url = await self.maker.agent()
        sent = await self.maker.org.post(
            f"/api/a2a/agents/{agent_id}/dispatches", json={"text": "Check ENG-204"}
        )
        assert sent.status_code == 201, sent.text
        return agent_id, url, sent.json()["dispatch"]["dispatchId"]

    _ADDED: ClassVar[dict[tuple[str, ...], Callable[[Any], Awaitable[tuple[str, ...]]]]] = {
        ("session", "public_session", "issue"): _sessions,
        ("agent_session",): _agent_session,
        ("interview", "interview_session"): _interview,
        ("finished_interview",): _finished_interview,
        ("waiting_session",): _waiting_session,
        ("finished_session",): _finished_session,
        ("key",): _key,
        ("m2m_client", "m2m_secret"): _m2m,
        ("mapping",): _mapping,
        ("worker_host", "mutation"): _mutation,
        ("credential",): _credential,
        ("connection",): _connection,
        ("webhook_event",): _webhook_event,
        ("agent", "agent_url", "dispatch"): _agent,
    }

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that tells of this world and that nobody outside may learn."""
        return tuple(self.things[part] for part in NOWHERE)

    async def m2m_client(self, scopes: list[str]) -> dict[str, Any]:
        """A new client, with its secret."""
        made = await self.maker.org.post(
            "/api/admin/m2m-clients", json={"name": "test", "scopes": scopes}
        )
        assert made.status_code == 201, made.text
        return dict(made.json()["client"])

    async def m2m_token(self, client: dict[str, Any]) -> str:
        given = await self.maker.client().post(
            "/api/oauth/token",
            json={
                "grant_type": "client_credentials",
                "client_id": client["clientId"],
                "client_secret": client["clientSecret"],
            },
        )
        assert given.status_code == 200, given.text
        return str(given.json()["access_token"])

    async def cookie(self, key: str) -> str:
        """The value of a new browser session's cookie."""
        opened = await self.maker.client(key).post("/api/auth/session")
        assert opened.status_code == 201, opened.text
        return str(opened.cookies["wos-session"])

    async def key(self, kind: Kind, **body: Any) -> str:
        """A new key of the organization, or of this project for PROJECT_KEY."""
        if kind is Kind.PROJECT_KEY:
            body = {"projects": [self.project_id], "scopes": PROJECT_SCOPES, **body}
        return await self.maker.key(**body)

    def by_cookie(self, value: str, **headers: str) -> Client:
        """A browser on the server's own pages; an empty header is not sent."""
        sent = {"Cookie": f"wos-session={value}", "Origin": BASE_URL, **headers}
        return self.maker.client(headers={name: each for name, each in sent.items() if each})

    async def credential(self, kind: Kind, *, org_wide: bool = True) -> Client:
        """A good credential of a kind, with all the scopes that the kind can hold."""
        match kind:
            case Kind.ORG_KEY:
                return self.maker.client(self.maker.org_key)
            case Kind.PROJECT_KEY:
                return self.maker.client(self.registrar)
            case Kind.COOKIE:
                key = self.maker.org_key if org_wide else self.registrar
                return self.by_cookie(await self.cookie(key))
            case Kind.M2M:
                return self.maker.client(await self.m2m_token(await self.m2m_client(["*"])))
            case Kind.RUNTIME:
                return self.maker.client(self.runtime_token)
            case Kind.BATCH:
                return self.maker.client(self.batch_token)
            case Kind.AGENT:
                return self.maker.client(self.agent_token)
            case Kind.SYSTEM:
                return self.maker.system

    async def credential_with(self, kind: Kind, scope: str) -> Client:
        """A good credential of a kind that holds this one scope."""
        match kind:
            case Kind.ORG_KEY | Kind.PROJECT_KEY:
                return self.maker.client(await self.key(kind, scopes=[scope]))
            case Kind.COOKIE:
                key = await self.key(Kind.ORG_KEY, scopes=[scope])
                return self.by_cookie(await self.cookie(key))
            case Kind.M2M:
                return self.maker.client(await self.m2m_token(await self.m2m_client([scope])))
            case Kind.RUNTIME:
                claims = claims_of(self.runtime_token) | {"scope": [scope]}
                return self.maker.client(await tokens.mint(tokens.RUNTIME, claims, 60))
            case Kind.BATCH:
                claims = claims_of(self.batch_token) | {"scope": [scope]}
                return self.maker.client(await tokens.mint(tokens.BATCH, claims, 60))
        raise AssertionError(kind)


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unchecked."""
    return dict(json.loads(urlsafe_b64decode(token.split(".")[1] + "==")))
