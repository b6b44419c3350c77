"""The scope table against the contract, and what it lets pass."""

import re

import pytest

from auth.scopes import ANY, PUBLIC, RULES, authorize
from domain.errors import Forbidden
from domain.principal import Kind, Principal
from tests.spec import CONTRACT

OPERATIONS = {
    operation["operationId"]: operation
    for item in CONTRACT.spec["paths"].values()
    for method, operation in item.items()
    if method in {"get", "post", "put", "patch", "delete"}
}
PROTECTED = sorted(name for name, rule in RULES.items() if rule.kinds)


def principal(kind, *scopes):
    return Principal(kind, "id", "org_a", None, frozenset(scopes))


def test_the_table_has_every_operation_and_no_other():
    assert set(RULES) == set(OPERATIONS)


def test_only_public_operations_and_those_with_the_credential_in_the_body_name_no_kind():
    without = {name for name, rule in RULES.items() if not rule.kinds}

    assert without == {
        "daemonRegister",
        "issueM2MToken",
        "webhookIngest",
        "getHealth",
        "getAuditKeys",
        "getAgentCard",
    }


def test_every_scope_but_systems_and_a_batch_tokens_can_be_minted_into_a_key():
    schemas = CONTRACT.spec["components"]["schemas"]
    mintable = {*schemas["KeyScope"]["enum"], *schemas["M2MScope"]["enum"]}

    needed = {rule.scope for rule in RULES.values()} - {PUBLIC, ANY}

    assert needed - mintable == {"system", "batch:result"}


@pytest.mark.parametrize("operation_id", PROTECTED)
def test_a_kind_that_the_table_does_not_name_is_refused_even_with_every_scope(operation_id):
    refused = [kind for kind in Kind if kind not in RULES[operation_id].kinds]

    assert refused
    for kind in refused:
        with pytest.raises(Forbidden, match=kind.value):
            authorize(principal(kind, "*", "system", RULES[operation_id].scope), operation_id)


@pytest.mark.parametrize("operation_id", PROTECTED)
def test_a_kind_that_the_table_names_needs_the_scope_too(operation_id):
    rule = RULES[operation_id]
    for kind in rule.kinds:
        authorize(principal(kind, rule.scope), operation_id)
        if rule.scope != ANY and kind is not Kind.SYSTEM:
            with pytest.raises(Forbidden, match=re.escape(rule.scope)):
                authorize(principal(kind, "workers:read"), operation_id)
