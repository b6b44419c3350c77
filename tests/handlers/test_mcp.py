"""The agents' door: what the official client sees, who is let in, and what bad input is told."""

import asyncio
import json
import re

import pytest

import settings
from domain.errors import Invalid
from services.tools import offering
from services.tools.tool import Always, NotForThisSession, Tool, gives, takes
from tests.mcp_client import Agent, call, connected, connected_to, request

VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


@pytest.fixture
def provided(monkeypatch):
    """Put tools beside the server's own, for one test."""

    def provide(*tools):
        monkeypatch.setattr(offering, "PROVIDERS", [*offering.PROVIDERS, Always(tools)])

    return provide


def tool(name, act, **more):
    return Tool(name=name, title=name, description=name, takes=takes(), gives=None, act=act, **more)


# --- whole conversations of the official client --------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_talks_from_beginning_to_end(make, address, mode):
    agent = await Agent.begin(make)

    async with connected(address, agent.id, agent.token, mode) as client:
        spoken = client.session.protocol_version
        if mode == "legacy":
            with pytest.warns(match="ping is removed"):
                await client.send_ping()
        listed = await client.list_tools()
        status = await client.call_tool("session_status", {})
        reserved = await client.call_tool("files_reserve", {"paths": ["a.py", "./b.py"]})
        outside = await client.call_tool("files_reserve", {"paths": ["../a.py"]})
        with pytest.raises(Exception, match="Unknown tool: nope"):
            await client.call_tool("nope", {})
        with pytest.raises(Exception, match=r"arguments\.paths: is required"):
            await client.call_tool("files_reserve", {})
        stopped = await client.call_tool("session_stop", {})

    assert spoken == ("2026-07-28" if mode == "auto" else "2025-11-25")
    assert {"session_status", "files_reserve", "task_submit"} <= {t.name for t in listed.tools}
    assert status.structured_content["status"] == "working"
    assert json.loads(status.content[0].text) == status.structured_content
    assert reserved.structured_content == {"reserved": ["a.py", "b.py"], "conflicts": []}
    assert outside.is_error
    assert "leaves the repository" in outside.content[0].text
    assert stopped.structured_content == {"stopped": True, "previousStatus": "working"}
    assert (await make.stored(agent.id)).status == "stopped"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_handshake_answers_in_the_version_that_the_client_asks_for(make, version):
    agent = await Agent.begin(make)

    answer = await agent.post(
        request(
            "initialize", {"protocolVersion": version, "clientInfo": {"name": "d", "version": "1"}}
        )
    )

    result = answer.json()["result"]
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"] == {"name": "rensei-platform", "version": "0.1.0"}


@pytest.mark.parametrize("version", ["2023-01-01", "nonsense", "2999-01-01"])
async def test_an_unknown_version_is_answered_with_the_newest_of_the_handshake(make, version):
    agent = await Agent.begin(make)

    answer = await agent.post(request("initialize", {"protocolVersion": version}))

    assert answer.json()["result"]["protocolVersion"] == "2025-11-25"


async def test_nothing_is_kept_between_messages(make):
    """Any process may answer any message, so a list needs no handshake before it."""
    agent = await Agent.begin(make)

    answer = await agent.post(request("tools/list"))

    assert len(answer.json()["result"]["tools"]) >= 7


async def test_every_tool_has_schemas_that_hold_and_words_for_a_model(make):
    import jsonschema_rs

    agent = await Agent.begin(make)

    for each in (await agent.post(request("tools/list"))).json()["result"]["tools"]:
        assert len(each["description"]) > 60, each["name"]
        assert each["title"]
        for schema in (each["inputSchema"], each["outputSchema"]):
            assert schema["type"] == "object"
            jsonschema_rs.validator_for(schema)


async def test_a_ping_is_answered_and_a_notification_is_not(make):
    agent = await Agent.begin(make)

    ping = await agent.post(request("ping", id_="p"))
    told = await agent.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    odd = await agent.post({"jsonrpc": "2.0", "method": "notifications/of/nobody", "params": [1]})
    unasked = await agent.post({**call("session_stop"), "id": 1} | {"method": "tools/call"})

    assert ping.json() == {"jsonrpc": "2.0", "id": "p", "result": {}}
    assert (told.status_code, told.content, odd.status_code) == (202, b"", 202)
    assert unasked.json()["result"]["structuredContent"]["stopped"] is True


async def test_a_call_without_an_id_does_nothing(make):
    """JSON-RPC would have it done and not answered; an agent that cannot see a failure must not."""
    agent = await Agent.begin(make)
    silent = call("session_stop")
    del silent["id"]

    answer = await agent.post(silent)

    assert answer.status_code == 202
    assert (await make.stored(agent.id)).status == "claimed"


