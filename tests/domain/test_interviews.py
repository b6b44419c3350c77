"""The order in which a reader is shown what the agent of an interview says."""

import random
from dataclasses import dataclass

import pytest

from domain.interviews import HOLD_SECONDS, MOST_INDEX, Order, Place

OLD = HOLD_SECONDS + 1


@dataclass(frozen=True)
class Row:
    number: int
    index: int | None
    age: float = 0.1
    done: bool = False
    claimed_at: int = 1
    pruned_to: int | None = None

    @property
    def turn_id(self):
        return f"turn-{self.number - 1}"

    @property
    def text(self):
        return f"{self.number}.{self.index} "


def take(order, *rows):
    """(kind, place or turn, from, to) of what is shown."""
    return [told(shown) for shown in order.take(rows)]


def told(shown):
    if shown.kind == "frame":
        assert shown.place == Place(shown.place.turn, shown.data["index"])
        return str(shown.place)
    return (shown.kind, *(shown.data[name] for name in sorted(shown.data)))


def test_frames_in_order_are_shown_at_once():
    order = Order(Place())

    assert take(order, Row(1, 0), Row(1, 1, done=True), Row(2, 0)) == ["1-0", "1-1", "2-0"]
    assert order.place == Place(2, 0)
    assert order.held_seconds is None


def test_what_was_shown_is_not_shown_again():
    order = Order(Place(1, 1))

    assert take(order, Row(1, 1, done=True), Row(2, 0)) == ["2-0"]
    assert take(order, Row(2, 0), Row(2, 1)) == ["2-1"]


def test_a_frame_waits_for_the_one_before_it():
    order = Order(Place())

    assert take(order, Row(1, 0), Row(1, 2, age=1.0)) == ["1-0"]
    assert order.held_seconds == pytest.approx(HOLD_SECONDS - 1.0)
    assert take(order, Row(1, 0), Row(1, 1), Row(1, 2)) == ["1-1", "1-2"]
    assert order.held_seconds is None


def test_a_frame_that_has_waited_long_enough_is_shown_after_a_gap():
    order = Order(Place(1, 0))

    assert take(order, Row(1, 0), Row(1, 3, age=OLD)) == [("gap", 1, 2, "turn-0"), "1-3"]
    assert take(order, Row(1, 1), Row(1, 3)) == []  # too late


def test_a_turn_waits_for_the_end_of_the_one_before_it():
    order = Order(Place(1, 0))

    assert take(order, Row(1, 0), Row(2, 0)) == []
    assert order.held_seconds is not None
    assert take(order, Row(1, 0), Row(1, 1, done=True), Row(2, 0)) == ["1-1", "2-0"]


def test_a_turn_that_never_ends_gives_way():
    order = Order(Place(1, 0))

    assert take(order, Row(1, 0), Row(2, 0, age=OLD)) == [("gap", 1, "turn-0"), "2-0"]


def test_who_comes_back_after_such_a_gap_is_not_told_again():
    order = Order(Place(1, MOST_INDEX))

    assert take(order, Row(1, None), Row(2, 0)) == ["2-0"]


def test_another_claim_begins_anew_without_waiting():
    order = Order(Place(1, 0))

    assert take(order, Row(1, 0), Row(2, 0, claimed_at=2)) == [
        ("gap", 1, "turn-0"),
        ("restart", "turn-1"),
        "2-0",
    ]


def test_turns_whose_frames_are_gone_are_told_of():
    order = Order(Place())
    rows = [Row(1, None, pruned_to=7), Row(2, None, pruned_to=0), Row(3, 0)]

    assert take(order, *rows) == [("gap", 0, 7, "turn-0"), ("gap", 0, 0, "turn-1"), "3-0"]


@pytest.mark.parametrize(("index", "shown"), [(7, []), (5, [("gap", 6, 7, "turn-0")])])
def test_who_comes_back_to_a_turn_that_is_gone_is_told_what_he_misses(index, shown):
    order = Order(Place(1, index))

    assert take(order, Row(1, None, pruned_to=7), Row(2, 0)) == [*shown, "2-0"]


def test_a_turn_whose_frames_were_left_to_the_next_reading_is_not_passed_over():
    order = Order(Place())

    assert take(order, Row(1, 0), Row(2, None), Row(3, None)) == ["1-0"]
    assert order.place == Place(1, 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_of_arrival_a_reader_sees_all_in_order(seed):
    """Readings at random moments of frames that arrive at random."""
    chance = random.Random(seed)
    wanted = [(1, n) for n in range(15)] + [(2, n) for n in range(15)]
    arriving = wanted * 2
    chance.shuffle(arriving)
    order, stored, seen = Order(Place()), set(), []
    for frame in arriving:
        # The turns get their numbers in order; only frames are late.
        stored.add(frame)
        if chance.random() < 0.5:
            seen += reading(order, stored)
        if chance.random() < 0.1:
            order = Order(order.place)  # connects again
    seen += reading(order, stored)

    assert seen == [f"{turn}-{index}" for turn, index in wanted]


def reading(order, stored):
    turns = {turn for turn, _ in stored}
    rows = [
        Row(turn, index, done=index == 14)
        for turn, index in sorted(stored)
        if (turn, index) >= (order.place.turn, order.place.index)
    ]
    rows += [
        Row(turn, None)
        for turn in turns
        if turn >= order.place.turn and turn not in {row.number for row in rows}
    ]
    if 1 not in turns:
        rows.insert(0, Row(1, None))
    return take(order, *sorted(rows, key=lambda row: row.number))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("3-57", Place(3, 57)),
        ("1-999999999", Place(1, MOST_INDEX)),
        *((each, Place()) for each in (None, "", "3", "-1-2", "3-", "x", "1-2-3", "1" * 30 + "-1")),
    ],
)
def test_an_id_names_a_place_and_anything_else_the_beginning(text, place):
    assert Place.read(text) == place


def test_a_places_text_is_its_id():
    assert Place.read(str(Place(4, 2))) == Place(4, 2)
