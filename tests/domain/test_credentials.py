"""Which variables an agent is given, and which never."""

import json
from base64 import urlsafe_b64encode

import pytest

from domain.credentials import Credential, Scope, environment, is_withheld, masked

HERE = Scope("org_a", "proj_a", "production")


def credential(kind="npm", project_id=None, env_name=None, **env):
    return Credential(kind, project_id, env_name, env)


def given(*credentials, scope=HERE):
    return dict(environment(credentials, scope).env)


def test_the_narrower_layer_wins_whatever_the_order():
    layers = [
        credential(project_id="proj_a", env_name="production", A="4"),
        credential(env_name="production", A="3", B="3"),
        credential(project_id="proj_a", A="2", B="2", C="2"),
        credential(A="1", B="1", C="1", D="1"),
    ]

    for order in (layers, layers[::-1]):
        assert given(*order) == {"A": "4", "B": "3", "C": "2", "D": "1"}


def test_what_is_for_others_is_left_out():
    assert (
        given(
            credential(project_id="proj_b", A="1"),
            credential(env_name="staging", B="1"),
            credential(project_id="proj_a", env_name="staging", C="1"),
            credential(project_id="proj_b", env_name="production", D="1"),
        )
        == {}
    )


def test_of_two_kinds_in_one_layer_the_later_in_the_alphabet_wins():
    both = [credential("zz", A="z"), credential("aa", A="a")]

    assert given(*both) == given(*both[::-1]) == {"A": "z"}


def test_a_part_of_one_kind_has_the_values_of_the_whole():
    found = environment(
        [credential("aa", A="a", B="a"), credential("zz", A="z"), credential("mm", C="m")], HERE
    )

    assert found.of_kind("aa") == {"A": "z", "B": "a"}
    assert found.of_kind("zz") == {"A": "z"}
    assert found.of_kind("nobodys") == {}


def token(header, claims):
    parts = [urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, claims)]
    return b".".join([*parts, b"c2ln"]).decode()


RUNTIME = token({"typ": "runtime+jwt", "alg": "HS256"}, {"aud": "rensei-runtime"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_API_KEY", "x"),
        ("worker_api_key", "x"),
        ("WORKER_API_KEY_PROJECT", "x"),
        ("RENSEI_MASTER_KEY", "x"),
        ("RENSEI_SYSTEM_KEY", "x"),
        ("DONMAI_DAEMON_URL", "x"),
        ("WEBHOOK_SECRET_LINEAR", "x"),
        ("TOKEN", "rsk_live_" + "0" * 64),
        ("TOKEN", " rsp_live_abc\n"),
        ("TOKEN", "rsk_system_" + "0" * 64),
        ("TOKEN", "m2ms_" + "0" * 64),
        ("TOKEN", RUNTIME),
        ("TOKEN", token({"typ": "m2m+jwt"}, {"aud": "rensei-api"})),
    ],
)
def test_what_is_the_daemons_or_opens_this_server_is_withheld(name, value):
    assert is_withheld(name, value)
    assert given(credential(**{name: value, "OTHER": "1"})) == {"OTHER": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANTHROPIC_API_KEY", "sk-ant-1"),
        ("DATABASE_URL", "postgresql://a@b/c"),
        ("TOKEN", token({"typ": "JWT"}, {"aud": "https://api.example"})),
        ("TOKEN", token({"typ": "at+jwt"}, {"aud": ["rensei"]})),
        ("TOKEN", token(["typ"], {})),
        ("TOKEN", "a.b.c"),
        ("TOKEN", "é.é.é"),
        ("TOKEN", "the rsk_live_ prefix is explained in the docs"),
        ("PEM", "-----BEGIN KEY-----\nabc\n-----END KEY-----\n"),
    ],
)
def test_other_secrets_are_given(name, value):
    assert given(credential(**{name: value})) == {name: value}


def test_a_mask_shows_the_end_of_a_long_value_and_nothing_of_a_short_one():
    assert masked("sk-ant-0123456789abcdef") == "…cdef"
    assert masked("0123456789012345678") == "…"


def test_nothing_prints_a_value():
    found = environment([credential(A="very secret")], HERE)

    assert "very secret" not in repr(found)
    assert "very secret" not in repr(credential(A="very secret"))
