"""Checkpoints leave the server: to whoever keeps them, and to an authority that stamps them."""

import asyncio
import logging
from typing import Final

import settings
from outbound.guarded_client import Failed, GuardedClient, Refused
from outbound.timestamps import NotStamped, read_roots, stamped
from persistence import audit_checkpoints

NOTE: Final = "text/plain; charset=utf-8"

_log = logging.getLogger(__name__)


async def post_checkpoints() -> int:
    """Post the newest checkpoint of each chain that was not posted yet; returns how many.

    One that was taken while a crash kept it from being noted is posted again.
    """
    now = settings.current()
    if now.audit_post_url is None:
        return 0
    count = 0
    async with GuardedClient(now.allowed_private_hosts) as client:
        for row in await audit_checkpoints.unposted():
            try:
                answer = await client.request(
                    "POST",
                    now.audit_post_url,
                    headers={"Content-Type": NOTE},
                    content=row.note.encode(),
                )
                if not 200 <= answer.status < 300:
                    raise Failed(f"answered {answer.status}")
            except (Failed, Refused) as error:
                _log.warning("RENSEI_AUDIT_POST_URL took no checkpoint: %s", error)
                break  # the others would fare no better; they are tried again in the next round
            await audit_checkpoints.mark_posted(row)
            count += 1
    return count


async def stamp_checkpoints() -> int:
    """Have the newest checkpoint of each chain stamped, at most so often; returns how many."""
    now = settings.current()
    if now.timestamp_url is None or now.timestamp_roots is None:
        return 0
    rows = await audit_checkpoints.unstamped(now.timestamp_seconds)
    if not rows:
        return 0
    count = 0
    try:
        roots = await asyncio.to_thread(read_roots, now.timestamp_roots)
        async with GuardedClient(now.allowed_private_hosts) as client:
            for row in rows:
                stamp = await stamped(client, now.timestamp_url, roots, row.note.encode())
                await audit_checkpoints.stamp(row, stamp)
                count += 1
    except (Failed, Refused, NotStamped) as error:
        _log.warning("RENSEI_TIMESTAMP_URL gave no time stamp: %s", error)
    return count
