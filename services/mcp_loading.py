"""The MCP library is loaded beside the first requests: its import takes most of a second."""

import asyncio
import importlib
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from services import mcp_protocol as loaded

PROTOCOL: Final = "services.mcp_protocol"

_loading: "asyncio.Task[Any] | None" = None


def begin() -> None:
    """Load it in a thread; called once the process can serve."""
    global _loading
    _loading = asyncio.create_task(asyncio.to_thread(importlib.import_module, PROTOCOL))


async def protocol() -> "type[loaded.Protocol]":
    """What speaks the protocol; whoever comes too early waits."""
    if _loading is None:
        begin()
    module = await asyncio.shield(cast("asyncio.Task[Any]", _loading))
    return cast("type[loaded.Protocol]", module.Protocol)


async def settle() -> None:
    """Wait for the thread, so that the process does not end within an import."""
    global _loading
    if _loading is not None:
        task, _loading = _loading, None
        await asyncio.gather(task, return_exceptions=True)
