"""Numbers as an operator reads them, and charts that say what they draw."""

import pytest

from pages.fleet.charts import SPANS, throughput, waits
from pages.fleet.words import age, ago, money, percent

HOUR = SPANS[0]
NOW = 1_800_000_060.0
LAST = int(NOW // HOUR.column_seconds)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"), (-3, "0 s"), (0.04, "0 s"), (0.3, "0.3 s"), (59.4, "59 s"), (60, "1 min"),
        (83, "1 min 23 s"), (600, "10 min"), (3600, "1 h"), (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"), (30 * 86_400, "30 d"),
    ],
)  # fmt: skip
def test_durations_in_one_or_two_units(seconds, words):
    assert age(seconds) == words


def test_amounts_and_shares():
    assert [money(each) for each in (None, 0, 0.004, 0.5, 1234.5, 12345.6)] == [
        "–", "$0.00", "$0.004", "$0.50", "$1,234.50", "$12,346",
    ]  # fmt: skip
    assert [percent(each) for each in (0, 0.001, 0.5, 1)] == ["0 %", "1 %", "50 %", "100 %"]
    assert [ago(each) for each in (0.2, 3)] == ["now", "3 s"]


def test_a_column_is_as_high_as_what_it_counts():
    chart = throughput(
        HOUR, NOW, [(LAST, "completed", 6), (LAST, "failed", 2), (LAST - 99, "failed", 9)]
    )

    last = chart.columns[-1]
    assert len(chart.columns) == 30
    assert chart.top == "10 per 2 min"
    assert [(block.kind, block.height) for block in last.blocks] == [
        ("completed", 60.0),
        ("failed", 20.0),
    ]
    assert sum(block.height for block in last.blocks) + last.blocks[-1].y == 100
    assert last.says == "now: 6 completed, 2 failed"
    assert chart.says == "Sessions that ended in the last 1 hour: 6 completed, 2 failed, 0 stopped."


def test_nothing_at_all_is_drawn_as_nothing():
    for chart in (throughput(HOUR, NOW, []), waits(HOUR, NOW, [])):
        assert [column.blocks for column in chart.columns] == [()] * 30


def test_waits_show_half_and_nearly_all():
    chart = waits(HOUR, NOW, [(LAST - 1, 4, 30.0, 80.0)])

    assert chart.top == "1 min 40 s"
    assert {block.kind: block.height for block in chart.columns[-2].blocks} == {
        "most": 80.0,
        "half": 30.0,
    }
    assert "half within 30 s, 95 % within 1 min 20 s" in chart.columns[-2].says