async def test_a_batch_is_answered_in_its_order_and_without_its_notifications(make):
    agent = await Agent.begin(make)

    mixed = await agent.post(
        [
            request("ping", id_=1),
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            request("nope", id_="two"),
            call("files_reserve", id_=3.5, paths=["a.py"]),
        ]
    )
    silent = await agent.post([{"jsonrpc": "2.0", "method": "notifications/initialized"}] * 2)

    assert [each["id"] for each in mixed.json()] == [1, "two", 3.5]
    assert mixed.json()[1]["error"]["code"] == -32601
    assert mixed.json()[2]["result"]["structuredContent"]["reserved"] == ["a.py"]
    assert (silent.status_code, silent.content) == (202, b"")


@pytest.mark.parametrize("method", ["get", "delete", "put"])
async def test_there_is_no_stream_and_nothing_to_delete(make, method):
    agent = await Agent.begin(make)

    answer = await getattr(agent.client, method)(f"/api/mcp/{agent.id}")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]


# --- the version without a handshake -------------------------------------------------------------

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def headers(method, name=None):
    made = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    return made if name is None else made | {"Mcp-Name": name}


async def test_version_2026_says_by_the_status_what_is_wrong(make):
    agent = await Agent.begin(make)

    found = await agent.post(
        request("server/discover", {"_meta": META}), **headers("server/discover")
    )
    unknown = await agent.post(
        request("tools/call", {"name": "nope", "_meta": META}), **headers("tools/call", "nope")
    )
    contradiction = await agent.post(
        request("tools/list", {"_meta": META}), **headers("tools/call", "nope")
    )
    bare = await agent.post(request("tools/list"), **headers("tools/list"))
    batch = await agent.post([request("ping", {"_meta": META})], **headers("ping"))

    assert found.json()["result"]["supportedVersions"] == ["2026-07-28"]
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, -32601)
    assert contradiction.status_code == bare.status_code == batch.status_code == 400
    assert bare.json()["error"]["code"] == -32602
    assert batch.json()["error"]["code"] == -32600


# --- who is let in -------------------------------------------------------------------------------


async def test_a_key_of_the_project_speaks_for_its_sessions_and_no_others(make):
    agent = await Agent.begin(make)
    elsewhere = await make.session(await make.project())
    key = make.client(make.worker_key)

    own = await key.post(f"/api/mcp/{agent.id}", json=call("session_status"))
    other = await key.post(f"/api/mcp/{elsewhere}", json=call("session_status"))
    nobody = await key.post("/api/mcp/nowhere", json=call("session_status"))

    assert own.json()["result"]["structuredContent"]["status"] == "working"
    assert other.status_code == nobody.status_code == 404
    assert other.json() == nobody.json() == {"error": "Session not found"}


async def test_a_token_is_for_its_own_session_alone(make):
    worker = await make.worker()
    first, second = await Agent.begin(make, worker), await Agent.begin(make, worker)

    answers = [
        await first.client.post(f"/api/mcp/{id_}", json=request("ping"))
        for id_ in (second.id, "nowhere")
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert answers[0].json() == answers[1].json()


async def test_the_token_of_an_ended_session_is_refused(make):
    agent = await Agent.begin(make)
    await agent.result("session_stop")

    late = await agent.post(request("ping"))

    assert late.status_code == 401
    assert late.json() == {"error": "The session that the token was minted for has ended"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}, 403),
    ],
)
async def test_pages_of_other_sites_cannot_reach_a_server_on_loopback(make, told, status):
    agent = await Agent.begin(make)

    answer = await agent.post(request("ping"), **told)

    assert answer.status_code == status, answer.text


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 2000, -32700),
        (b"null", -32600),
        (b"7", -32600),
        (b'"tools/list"', -32600),
        (b"[]", -32600),
        (b"[1]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{}]', -32600),
        (json.dumps([{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * 21).encode(), -32600),
    ],
)
async def test_what_is_no_message_is_400_with_a_json_rpc_error(make, body, code):
    agent = await Agent.begin(make)

    answer = await agent.client.post(
        f"/api/mcp/{agent.id}", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["id"] is None
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (request("nope"), -32601),
        (request("resources/list"), -32601),
        (request("prompts/list", {}), -32601),
        (request("logging/setLevel", {"level": "info"}), -32601),
        (request("tools/call", [1]), -32602),
        (request("tools/call", "x"), -32602),
        (request("tools/call"), -32602),
        (request("tools/call", {}), -32602),
        (request("tools/call", {"name": 7}), -32602),
        (request("tools/call", {"name": "session_list", "arguments": []}), -32602),
        (request("tools/call", {"name": "session_list", "arguments": {"limit": "x"}}), -32602),
        (request("tools/call", {"name": "session_list", "arguments": {"limit": 1e300}}), -32602),
        (request("tools/call", {"name": "nope"}), -32601),
        (request("tools/list", {"cursor": 7}), -32602),
        (request("initialize", {"protocolVersion": 7}), -32602),
        (request("initialize"), -32602),
    ],
)
async def test_a_message_that_cannot_be_done_is_told_why(make, body, code):
    agent = await Agent.begin(make)

    error = await agent.error(body)

    assert error["code"] == code, error
    assert error["message"]
    assert "pydantic" not in json.dumps(error)


