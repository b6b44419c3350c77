"""Peers that speak A2A: their cards are fetched, kept, and shown when they change."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.client.client import ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.compat.v0_3 import types as old

import handlers.a2a_agents
import services.a2a_agents
import settings
from services.a2a_secrets import token_context, unseal
from tests.outbound.servers import Server, reply, running

AGENTS = "/api/a2a/agents"


class Peer(Server):
    """An agent on loopback that shows a card."""

    def __init__(self, **card):
        super().__init__(self._answer)
        self.card = {"name": "Reviewer", "version": "1.0.0", "skills": [{"id": "review"}], **card}
        self.etag = None
        self.status = 200

    def _answer(self, asked):
        if not asked.path.endswith("/.well-known/agent-card.json"):
            return reply(404)
        if self.status != 200:
            return reply(self.status)
        if self.etag and asked.headers.get("if-none-match") == self.etag:
            return reply(304)
        body = self.card if isinstance(self.card, bytes) else json.dumps(self.card).encode()
        return reply(200, body, **({"ETag": self.etag} if self.etag else {}))


@pytest.fixture
def allowing(given):
    """Private hosts that may be asked, while the test runs."""

    def allow(*hosts):
        settings.use(replace(given, allowed_private_hosts=hosts))

    yield allow
    settings.use(given)


@pytest.fixture
async def peer(allowing):
    async with running(Peer()) as peer:
        allowing(peer.host)
        yield peer


async def register(make, peer, **body):
    return await make.org.post(AGENTS, json={"url": peer.url, **body})


async def test_the_own_card_serves_both_generations(anonymous):
    answer = await anonymous.get("/.well-known/agent-card.json")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"
    card = answer.json()
    new, before = parse_agent_card(answer.json()), old.AgentCard.model_validate(card)
    assert {each.protocol_version for each in new.supported_interfaces} == {"1.0", "0.3"}
    assert new.security_schemes["bearer"].http_auth_security_scheme.scheme == "bearer"
    assert new.capabilities.streaming
    assert new.capabilities.push_notifications
    assert before.url == card["url"] == f"{settings.current().own_address}/api/a2a"
    assert before.preferred_transport == "JSONRPC"
    assert before.security_schemes["bearer"].root.scheme == "bearer"
    ClientFactory(ClientConfig()).create(new)


async def test_an_organization_has_a_card_only_when_it_says_so(make, anonymous):
    path = f"/.well-known/agent-card.json?org={make.slug}"
    before = await anonymous.get(path)
    nowhere = await anonymous.get("/.well-known/agent-card.json?org=nobody")

    changed = await make.org.patch(
        f"/api/org/{make.org_id}/settings", json={"publishesAgentCard": True}
    )
    after = await anonymous.get(path)

    assert before.status_code == nowhere.status_code == 404
    assert before.text == nowhere.text
    assert changed.json()["settings"]["publishesAgentCard"] is True
    assert after.json()["name"] == "Test"
    assert "qa" in {skill["id"] for skill in after.json()["skills"]}


async def test_registering_fetches_the_card_and_keeps_both(make, peer, audit_log):
    made = await register(make, peer)

    agent = made.json()["agent"]
    assert made.status_code == 201, made.text
    assert agent["url"] == peer.url
    assert agent["trustLevel"] == "external"
    assert agent["card"] == {
        "name": "Reviewer",
        "url": None,
        "version": "1.0.0",
        "description": None,
        "skills": [{"id": "review"}],
    }
    assert (agent["reachable"], agent["lastError"], agent["cardChangedAt"]) == (True, None, None)
    assert (await make.org.get(f"{AGENTS}/{agent['id']}")).json() == {"agent": agent}
    assert (await make.org.get(AGENTS)).json() == {"agents": [agent]}
    assert await audit_log() == [("a2a.agent_registered", agent["id"])]
    assert peer.asked[0].headers["accept"] == "application/json"


@pytest.mark.parametrize("written", ["/", "/.well-known/agent-card.json", "/#there"])
async def test_one_agent_is_one_agent_however_its_url_is_written(written, make, peer):
    first = await register(make, peer)

    again = await make.org.post(AGENTS, json={"url": peer.url.upper().replace(
        "HTTP", "http") + written, "trustLevel": "trusted"})  # fmt: skip

    assert again.status_code == 200, again.text
    assert again.json()["agent"]["id"] == first.json()["agent"]["id"]
    assert again.json()["agent"]["trustLevel"] == "trusted"
    assert len((await make.org.get(AGENTS)).json()["agents"]) == 1


async def test_a_url_that_is_a_card_itself_will_do(make, peer):
    peer.answer = lambda asked: (
        reply(200, json.dumps(peer.card).encode()) if asked.path == "/card" else reply(404)
    )

    made = await make.org.post(AGENTS, json={"url": f"{peer.url}/card"})

    assert made.status_code == 201, made.text


async def test_two_registrations_at_once_make_one_agent(make, peer):
    answers = await asyncio.gather(*(register(make, peer) for _ in range(4)))

    assert {each.status_code for each in answers} <= {200, 201, 409}
    assert len((await make.org.get(AGENTS)).json()["agents"]) == 1


async def test_an_agent_that_is_removed_while_it_is_fetched_again_is_a_conflict(
    make, peer, monkeypatch
):
    agent_id = (await register(make, peer)).json()["agent"]["id"]

    async def look_again(known):
        assert (await make.org.delete(f"{AGENTS}/{agent_id}")).status_code == 200
        return await services.a2a_agents.look_again(known)

    monkeypatch.setattr(handlers.a2a_agents, "look_again", look_again)
    during = await register(make, peer)
    after = await register(make, peer)

    assert during.status_code == 409
    assert "register it again" in during.json()["error"]
    assert after.status_code == 201


async def test_the_token_for_an_agent_is_stored_sealed_and_never_shown(make, peer, owner):
    made = await register(make, peer, token="tok-of-the-peer")

    agent = made.json()["agent"]
    rows = await owner.execute("select * from a2a_agents where id = %s", (agent["id"],))
    row = await rows.fetchone()
    assert "tok-of-the-peer" not in made.text
    assert unseal(bytes(row.token_encrypted), token_context(make.org_id, agent["id"])) == (
        "tok-of-the-peer"
    )
    await make.org.patch(f"{AGENTS}/{agent['id']}", json={"trustLevel": "internal", "token": None})
    rows = await owner.execute("select * from a2a_agents where id = %s", (agent["id"],))
    assert (await rows.fetchone()).token_encrypted is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://169.254.169.254/latest", "https"),
        ("https://169.254.169.254/", "metadata"),
        ("https://[::ffff:7f00:1]/", "transition"),
        ("https://2130706433/", "odd"),
        ("https://localhost/", "loopback"),
        ("https://user:pw@a.example/", "credentials"),
        ("ftp://a.example/", "https"),
        ("nothing", "address"),
        ("https://[", "body.url"),
        ("https://a.example:99999/", "body.url"),
    ],
)
async def test_no_private_address_is_asked(url, said, make):
    refused = await make.org.post(AGENTS, json={"url": url})

    assert refused.status_code == 400
    assert said in refused.json()["error"]


def cards():
    here = {"name": "Reviewer", "skills": []}
    elsewhere = [{"url": "https://a.example", "protocolBinding": "JSONRPC"}]
    yield b"no card", "JSON"
    yield b"[]", "object"
    yield b'{"name":"\\ud800","skills":[]}', "JSON"
    yield b"[" * 100_000, "JSON"
    yield {"skills": []}, "name"
    yield {"name": 5}, "name"
    yield {"name": " "}, "name"
    yield {"name": "x" * 301}, "name"
    yield {**here, "version": 5}, "version"
    yield {**here, "name": "a\0b"}, "NUL"
    yield {**here, "skills": [{"id": "x", "tags": [{"y\0": 1}]}]}, "NUL"
    yield {**here, "skills": {}}, "skills"
    yield {**here, "skills": [{"name": "no id"}]}, "id"
    yield {**here, "skills": [{"id": "a b"}]}, "id"
    yield {**here, "skills": [{"id": "x"}] * 201}, "skills"
    yield {**here, "defaultInputModes": 5}, "fit"
    yield {**here, "url": "https://elsewhere.example/rpc"}, "host"
    yield {**here, "url": "//elsewhere.example/rpc"}, "host"
    yield {**here, "url": "http://127.0.0.1:1/rpc"}, "host"
    yield {**here, "url": ["x"]}, "url"
    yield {**here, "supportedInterfaces": elsewhere}, "host"
    yield {**here, "additionalInterfaces": elsewhere}, "host"
    yield {**here, "supportedInterfaces": "x"}, "Interfaces"


@pytest.mark.parametrize(("card", "said"), list(cards()))
async def test_what_is_no_card_or_leads_elsewhere_is_refused(card, said, make, peer):
    peer.card = card

    refused = await register(make, peer)

    assert refused.status_code == 400, refused.text
    assert said in refused.json()["error"]
    assert (await make.org.get(AGENTS)).json() == {"agents": []}


async def test_an_interface_that_is_never_used_may_be_anywhere(make, peer):
    peer.card["supportedInterfaces"] = [
        {"url": f"{peer.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "grpc.elsewhere.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
    ]

    made = await register(make, peer)

    assert made.status_code == 201, made.text
    assert made.json()["agent"]["card"]["url"] == f"{peer.url}/rpc"


@asynccontextmanager
async def saying(serve, allowing):
    server = Server(None)
    server.serve = serve
    async with running(server):
        allowing(server.host)
        yield server


async def test_a_card_without_end_is_cut_off(make, allowing):
    sent = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not writer.is_closing() and len(sent) < 1000:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent.append(1)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with saying(serve, allowing) as server:
        refused = await make.org.post(AGENTS, json={"url": server.url})

    assert refused.status_code == 400
    assert "larger than 262144" in refused.json()["error"]
    assert len(sent) < 300


async def test_a_slow_agent_is_not_waited_for(make, allowing, monkeypatch):
    monkeypatch.setattr("outbound.a2a_cards.CARD_SECONDS", 0.2)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(1)
        writer.close()

    async with saying(serve, allowing) as server:
        refused = await make.org.post(AGENTS, json={"url": server.url})

    assert refused.status_code == 400
    assert "within" in refused.json()["error"]


async def test_an_agent_that_redirects_for_ever_is_given_up(make, peer):
    peer.answer = lambda _: reply(302, Location="/again")

    refused = await register(make, peer)

    assert refused.status_code == 400
    assert "redirects" in refused.json()["error"]
    assert len(peer.asked) <= 10


async def test_a_redirect_to_a_private_host_is_refused(make, peer):
    peer.answer = lambda _: reply(302, Location="http://169.254.169.254/latest/meta-data")

    refused = await register(make, peer)

    assert refused.status_code == 400
    assert "RENSEI_ALLOWED_PRIVATE_HOSTS" in refused.json()["error"]


async def test_a_lie_about_the_length_is_no_card(make, allowing):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"name":"Reviewer"}')
        await writer.drain()
        writer.close()

    async with saying(serve, allowing) as server:
        refused = await make.org.post(AGENTS, json={"url": server.url})

    assert refused.status_code == 400
    assert "no answer" in refused.json()["error"]


async def refetch(make, agent_id):
    answer = await make.org.post(f"{AGENTS}/{agent_id}/refetch")
    assert answer.status_code == 200, answer.text
    return answer.json()["agent"]


async def test_a_changed_card_of_a_trusted_agent_is_shown_as_changed(make, peer, audit_log):
    agent = (await register(make, peer, trustLevel="trusted")).json()["agent"]
    assert (await refetch(make, agent["id"]))["cardChangedAt"] is None

    peer.card["skills"].append({"id": "deploy"})
    changed = await refetch(make, agent["id"])
    seen = await make.org.patch(f"{AGENTS}/{agent['id']}", json={"trustLevel": "trusted"})

    assert [skill["id"] for skill in changed["card"]["skills"]] == ["review", "deploy"]
    assert changed["cardChangedAt"] is not None
    assert seen.json()["agent"]["cardChangedAt"] is None
    assert [event for event, _ in await audit_log()] == [
        "a2a.agent_registered",
        "a2a.agent_fetched",
        "a2a.agent_changed",
    ]


async def test_a_changed_card_of_an_external_agent_is_just_replaced(make, peer):
    agent = (await register(make, peer)).json()["agent"]

    peer.card["version"] = "2.0.0"
    changed = await refetch(make, agent["id"])

    assert (changed["card"]["version"], changed["cardChangedAt"]) == ("2.0.0", None)


async def test_an_etag_spares_the_card(make, peer):
    peer.etag = '"one"'
    agent = (await register(make, peer)).json()["agent"]

    same = await refetch(make, agent["id"])

    assert peer.asked[-1].headers["if-none-match"] == '"one"'
    assert same["card"] == agent["card"]
    assert same["lastFetchedAt"] > agent["lastFetchedAt"]


async def test_an_agent_that_is_away_keeps_its_card(make, peer):
    agent = (await register(make, peer)).json()["agent"]

    peer.status = 503
    away = await refetch(make, agent["id"])
    peer.status = 200
    back = await refetch(make, agent["id"])

    assert (away["reachable"], away["card"]) == (False, agent["card"])
    assert "503" in away["lastError"]
    assert away["lastFetchedAt"] == agent["lastFetchedAt"]
    assert (back["reachable"], back["lastError"]) == (True, None)


async def test_a_deleted_agent_is_gone(make, peer, audit_log):
    agent = (await register(make, peer)).json()["agent"]

    gone = await make.org.delete(f"{AGENTS}/{agent['id']}")

    assert gone.json() == {"deleted": True, "id": agent["id"]}
    assert (await make.org.get(f"{AGENTS}/{agent['id']}")).status_code == 404
    assert (await audit_log())[-1] == ("a2a.agent_deleted", agent["id"])


async def test_the_level_system_is_not_given(make, peer):
    assert (await register(make, peer, trustLevel="system")).status_code == 400
