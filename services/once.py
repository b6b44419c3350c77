"""`Idempotency-Key`: a request that is sent again is answered again, and does nothing twice."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, Unprocessable
from domain.principal import Principal
from persistence import idempotency

Answer = tuple[dict[str, Any], int]


async def once(
    db: AsyncConnection,
    user: Principal,
    operation_id: str,
    key: str | None,
    request: Any,
    act: Callable[[], Awaitable[Answer]],
) -> Answer:
    """Answer as `act` does, or as it did under the same key within the last day.

    The answer is stored in the transaction of the effect, so either both happened or neither, and
    a refusal leaves the key free. `request` is what a repeat must be equal in. Raises `Conflict`
    while the first is in flight and `Unprocessable` for another request under a known key.
    """
    if key is None:
        return await act()
    mine = (str(user.org_id), user.id, operation_id, key)
    if not await idempotency.take_turn(db, mine):
        raise Conflict("A request with this Idempotency-Key is in flight; try again")
    digest = hashlib.sha256(orjson.dumps(request, option=orjson.OPT_SORT_KEYS)).digest()
    known = await idempotency.find(db, mine)
    if known is not None:
        if known.request_hash != digest:
            raise Unprocessable("The Idempotency-Key was used for another request")
        return known.answer, known.status
    answer, status = await act()
    await idempotency.keep(db, mine, digest, status, answer)
    return answer, status