async def test_a_version_that_nobody_speaks_is_400(make):
    agent = await Agent.begin(make)

    answer = await agent.post(request("ping"), **{"MCP-Protocol-Version": "1999-01-01"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


async def test_an_argument_of_a_megabyte_is_refused_and_a_little_less_is_told_what_is_wrong(make):
    agent = await Agent.begin(make)

    huge = await agent.post(call("session_progress", message="x" * 1_048_576))
    large = await agent.post(call("session_progress", message="x" * 1_000_000))

    assert huge.status_code == 413
    assert large.json()["error"]["code"] == -32602
    assert len(large.text) < 500


# --- tools that fail -----------------------------------------------------------------------------


async def test_a_tool_that_raises_is_a_result_that_says_nothing_of_its_insides(make, provided):
    async def act(agent, arguments):
        raise RuntimeError("the password is sesame")

    agent = await Agent.begin(make)
    provided(tool("broken", act))

    said = await agent.failure("broken")

    assert said == offering.FAILED


async def test_a_refusal_reaches_the_model_in_its_own_words(make, provided):
    async def act(agent, arguments):
        raise Invalid("the moon must be full")

    async def late(agent, arguments):
        raise TimeoutError

    agent = await Agent.begin(make)
    provided(tool("choosy", act), tool("late", late))

    assert await agent.failure("choosy") == "the moon must be full"
    assert await agent.failure("late") == offering.FAILED


async def test_a_tool_that_hangs_is_given_up_and_holds_nobody_else(make, provided):
    async def act(agent, arguments):
        await asyncio.sleep(60)

    agent = await Agent.begin(make)
    provided(tool("endless", act, seconds=0.1))

    said, ping = await asyncio.gather(agent.failure("endless"), agent.post(request("ping")))

    assert said == "The tool did not finish within 0.1 seconds"
    assert ping.status_code == 200


async def test_a_tool_that_is_not_for_this_session_has_a_code_of_its_own(make, monkeypatch):
    class Forbidding(Always):
        async def find(self, agent, name):
            raise NotForThisSession

    agent = await Agent.begin(make)
    monkeypatch.setattr(offering, "PROVIDERS", [Forbidding([]), *offering.PROVIDERS])

    error = await agent.error(call("secret"))

    assert error["code"] == -32003


async def test_the_first_provider_of_a_name_wins(make, provided):
    async def act(agent, arguments):
        return {"who": "the second"}

    agent = await Agent.begin(make)
    provided(tool("session_status", act), tool("another", act))

    names = [
        each["name"] for each in (await agent.post(request("tools/list"))).json()["result"]["tools"]
    ]

    assert names.count("session_status") == 1
    assert (await agent.result("session_status"))["status"] == "working"


async def test_a_result_without_a_schema_is_text_alone(make, provided):
    async def act(agent, arguments):
        return {"any": "thing"}

    agent = await Agent.begin(make)
    provided(tool("free", act))

    result = (await agent.post(call("free"))).json()["result"]

    assert result == {"content": [{"type": "text", "text": '{"any":"thing"}'}], "isError": False}


def test_a_schema_of_results_closes_what_it_describes():
    assert gives(("b",), a={}, b={}) == {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "required": ["a"],
        "additionalProperties": False,
    }


# --- the guide -----------------------------------------------------------------------------------


async def test_the_configuration_of_the_guide_works_as_it_stands(make, address):
    """Only the address of the server is another one here."""
    agent = await Agent.begin(make)
    guide = (settings.PROJECT / "docs" / "guides" / "mcp.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    filled = block.replace("${RENSEI_SESSION_ID}", agent.id).replace(
        "${RENSEI_MCP_TOKEN}", agent.token
    )
    (server,) = json.loads(filled)["mcpServers"].values()
    url = server["url"].replace("http://127.0.0.1:8080", address)

    async with connected_to(url, server["headers"]) as client:
        stored = await client.call_tool("af_memory_remember", {"content": "The guide works"})
        listed = await client.list_tools()

    assert server["type"] == "http"
    assert stored.structured_content["stored"] is True
    missing = [tool.name for tool in listed.tools if f"`{tool.name}`" not in guide]
    assert missing == []
