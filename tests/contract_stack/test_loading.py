"""What load() reads, and every contract it refuses."""

from pathlib import Path
from typing import Any

import pytest

from contract import ContractError, load
from contract.loading import read
from tests.contract_stack.menagerie import CONTRACT, FILE, spec


def problems_of(damaged: dict[str, Any]) -> str:
    with pytest.raises(ContractError) as refusal:
        read(damaged)
    return "\n".join(refusal.value.problems)


def operation(operation_id: str) -> Any:
    return next(each for each in CONTRACT.operations if each.id == operation_id)


def test_braces_in_a_description_survive_since_no_template_engine_reads_them():
    contract = load(FILE)

    title = contract.spec["info"]["title"]

    assert title == "Menagerie {{ not a template }}"


def test_an_operation_tells_its_method_path_tag_summary_and_security():
    found = operation("createAnimal")

    told = (found.method, found.path, found.tag, found.summary, found.security)

    assert told == ("POST", "/api/animals", "Animals", "Take in an animal", ("bearer", "key"))


def test_security_comes_from_the_file_unless_the_operation_has_its_own():
    ids = ("listAnimals", "issueM2MToken", "maybeKnown")

    told = [operation(each).security for each in ids]

    assert told == [("bearer",), (), ("bearer", "")]


def test_a_parameter_of_the_operation_replaces_the_paths_of_the_same_name():
    damaged = spec()
    own = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    damaged["paths"]["/api/animals/{id}"]["get"]["parameters"] = [own]

    found = next(each for each in read(damaged).operations if each.id == "getAnimal")

    assert [each["schema"] for each in found.parameters] == [{"type": "integer"}]


def test_dates_and_numbers_as_keys_stay_what_json_would_make_of_them(tmp_path: Path):
    file = tmp_path / "contract.yaml"
    file.write_text("openapi: 3.0.3\npaths: {}\nx-day: 2024-01-31\nx-codes: {200: ok}\n")

    contract = load(file)

    assert contract.spec["x-day"] == "2024-01-31"
    assert contract.spec["x-codes"] == {"200": "ok"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("openapi: 3.0.3\npaths:\n  /a: {}\n  /a: {}\n", "yaml:4:3: the key '/a' stands twice"),
        ("openapi: [", "Correct the YAML"),
        (
            "openapi: 3.0.3\npaths:\n  /a:\n    get: {}\n   put: {}\n",
            r"yaml:5:4: did not find .* \(while parsing a block mapping that begins in line 3\)",
        ),
        ("- a list", "Start it with"),
    ],
)
def test_a_file_that_yaml_would_read_differently_than_a_person_is_refused(
    tmp_path: Path, text: str, word: str
):
    file = tmp_path / "contract.yaml"
    file.write_text(text)

    with pytest.raises(ContractError, match=word):
        load(file)


@pytest.mark.parametrize("version", ["3.1.0", "2.0", None, 3.0])
def test_only_openapi_3_0_is_served(version: Any):
    damaged = spec()
    damaged["openapi"] = version

    told = problems_of(damaged)

    assert "write `openapi: 3.0.3`" in told


def test_a_duplicate_operation_id_never_lends_its_security_to_another_operation():
    damaged = spec()
    damaged["paths"]["/api/token"]["post"]["operationId"] = "getAnimal"

    told = problems_of(damaged)

    assert "POST /api/token: operationId 'getAnimal' belongs to GET /api/animals/{id}" in told


def test_an_operation_without_an_id_is_refused():
    damaged = spec()
    del damaged["paths"]["/api/token"]["post"]["operationId"]

    told = problems_of(damaged)

    assert told == "POST /api/token: has no operationId; give it one"


def test_two_paths_that_no_request_can_tell_apart_are_refused():
    damaged = spec()
    item = dict(damaged["paths"]["/api/animals/{id}"])
    other = {"get": {**item["get"], "operationId": "other"}}
    other["parameters"] = [{**item["parameters"][0], "name": "key"}]
    damaged["paths"]["/api/animals/{key}"] = other

    told = problems_of(damaged)

    assert told.startswith("GET /api/animals/{key}: cannot be told from GET /api/animals/{id}")


