"""Checkpoints that are to leave: posted to somebody, stamped by somebody."""

from typing import Any, Final

from persistence import database

MOST: Final = 50
"""Chains of a round; the others come in the next."""

# Of a chain that grew meanwhile, the newest says all that the older ones do.
_UNPOSTED: Final = """
select workspace_id, tree_size, note from audit_chains join audit_checkpoints using (workspace_id)
where tree_size = checkpoint_size and posted_at is null
order by audit_checkpoints.created_at limit %(most)s
"""

_POSTED: Final = """
update audit_checkpoints set posted_at = clock_timestamp()
where workspace_id = %(workspace)s and tree_size = %(size)s returning tree_size
"""

_UNSTAMPED: Final = """
select workspace_id, tree_size, note from audit_chains join audit_checkpoints using (workspace_id)
where tree_size = checkpoint_size and stamped_at is null and not exists (
  select from audit_checkpoints earlier
  where earlier.workspace_id = audit_chains.workspace_id and earlier.stamped_at is not null
    and earlier.stamped_at > clock_timestamp() - make_interval(secs => %(seconds)s)
)
order by audit_checkpoints.created_at limit %(most)s
"""

_STAMPED: Final = """
update audit_checkpoints set stamped_at = clock_timestamp(), time_stamp = %(stamp)s
where workspace_id = %(workspace)s and tree_size = %(size)s returning tree_size
"""


async def unposted() -> list[Any]:
    """The newest checkpoint of each chain, where it was not posted."""
    return list(await database.hot(_UNPOSTED, {"most": MOST}))


async def mark_posted(row: Any) -> None:
    await database.hot(_POSTED, {"workspace": row.workspace_id, "size": row.tree_size})


async def unstamped(seconds: float) -> list[Any]:
    """The newest checkpoint of each chain that got no time stamp for so long."""
    return list(await database.hot(_UNSTAMPED, {"most": MOST, "seconds": seconds}))


async def stamp(row: Any, time_stamp: bytes) -> None:
    await database.hot(
        _STAMPED,
        {"workspace": row.workspace_id, "size": row.tree_size, "stamp": time_stamp},
    )
