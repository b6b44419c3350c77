"""Instants on the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.times import epoch_ms, epoch_ms_or_none, iso, iso_or_none, parse

NINE = datetime(2026, 7, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NINE, "2026-07-01T09:00:00.000Z"),
        (NINE + timedelta(microseconds=123_999), "2026-07-01T09:00:00.123Z"),
        (NINE.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-07-01T09:00:00.000Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_milliseconds(instant, text):
    assert iso(instant) == text
    assert iso_or_none(instant) == text


def test_nothing_stays_nothing():
    assert iso_or_none(None) is None
    assert epoch_ms_or_none(None) is None


def test_epoch_milliseconds_are_rounded_down():
    instant = NINE + timedelta(microseconds=1_999)

    assert epoch_ms(instant) == epoch_ms_or_none(instant) == 1_782_896_400_001


@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T09:00:00Z",
        "2026-07-01t09:00:00z",
        "2026-07-01T11:00:00+02:00",
        "2026-07-01T09:00:00.000Z",
        "2026-07-01T09:00:00",
    ],
)
def test_what_the_contract_lets_pass_is_read(text):
    assert parse(text) == NINE


@pytest.mark.parametrize("text", ["2026-07-01T09:00:60Z", "0000-01-01T00:00:00Z", "soon"])
def test_an_instant_that_cannot_be_stored_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)
