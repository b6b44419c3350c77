"""The agents' door: one session's tools, over the Model Context Protocol.

Credentials, sessions, batches and statuses are settled here; the messages themselves are the
official SDK's (`services/mcp_protocol.py`).
"""

from typing import Any

from auth.rebinding import refuse_foreign_pages
from contract import Request
from domain.errors import Forbidden, NotFound
from domain.json_rpc import INVALID_REQUEST, refusal
from domain.principal import Kind, Principal
from handlers.replies import Reply
from persistence import agents
from services import mcp_loading
from services.tools.tool import Agent


async def mcp_call(
    session_id: str,
    body: dict[str, Any] | list[dict[str, Any]],
    user: Principal,
    request: Request,
    mcp_protocol_version: str | None,
) -> Reply:
    """Answer one message, or a batch of them in order."""
    refuse_foreign_pages(request)
    agent = await _agent(session_id, user)
    protocol = await mcp_loading.protocol()
    headers = dict(request.headers)
    if isinstance(body, dict):
        answer = await protocol.answer(body, agent, mcp_protocol_version, headers)
        return (None, 202) if answer is None else answer
    if not protocol.takes_batches(mcp_protocol_version):
        text = f"Version {mcp_protocol_version} of MCP has no batches; send the messages one by one"
        return refusal(INVALID_REQUEST, text), 400
    answers = []
    for message in body:
        answer = await protocol.answer(message, agent, mcp_protocol_version, headers)
        if answer is not None:
            answers.append(answer[0])
    return (answers, 200) if answers else (None, 202)


async def _agent(session_id: str, user: Principal) -> Agent:
    """Whose tools these are. The token of another session's agent is refused whether the session of
    the path exists or not."""
    if user.kind is Kind.AGENT:
        if user.id != session_id:
            raise Forbidden("The token belongs to another session")
        (project_id,) = user.projects or ("",)
        return Agent(user, str(user.org_id), project_id, session_id)
    project_id = await agents.project_of(str(user.org_id), session_id, user.projects) or ""
    if not project_id:
        raise NotFound("Session not found")
    return Agent(user, str(user.org_id), project_id, session_id)
