"""What is no OpenAPI 3.0 is refused before anything is served, with its place."""

import pytest

import app
from contract import load, structure
from tests.contract_stack.menagerie import CONTRACT, spec


def test_a_sound_contract_has_no_problems():
    assert structure.problems(CONTRACT.spec) == []
    assert structure.problems(load(app.CONTRACT).spec) == []


def misspell(damaged):
    damaged["paths"]["/api/animals"]["get"]["sumary"] = "List"


def forget_the_description_of_a_response(damaged):
    damaged["paths"]["/api/animals"]["get"]["responses"]["200"] = {"headers": {}}


def write_a_type_that_is_none(damaged):
    damaged["components"]["schemas"]["Animal"]["type"] = "text"


def forget_the_title(damaged):
    del damaged["info"]["title"]


def give_a_default_that_does_not_fit(damaged):
    damaged["components"]["schemas"]["Extra"] = {"type": "integer", "default": "many"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (misspell, ["paths//api/animals/get", "sumary"]),
        (forget_the_description_of_a_response, ["responses/200", "description"]),
        (write_a_type_that_is_none, ["components/schemas/Animal", "text"]),
        (forget_the_title, ["info", "title"]),
        (give_a_default_that_does_not_fit, ["components/schemas/Extra", "integer"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(damage, words):
    damaged = spec()
    damage(damaged)

    told = structure.problems(damaged)

    assert told
    for word in words:
        assert word in "\n".join(told), told
