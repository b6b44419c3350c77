"""Pages of rows, newest first, that stay stable while rows are added."""

from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursor that asks for the ones after them; None on the last page."""

    rows: list[Any]
    next_cursor: str | None


def cursor_at(instant: datetime, row_id: str) -> str:
    """Where a page ends: microseconds since 1970 and the id, as the contract's pattern has it."""
    return f"{(instant - EPOCH) // timedelta(microseconds=1)}_{row_id}"


def position(cursor: str) -> tuple[datetime, str]:
    """The instant and id in a cursor that fits the contract's pattern."""
    microseconds, _, row_id = cursor.partition("_")
    return EPOCH + timedelta(microseconds=int(microseconds)), row_id


async def page(
    db: AsyncConnection,
    query: Select[Any],
    instant: ColumnElement[Any],
    row_id: ColumnElement[Any],
    limit: int,
    cursor: str | None,
) -> Page:
    """Run `query` for one page; it must select both `instant` and `row_id` columns."""
    query = query.order_by(instant.desc(), row_id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(tuple_(instant, row_id) < tuple_(*position(cursor)))
    result = await db.execute(query)
    # Reading an attribute of the toolkit's row costs eight times as much as of a named tuple.
    make = _values(tuple(result.keys()))._make
    rows = [make(row) for row in result]
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]
    return Page(
        rows[:limit],
        cursor_at(getattr(last, str(instant.key)), getattr(last, str(row_id.key))),
    )


@cache
def _values(names: tuple[str, ...]) -> Any:
    """The class of frozen rows with these columns."""
    return namedtuple("Values", names)  # noqa: PYI024 - the columns are known only here
