"""The token that a session's agent uses on MCP: minted for one session, and ending with it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from auth import tokens
from domain.errors import Unauthenticated
from domain.times import epoch_us, from_epoch_us
from persistence import sessions

LIFETIME_SECONDS: Final = 24 * 3600
"""The longest that an agent can use its token; it ends with its session, which is earlier."""


@dataclass(frozen=True, slots=True)
class SessionAgent:
    """The agent at work on a session: it sees that session's project and nothing else.

    `worker_id` is the worker that claimed the session.
    """

    org_id: str
    project_id: str
    session_id: str
    worker_id: str


async def mint(agent: SessionAgent, claimed_at: datetime) -> tuple[str, datetime]:
    """A token for the agent of a session, and when it expires at the latest.

    `claimed_at` is an instant of the database at or after the claim, and before the next one.
    """
    token = await tokens.mint(
        tokens.MCP,
        {
            "sub": agent.session_id,
            "org": agent.org_id,
            "proj": agent.project_id,
            "wkr": agent.worker_id,
            "at": epoch_us(claimed_at),
        },
        LIFETIME_SECONDS,
    )
    return token, datetime.now(UTC) + timedelta(seconds=LIFETIME_SECONDS)


async def verify(token: str) -> SessionAgent:
    """Whose token it is; raises `Unauthenticated`.

    The session is looked up every time. Its token ends when the session ends, when its worker
    loses it or gives it back and somebody claims it anew, and when that worker's key is revoked.
    """
    _, claims = await tokens.verify(token, among=(tokens.MCP,))
    try:
        agent = SessionAgent(claims["org"], claims["proj"], claims["sub"], claims["wkr"])
        claimed_at = from_epoch_us(claims["at"])
    except (KeyError, TypeError) as error:
        raise Unauthenticated(tokens.INVALID) from error
    if not await sessions.is_held(
        agent.org_id, agent.project_id, agent.session_id, agent.worker_id, claimed_at
    ):
        raise Unauthenticated("The session that the token was minted for has ended")
    return agent
