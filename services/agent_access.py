"""What a session's agent is given to reach this server with."""

from datetime import datetime

from auth import session_tokens
from auth.session_tokens import SessionAgent
from domain.times import iso


async def agent_access(agent: SessionAgent, claimed_at: datetime) -> dict[str, str]:
    """The members of QueuedWork that hold the agent's MCP token, new for every delivery."""
    token, expires_at = await session_tokens.mint(agent, claimed_at)
    return {"mcpAuthToken": token, "mcpAuthTokenExpiresAt": iso(expires_at)}
