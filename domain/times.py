"""How instants look on the wire."""

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def iso(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, such as `2026-07-01T09:00:00.000Z`."""
    text = instant.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def iso_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else iso(instant)


def epoch_ms(instant: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return int(instant.timestamp() * 1000)


def epoch_ms_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else epoch_ms(instant)


def epoch_us(instant: datetime) -> int:
    """Microseconds since 1970: an instant of the database, exactly."""
    return (instant - EPOCH) // MICROSECOND


def from_epoch_us(microseconds: int) -> datetime:
    """The instant that `epoch_us` was asked about."""
    return EPOCH + microseconds * MICROSECOND


def parse(text: str) -> datetime:
    """Read an RFC 3339 date-time that the contract has checked; raises ValueError otherwise."""
    instant = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def milliseconds(instant: datetime) -> datetime:
    """The instant without what `iso` does not show of it."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
