"""Stored deliveries as envelopes, for those who work on them and those who look at them."""

from typing import Any

import orjson
from sqlalchemy import Row

from domain.provider_events import Envelope, about
from domain.times import iso


def envelope(row: Row[Any], org_id: str | None, project_id: str | None) -> Envelope:
    """The envelope of an event's row, its data included."""
    payload = orjson.loads(row.body)
    return Envelope(
        row.id,
        about(row.provider, row.event_name or "", payload),
        iso(row.received_at),
        org_id,
        project_id,
        row.correlation_id,
        payload,
    )
