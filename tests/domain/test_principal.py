"""What a checked credential may, sees and speaks for."""

import pytest

from domain.errors import Forbidden, NotFound
from domain.principal import Kind, Principal


def principal(kind=Kind.ORG_KEY, *scopes, org_id="org_a", projects=None, worker_id=None):
    seen = None if projects is None else frozenset(projects)
    return Principal(kind, "key_1", org_id, seen, frozenset(scopes), worker_id=worker_id)


@pytest.mark.parametrize(
    ("held", "asked", "may"),
    [
        ("sessions:read", "sessions:read", True),
        ("sessions:read", "sessions:write", False),
        ("*", "org_keys:write", True),
        ("*", "*", True),
        ("*", "system", False),
        ("system", "system", True),
        ("org_keys:write", "*", False),
    ],
)
def test_a_scope_is_held_by_name_and_the_star_holds_all_but_system(held, asked, may):
    assert principal(Kind.ORG_KEY, held).may(asked) is may


def test_a_credential_of_no_scope_may_nothing():
    assert not principal().may("sessions:read")


def test_projects_are_seen_as_the_credential_says():
    assert principal(projects=None).sees("proj_x")
    assert principal(projects=["proj_x"]).sees("proj_x")
    assert not principal(projects=["proj_x"]).sees("proj_y")
    assert not principal(projects=[]).sees("proj_x")


def test_another_organization_is_not_found_except_by_the_system_key():
    principal().require_org("org_a")
    principal(Kind.SYSTEM, org_id=None).require_org("org_b")
    with pytest.raises(NotFound, match="Organization not found"):
        principal().require_org("org_b")


def test_a_runtime_token_acts_for_its_own_worker_only():
    principal(Kind.RUNTIME, worker_id="wkr_1").require_worker("wkr_1")
    principal(Kind.PROJECT_KEY).require_worker("wkr_1")
    with pytest.raises(Forbidden):
        principal(Kind.RUNTIME, worker_id="wkr_1").require_worker("wkr_2")


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (Kind.ORG_KEY, "api_key"),
        (Kind.PROJECT_KEY, "api_key"),
        (Kind.M2M, "m2m_client"),
        (Kind.COOKIE, "user"),
        (Kind.RUNTIME, "worker"),
        (Kind.SYSTEM, "system"),
    ],
)
def test_the_audit_log_has_a_word_for_every_kind_of_caller(kind, word):
    assert principal(kind).actor_type == word
