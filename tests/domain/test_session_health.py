"""Signals, their thresholds and the colour they make."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.session_health import Observed, health

NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)


def seen(status, claimed_for=None, silent_for=0):
    ago = [None if s is None else NOW - timedelta(seconds=s) for s in (claimed_for, silent_for)]
    return health(Observed(status, *ago), NOW)


@pytest.mark.parametrize(
    ("status", "claimed_for", "silent_for", "colour", "signals"),
    [
        ("running", 2700, 90, "green", []),
        ("running", 2701, 0, "yellow", ["LongRunning"]),
        ("finalizing", 2701, 0, "yellow", ["LongRunning"]),
        ("running", 10, 91, "yellow", ["StaleHeartbeat"]),
        ("running", 2701, 91, "yellow", ["LongRunning", "StaleHeartbeat"]),
        ("claimed", 300, 90, "green", []),
        ("claimed", 301, 0, "red", ["ClaimStuck"]),
        ("claimed", 301, 91, "red", ["StaleHeartbeat", "ClaimStuck"]),
        ("claimed", 10, 91, "yellow", ["StaleHeartbeat"]),
        ("pending", None, None, "green", []),
        ("completed", 99999, 99999, "green", []),
        ("failed", 99999, 99999, "green", []),
        ("stopped", 99999, 99999, "green", []),
        ("running", None, None, "green", []),
    ],
)
def test_signals_make_the_colour(status, claimed_for, silent_for, colour, signals):
    made = seen(status, claimed_for, silent_for)

    assert (made["status"], made["signals"]) == (colour, signals)


def test_the_largest_excess_is_told_in_milliseconds_and_only_when_there_is_one():
    assert seen("running", 2701, 100.5)["stuckDurationMs"] == 10_500
    assert "stuckDurationMs" not in seen("running", 1, 1)