def test_paths_that_differ_only_in_a_name_may_share_the_work_by_method():
    fine = spec()
    item = fine["paths"]["/api/animals/{id}"]
    fine["paths"]["/api/animals/{key}"] = {
        "delete": item.pop("delete"),
        "parameters": [{**item["parameters"][0], "name": "key"}],
    }

    contract = read(fine)

    assert len(contract.operations) == len(CONTRACT.operations)


def test_an_operation_nobody_secured_is_refused():
    damaged = spec()
    del damaged["security"]

    told = problems_of(damaged)

    assert "GET /api/animals: has no security decision" in told
    assert "/api/token" not in told


def test_an_unknown_security_scheme_is_refused():
    damaged = spec()
    damaged["paths"]["/api/maybe"]["get"]["security"] = [{"baerer": []}]

    told = problems_of(damaged)

    assert told.startswith("GET /api/maybe: names unknown security scheme 'baerer'")


def test_two_schemes_at_once_are_refused():
    damaged = spec()
    damaged["paths"]["/api/maybe"]["get"]["security"] = [{"bearer": [], "key": []}]

    told = problems_of(damaged)

    assert "asks for bearer, key at once; make them separate alternatives" in told


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ("#/components/schemas/Dragon", "points at no object; add it or correct the name"),
        ("#/components/schemas/Anmal", "correct the name (there is Animal)"),
        ("other.yaml#/Animal", "is not local"),
        ("http://zoo/animal.json", "is not local"),
        ("#/paths/~1api", "is not local"),
    ],
)
def test_a_reference_that_leads_nowhere_or_away_is_refused(reference: str, word: str):
    damaged = spec()
    damaged["components"]["schemas"]["Animal"]["properties"]["kind"] = {"$ref": reference}

    told = problems_of(damaged)

    assert told.startswith("/components/schemas/Animal/properties/kind: $ref")
    assert word in told


def test_a_reference_to_itself_is_refused_but_a_recursive_schema_is_fine():
    damaged = spec()
    damaged["components"]["schemas"]["Kind"] = {"$ref": "#/components/schemas/Kind"}

    told = problems_of(damaged)

    assert "leads back to itself" in told
    assert "Pedigree" not in told


def test_a_discriminator_must_map_to_something():
    damaged = spec()
    diet = damaged["components"]["schemas"]["Animal"]["properties"]["diet"]
    diet["discriminator"]["mapping"]["air"] = "#/components/schemas/Breather"

    told = problems_of(damaged)

    assert "/discriminator/mapping/air" in told


def test_the_word_ref_inside_an_example_is_only_data():
    fine = spec()
    fine["components"]["schemas"]["Kind"]["example"] = {"$ref": "nowhere"}

    contract = read(fine)

    assert contract.operations


@pytest.mark.parametrize(
    ("path", "parameters", "word"),
    [
        ("/x/{a}", [], "path parameter 'a' is not declared"),
        ("/x", ["a"], "declares path parameter 'a', absent from the path"),
        ("/x/{a}.json", ["a"], "mixes text and parameter"),
        ("/x/{a}/{a}", ["a"], "stands twice"),
        ("x", [], "must start with a slash"),
    ],
)
def test_a_path_and_its_parameters_must_agree(path: str, parameters: list[str], word: str):
    damaged = spec()
    damaged["paths"][path] = {
        "get": {
            "operationId": "odd",
            "responses": {"200": {"description": "ok"}},
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in parameters
            ],
        }
    }

    told = problems_of(damaged)

    assert word in told


def test_all_problems_are_told_at_once_and_each_ends_with_what_to_do():
    damaged = spec()
    del damaged["paths"]["/api/token"]["post"]["operationId"]
    damaged["paths"]["/api/maybe"]["get"]["security"] = [{"nobody": []}]
    damaged["paths"]["/api/stream"]["get"]["operationId"] = "getKeys"

    with pytest.raises(ContractError) as refusal:
        read(damaged)

    assert len(refusal.value.problems) == 3
    assert all("; " in each for each in refusal.value.problems)
