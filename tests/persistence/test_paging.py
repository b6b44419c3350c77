"""Cursors, and pages that hold every row once."""

import re
from datetime import UTC, datetime

import pytest

from persistence.paging import cursor_at, position
from tests.spec import CONTRACT

PATTERN = CONTRACT.spec["components"]["parameters"]["Cursor"]["schema"]["pattern"]


@pytest.mark.parametrize(
    ("instant", "row_id", "cursor"),
    [
        (
            datetime(2026, 7, 1, 9, 0, 0, 123456, UTC),
            "key_7b1",
            "1782896400123456_key_7b1",
        ),
        (datetime(1970, 1, 1, tzinfo=UTC), "x", "0_x"),
        (datetime(2286, 11, 20, 17, 46, 39, 999999, UTC), "a_b_c", "9999999999999999_a_b_c"),
    ],
)
def test_a_cursor_is_a_place_to_the_microsecond_and_back(instant, row_id, cursor):
    assert cursor_at(instant, row_id) == cursor
    assert position(cursor) == (instant, row_id)
    assert re.fullmatch(PATTERN, cursor)


CURSORS_OF_THEIR_OWN = {"getRoutingMetrics"}
"""Operations whose cursor the wire contract gives another form: `<ms>-<seq>`."""


PAGED_OTHERWISE = {"A2AAgentList", "AuditEventList"}
"""The wire contract gives the first no pages and the second an offset."""


def test_every_list_of_the_contract_takes_the_same_cursor_and_answers_the_next():
    schemas = CONTRACT.spec["components"]["schemas"]
    lists = {name for name in schemas if name.endswith("List")} - PAGED_OTHERWISE
    patterns = {
        parameter.get("schema", {}).get("pattern", PATTERN)
        for item in CONTRACT.spec["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and operation["operationId"] not in CURSORS_OF_THEIR_OWN
        for parameter in operation.get("parameters", [])
        if parameter.get("name") == "cursor"
    }

    assert patterns == {PATTERN}
    assert len(lists) == 12
    assert set(schemas) >= PAGED_OTHERWISE
    assert all("nextCursor" in schemas[name]["properties"] for name in lists)


@pytest.mark.parametrize(
    "cursor", ["0_x", "9999999999999999_" + "Z" * 200, "0000000000000000_0", "1__"]
)
def test_every_cursor_that_fits_the_contract_is_a_place(cursor):
    assert re.fullmatch(PATTERN, cursor)

    instant, row_id = position(cursor)

    assert instant.tzinfo is UTC
    assert row_id == cursor.partition("_")[2]
