"""The proof, run on the menagerie and on the real contract.

PROVE_CASES requests each, 500 without it; `make prove` runs 5000, or its share of them.
"""

import os
from typing import Any

import pytest

from contract import load
from contract.loading import read
from tests.contract_stack.differences import DIFFERENCES
from tests.contract_stack.generation import GOOD, Generator
from tests.contract_stack.menagerie import CONTRACT, spec
from tests.contract_stack.proof import MENAGERIE, RENSEI, prove
from tests.sampling import few

CASES = int(os.environ.get("PROVE_CASES", "500"))
MANY = max(CASES, int(5_000 * float(os.environ.get("PROVE_SHARE", "1"))))


@pytest.mark.parametrize("file", [MENAGERIE, RENSEI], ids=lambda file: file.stem)
async def test_our_stack_answers_as_connexions_own_but_for_the_named_differences(file: Any):
    contract = load(file)

    report = await prove(contract, CASES)

    assert report.cases == CASES
    assert report.unexplained == [], report.text()


async def test_most_good_requests_are_served_so_that_the_proof_is_not_about_refusals():
    report = await prove(CONTRACT, 300)

    served = sum(count for status, count in report.statuses.items() if 200 <= status < 300)

    assert served > 100


def tighten_a_limit(damaged: dict[str, Any]) -> None:
    damaged["components"]["schemas"]["Animal"]["properties"]["name"]["maxLength"] = 3


def drop_a_required_member(damaged: dict[str, Any]) -> None:
    damaged["components"]["schemas"]["TokenRequest"]["required"] = []


def open_a_door(damaged: dict[str, Any]) -> None:
    damaged["paths"]["/api/animals"]["get"]["security"] = []


def change_a_default(damaged: dict[str, Any]) -> None:
    damaged["paths"]["/api/animals"]["get"]["parameters"][0]["schema"]["default"] = 21


def move_a_path(damaged: dict[str, Any]) -> None:
    damaged["paths"]["/api/stream2"] = damaged["paths"].pop("/api/stream")


@pytest.mark.parametrize(
    "damage",
    few([tighten_a_limit, drop_a_required_member, open_a_door, change_a_default, move_a_path], 2),
)
async def test_the_proof_notices_a_stack_that_serves_something_else(damage: Any):
    other = spec()
    damage(other)

    report = await prove(CONTRACT, 2_500, served=read(other))

    assert report.unexplained


def test_the_same_seed_makes_the_same_requests():
    made = [list(Generator(CONTRACT, seed).cases(200)) for seed in (1, 1, 2)]

    first, again, other = [[(c.method, c.path, c.query, c.body) for c in cases] for cases in made]

    assert first == again
    assert first != other


def test_a_case_has_one_twist_or_none():
    cases = list(Generator(CONTRACT, 1).cases(400))

    twists = {case.twist for case in cases}

    assert GOOD in twists
    assert len(twists) > 40


@pytest.mark.prove
async def test_a_long_run_meets_no_other_difference_and_every_named_one():
    reports = [await prove(load(file), MANY) for file in (MENAGERIE, RENSEI)]

    seen = {name for report in reports for name in report.explained}

    assert [report.unexplained for report in reports] == [[], []]
    # A difference that no longer shows is struck from the table; a short run cannot tell.
    assert MANY < 5_000 or set(DIFFERENCES) == seen
