"""The official client of MCP before the server, and the plain messages beside it."""

import warnings
from contextlib import asynccontextmanager
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client


@asynccontextmanager
async def connected(address: str, session_id: str, token: str, mode: Any = "auto"):
    """The official client in a conversation about a session, over a real socket."""
    headers = {"Authorization": f"Bearer {token}"}
    async with connected_to(f"{address}/api/mcp/{session_id}", headers, mode) as client:
        yield client


@asynccontextmanager
async def connected_to(url: str, headers: dict[str, str], mode: Any = "auto"):
    """The same with an address and headers, as a configuration has them."""
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def request(method: str, params: Any = None, id_: Any = 1) -> dict[str, Any]:
    """A JSON-RPC request by hand."""
    made: dict[str, Any] = {"jsonrpc": "2.0", "id": id_, "method": method}
    return made if params is None else made | {"params": params}


def call(tool: str, id_: Any = 1, **arguments: Any) -> dict[str, Any]:
    """A call of a tool by hand."""
    return request("tools/call", {"name": tool, "arguments": arguments}, id_)


class Agent:
    """A session that a worker holds, and the agent at work on it."""

    def __init__(self, make: Any, worker: Any, session_id: str, token: str) -> None:
        self.make = make
        self.worker = worker
        self.id = session_id
        self.token = token
        self.client = make.client(token)

    @classmethod
    async def begin(cls, make: Any, worker: Any = None, **columns: Any) -> "Agent":
        worker = worker or await make.worker()
        return cls(make, worker, *await make.claimed_with_token(worker, **columns))

    async def post(self, body: Any, **headers: str) -> Any:
        """The HTTP answer to a body."""
        return await self.client.post(f"/api/mcp/{self.id}", json=body, headers=headers)

    async def result(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers, in an agent's turn that must succeed."""
        answer = await self.post(call(tool, **arguments))
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert not result.get("isError"), result
        return dict(result["structuredContent"])

    async def failure(self, tool: str, **arguments: Any) -> str:
        """Why a tool failed, in the words that the model reads."""
        answer = await self.post(call(tool, **arguments))
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert result["isError"] is True, result
        assert "structuredContent" not in result
        return str(result["content"][0]["text"])

    async def error(self, body: Any) -> dict[str, Any]:
        """The JSON-RPC error that a message is answered with."""
        answer = await self.post(body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == body["id"]
        return dict(answer.json()["error"])
