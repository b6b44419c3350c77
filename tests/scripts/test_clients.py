"""What the generators of clients are given is the contract, but for what they stumble over."""

from copy import deepcopy

from scripts.clients import for_clients


def test_a_body_that_may_be_json_is_json_and_a_rule_about_members_is_left_out():
    thing = {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    choice = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    form = {"application/x-www-form-urlencoded": {"schema": {}}}
    spec = {
        "paths": {
            "/both": {"post": {"requestBody": {"content": {**form, "application/json": {}}}}},
            "/form": {"parameters": [], "post": {"requestBody": {"content": form}}},
            "/none": {"get": {}},
        },
        "components": {"schemas": {"Thing": thing, "Choice": choice, "Plain": {"type": "string"}}},
    }
    before = deepcopy(spec)

    made = for_clients(spec)

    assert spec == before
    assert made["paths"]["/both"]["post"]["requestBody"] == {"content": {"application/json": {}}}
    assert made["paths"]["/form"] == before["paths"]["/form"]
    assert made["components"]["schemas"] == {
        "Thing": {"type": "object", "properties": {"a": {}, "b": {}}},
        "Choice": choice,
        "Plain": {"type": "string"},
    }
