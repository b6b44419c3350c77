"""One JSON-RPC message of MCP in, its answer out: the official SDK, without its transports.

Sessions of the protocol do not exist here: each message stands for itself, so that any process may
answer it. Import this through `services.mcp_loading`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import mcp_types as types
import orjson
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.models import InitializationOptions
from mcp.server.runner import ServerRunner
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
)
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types.version import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    MODERN_PROTOCOL_VERSIONS,
)
from pydantic import ValidationError

from domain.errors import Invalid
from domain.version import VERSION
from services.tools import offering
from services.tools.tool import Agent, NotForThisSession, Tool

NAME: Final = "rensei-platform"
NOT_AUTHORIZED: Final = -32003

INSTRUCTIONS: Final = (
    "Tools of the fleet that runs this session. Recall what others have learned before you begin, "
    "remember what the next one should know, reserve files before you change them."
)

Json = dict[str, Any]
Answer = tuple[Json, int]
"""The answer to a message, and the HTTP status that it has by itself."""

_log = logging.getLogger(__name__)


async def _list_tools(
    ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    agent: Any = ctx.request
    tools = await offering.offered(agent)
    return types.ListToolsResult(tools=[_shown(tool) for tool in tools])


def _shown(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.takes,
        output_schema=tool.gives,
        annotations=types.ToolAnnotations(read_only_hint=not tool.changes),
    )


async def _call_tool(
    ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
) -> types.CallToolResult:
    agent: Any = ctx.request
    try:
        tool = await offering.find(agent, params.name)
        if tool is None:
            raise MCPError(types.METHOD_NOT_FOUND, f"Unknown tool: {params.name[:200]}")
        outcome = await offering.call(tool, agent, dict(params.arguments or {}))
    except NotForThisSession as refusal:
        raise MCPError(NOT_AUTHORIZED, refusal.text) from refusal
    except Invalid as refusal:
        raise MCPError(types.INVALID_PARAMS, refusal.text) from refusal
    if outcome.result is None:
        return types.CallToolResult(
            content=[types.TextContent(text=outcome.failure or offering.FAILED)], is_error=True
        )
    return types.CallToolResult(
        content=[types.TextContent(text=orjson.dumps(outcome.result).decode())],
        structured_content=outcome.result if tool.gives is not None else None,
    )


_SERVER: Final[Server[Any]] = Server(
    NAME,
    version=VERSION,
    instructions=INSTRUCTIONS,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
)
# Its only one tells of every message to a tracing that is not installed.
_SERVER.middleware.clear()

_OPTIONS: Final = InitializationOptions(
    server_name=NAME,
    server_version=VERSION,
    capabilities=types.ServerCapabilities(tools=types.ToolsCapability()),
    instructions=INSTRUCTIONS,
)


@dataclass
class _Exchange:
    """The SDK's view of one message over HTTP: nothing can be sent but its answer."""

    request_id: Any
    message_metadata: ServerMessageMetadata
    transport: TransportContext = field(
        default_factory=lambda: TransportContext(kind="streamable-http", can_send_request=False)
    )
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    can_send_request: bool = False

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> None:
        """A stateless server has nobody to tell."""

    async def progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """As `notify`."""


class Protocol:
    """What the front asks; a class, so that one import hands all of it over."""

    @staticmethod
    def takes_batches(version: str | None) -> bool:
        """Whether a client of this version may send several messages at once."""
        return version not in MODERN_PROTOCOL_VERSIONS

    @staticmethod
    async def answer(
        message: Json, agent: Agent, version: str | None, headers: Mapping[str, str]
    ) -> Answer | None:
        """The answer to a message that fits the contract; None for a notification.

        `version` is what the client's header says, None without one.
        """
        if "id" not in message:
            return None
        params = message.get("params")
        if params is None:
            params = {}
        if not isinstance(params, dict):
            return _error(message, types.INVALID_PARAMS, "params: is not an object"), 200
        if _is_modern(message["method"], params, version):
            return await _modern(message, params, agent, headers)
        if message["method"] == "initialize":
            # Documented clients leave the last two out, and the standard asks for them.
            params = {"capabilities": {}, "clientInfo": {"name": "", "version": ""}, **params}
        spoken = version if version in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
        connection = Connection.from_envelope(str(spoken), None, None)
        return await _run(message, params, agent, connection), 200


def _is_modern(method: str, params: Json, version: str | None) -> bool:
    """Whether a message carries all that a handshake would have told (2026-07-28)."""
    meta = params.get("_meta")
    enveloped = isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta
    return version in MODERN_PROTOCOL_VERSIONS or (enveloped and method != "initialize")


async def _modern(message: Json, params: Json, agent: Agent, headers: Mapping[str, str]) -> Answer:
    route = classify_inbound_request(message, headers=headers)
    if isinstance(route, InboundLadderRejection):
        answer = _error(message, route.code, route.message, route.data)
    else:
        connection = Connection.from_envelope(
            route.protocol_version, route.client_info, route.client_capabilities
        )
        answer = await _run(message, params, agent, connection)
    code = answer.get("error", {}).get("code")
    return answer, ERROR_CODE_HTTP_STATUS.get(code, 200)


async def _run(message: Json, params: Json, agent: Agent, connection: Connection) -> Json:
    exchange = _Exchange(message["id"], ServerMessageMetadata(request_context=agent))
    runner = ServerRunner(_SERVER, connection, None, init_options=_OPTIONS)
    try:
        result = await runner.on_request(exchange, message["method"], params)
    except MCPError as error:
        return _error(message, error.code, error.message, error.data)
    except ValidationError:
        return _error(message, types.INVALID_PARAMS, "params: do not fit the method")
    except Exception:
        _log.exception("answering %s failed", message["method"][:100])
        return _error(message, types.INTERNAL_ERROR, "Internal error")
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def _error(message: Json, code: int, text: str, data: Any = None) -> Json:
    error = {"code": code, "message": text, **({} if data in (None, "") else {"data": data})}
    return {"jsonrpc": "2.0", "id": message["id"], "error": error}
