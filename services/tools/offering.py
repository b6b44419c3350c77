"""Which tools a session has, and the calling of one.

To add tools, write a `Provider` and put it into `PROVIDERS`. The first that knows a name serves it.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import Refusal
from services.tools import memory, peers, session
from services.tools.tool import Agent, Provider, Tool

PROVIDERS: Final[list[Provider]] = [memory.PROVIDER, session.PROVIDER, peers.PROVIDER]

FAILED: Final = "The tool failed; what went wrong is in the server's log"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: the tool's result, or why it failed in words for the model."""

    result: dict[str, Any] | None
    failure: str | None = None


async def offered(agent: Agent) -> list[Tool]:
    """All tools of the session, each name once."""
    found: dict[str, Tool] = {}
    for provider in PROVIDERS:
        for tool in await provider.offered(agent):
            found.setdefault(tool.name, tool)
    return list(found.values())


async def find(agent: Agent, name: str) -> Tool | None:
    """The session's tool of this name; raises `NotForThisSession`."""
    for provider in PROVIDERS:
        tool = await provider.find(agent, name)
        if tool is not None:
            return tool
    return None


async def call(tool: Tool, agent: Agent, arguments: dict[str, Any]) -> Outcome:
    """Run a tool, within its time. Whatever goes wrong inside it is an outcome.

    Raises `Invalid` for arguments that do not fit.
    """
    tool.check(arguments)
    try:
        async with asyncio.timeout(tool.seconds) as limit:
            return Outcome(await tool.act(agent, arguments))
    except Refusal as refusal:
        return Outcome(None, refusal.text)
    except TimeoutError:
        if not limit.expired():
            _log.exception("the tool %s failed", tool.name)
            return Outcome(None, FAILED)
        return Outcome(None, f"The tool did not finish within {tool.seconds:g} seconds")
    except Exception:
        _log.exception("the tool %s failed", tool.name)
        return Outcome(None, FAILED)
