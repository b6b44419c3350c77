"""Settings: what each takes, what stops a start, and the table people read."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

import settings
from settings import Secret, Settings, SettingsError, likely_misspelt, table

README = Path(__file__).parents[1] / "README.md"

GOOD = {
    "RENSEI_PORT": ("9090", 9090),
    "RENSEI_HOST": ("0.0.0.0", "0.0.0.0"),
    "RENSEI_HOME": ("/srv/rensei", Path("/srv/rensei")),
    "RENSEI_WORKERS": ("4", 4),
    "DATABASE_URL": ("postgres://a@b/c", "postgres://a@b/c"),
    "RENSEI_WEB_DATABASE_URL": ("postgresql://a@b/c", "postgresql://a@b/c"),
    "RENSEI_JOBS_DATABASE_URL": ("postgresql://a@/c?host=/run", "postgresql://a@/c?host=/run"),
    "REDIS_URL": ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
    "RENSEI_BOOTSTRAP_KEY": ("rsk_live_" + "0a" * 32, Secret("rsk_live_" + "0a" * 32)),
    "RENSEI_MASTER_KEY": ("0a" * 32, Secret("0a" * 32)),
    "RENSEI_MASTER_KEY_PREVIOUS": (
        "0b" * 32 + ", " + "0c" * 32,
        (Secret("0b" * 32), Secret("0c" * 32)),
    ),
    "RENSEI_SYSTEM_KEY": ("x" * 16, Secret("x" * 16)),
    "RENSEI_PUBLIC_URL": ("https://rensei.example/", "https://rensei.example"),
    "RENSEI_TRUSTED_PROXIES": (
        "10.0.0.0/8, ::1 ,192.0.2.7",
        (ip_network("10.0.0.0/8"), ip_network("::1"), ip_network("192.0.2.7")),
    ),
    "WEBHOOK_SECRET_LINEAR": ("s", Secret("s")),
    "WEBHOOK_SECRET_GITHUB": ("s", Secret("s")),
    "WEBHOOK_SECRET_GITHUB_ACTIONS": ("s", Secret("s")),
    "WEBHOOK_SECRET_VERCEL": ("s", Secret("s")),
    "LINEAR_API_KEY": ("lin_api_1", Secret("lin_api_1")),
    "LINEAR_API_KEY_ORG": ("org_demo", "org_demo"),
    "LINEAR_API_URL": ("https://linear.example/graphql", "https://linear.example/graphql"),
    "GITHUB_API_URL": ("https://ghe.example/api/v3/", "https://ghe.example/api/v3"),
    "RENSEI_ALLOWED_PRIVATE_HOSTS": ("fake.internal:8443", ("fake.internal:8443",)),
    "RENSEI_AUDIT_CHECKPOINT_FILE": ("/var/log/checkpoints", Path("/var/log/checkpoints")),
    "RENSEI_AUDIT_POST_URL": ("https://keeper.example/in/", "https://keeper.example/in"),
    "RENSEI_TIMESTAMP_URL": ("https://tsa.example/tsr", "https://tsa.example/tsr"),
    "RENSEI_TIMESTAMP_ROOTS": ("/etc/tsa.pem", Path("/etc/tsa.pem")),
    "RENSEI_TIMESTAMP_SECONDS": ("60", 60.0),
    "RENSEI_HEARTBEAT_SECONDS": ("2.5", 2.5),
    "RENSEI_LEASE_SECONDS": ("30", 30.0),
    "RENSEI_POLL_SECONDS": ("1e0", 1.0),
    "RENSEI_FRAMES_KEPT_SECONDS": ("3600", 3600.0),
    "RENSEI_EVENTS_KEPT_SECONDS": ("3600", 3600.0),
    "RENSEI_WEBHOOKS_KEPT_SECONDS": ("3600", 3600.0),
    "RENSEI_ACTIVITIES_KEPT_SECONDS": ("7776000", 7_776_000.0),
    "RENSEI_SENT_KEPT_SECONDS": ("60", 60.0),
    "RENSEI_TROUBLE_KEPT_SECONDS": ("3153600000", 3_153_600_000.0),
    "RENSEI_FAILURES_PER_MINUTE": ("0", 0),
    "M2M_TOKEN_LIFETIME": ("60", 60),
    "ROUTING_SELECTOR_ENABLED": ("true", True),
    "RENSEI_EMBEDDER": ("wordllama", "wordllama"),
    "WORKER_API_KEY": ("x" * 16, Secret("x" * 16)),
    "WORKER_API_KEY_PROJECT": ("proj_demo", "proj_demo"),
}

BAD = [
    ("RENSEI_PORT", "0"),
    ("RENSEI_PORT", "65536"),
    ("RENSEI_PORT", "80 80"),
    ("RENSEI_PORT", "http"),
    ("RENSEI_PORT", "-1"),
    ("RENSEI_PORT", "8080.0"),
    ("ROUTING_SELECTOR_ENABLED", "1"),
    ("RENSEI_EMBEDDER", "gpt"),
    ("ROUTING_SELECTOR_ENABLED", "True"),
    ("RENSEI_WORKERS", "0"),
    ("RENSEI_WORKERS", "65"),
    ("RENSEI_WORKERS", "9" * 5000),
    ("DATABASE_URL", "mysql://a@b/c"),
    ("DATABASE_URL", "/var/lib/db"),
    ("DATABASE_URL", "postgresql://[::1"),
    ("RENSEI_WEB_DATABASE_URL", "localhost"),
    ("RENSEI_JOBS_DATABASE_URL", "http://b/c"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://b"),
    ("RENSEI_BOOTSTRAP_KEY", "rsk_live_short"),
    ("RENSEI_BOOTSTRAP_KEY", "rsk_live_" + "0A" * 32),
    ("RENSEI_MASTER_KEY", "0a" * 31),
    ("RENSEI_MASTER_KEY", "0A" * 32),
    ("RENSEI_MASTER_KEY", "zz" * 32),
    ("RENSEI_MASTER_KEY_PREVIOUS", "0b" * 31),
    ("RENSEI_MASTER_KEY_PREVIOUS", "0b" * 32 + " " + "0c" * 32),
    ("RENSEI_SYSTEM_KEY", "x" * 15),
    ("RENSEI_PUBLIC_URL", "rensei.example"),
    ("RENSEI_PUBLIC_URL", "ftp://rensei.example"),
    ("RENSEI_PUBLIC_URL", "https://"),
    ("RENSEI_PUBLIC_URL", "https://[::1"),
    ("RENSEI_TRUSTED_PROXIES", "proxy.example"),
    ("RENSEI_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("RENSEI_TRUSTED_PROXIES", "10.0.0.0/8;10.1.0.0/16"),
    ("RENSEI_HEARTBEAT_SECONDS", "0"),
    ("RENSEI_HEARTBEAT_SECONDS", "nan"),
    ("RENSEI_HEARTBEAT_SECONDS", "inf"),
    ("RENSEI_HEARTBEAT_SECONDS", "-5"),
    ("RENSEI_HEARTBEAT_SECONDS", "10s"),
    ("RENSEI_LEASE_SECONDS", "0.1"),
    ("RENSEI_LEASE_SECONDS", "86401"),
    ("RENSEI_POLL_SECONDS", "soon"),
    ("RENSEI_FAILURES_PER_MINUTE", "-1"),
    ("RENSEI_FAILURES_PER_MINUTE", "many"),
    ("M2M_TOKEN_LIFETIME", "0"),
    ("M2M_TOKEN_LIFETIME", "86401"),
    ("WORKER_API_KEY", "short"),
]


def read(**environment):
    return Settings.from_environment(environment)


def refusal(**environment):
    with pytest.raises(SettingsError) as refused:
        read(**environment)
    return str(refused.value)


def test_every_setting_has_a_good_value_below():
    assert list(GOOD) == [name for name, _, _ in table()]


def test_every_setting_is_read_from_its_own_name():
    found = read(**{name: raw for name, (raw, _) in GOOD.items()})

    assert [getattr(found, field) for field in Settings.__slots__] == [v for _, v in GOOD.values()]


@pytest.mark.parametrize(("name", "raw"), BAD)
def test_a_malformed_setting_is_named_with_what_it_wants(name, raw):
    text = refusal(**{name: raw})

    assert text.startswith(f"{name} must be ")
    assert text.endswith("Correct the environment and start again.")
    wants = text.removeprefix(f"{name} must be ").partition(". ")[0]
    assert re.match(
        r"(a whole number|seconds|a URL|addresses|64 lowercase|rsk_live_ followed|at least|true|"
        r"wordllama)",
        wants,
    )


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("RENSEI_MASTER_KEY", "not-a-key-but-secret"),
        ("RENSEI_BOOTSTRAP_KEY", "rsk_live_secret"),
        ("RENSEI_SYSTEM_KEY", "short-secret"),
        ("WORKER_API_KEY", "short-secret"),
        ("DATABASE_URL", "mysql://a:secret@b/c"),
    ],
)
def test_a_refusal_never_shows_what_may_be_a_secret(name, raw):
    assert "secret" not in refusal(**{name: raw}).removeprefix(name)


def test_every_wrong_setting_is_named_at_once():
    text = refusal(RENSEI_PORT="x", RENSEI_WORKERS="y", RENSEI_MASTER_KEY="z")

    assert all(name in text for name in ("RENSEI_PORT", "RENSEI_WORKERS", "RENSEI_MASTER_KEY"))


def test_an_empty_value_counts_as_absent():
    assert read(**dict.fromkeys(GOOD, "")) == read(**dict.fromkeys(GOOD, "  ")) == Settings()


def test_names_that_are_not_settings_are_let_be():
    assert read(RENSEI_COLOUR="blue", PATH="/bin") == Settings()


def test_a_lease_is_at_least_two_heartbeats():
    text = refusal(RENSEI_HEARTBEAT_SECONDS="30")

    assert "RENSEI_LEASE_SECONDS must be at least twice RENSEI_HEARTBEAT_SECONDS" in text
    assert read(RENSEI_HEARTBEAT_SECONDS="30", RENSEI_LEASE_SECONDS="60").lease_seconds == 60


def test_the_deployment_key_needs_its_project():
    assert "WORKER_API_KEY_PROJECT" in refusal(WORKER_API_KEY="x" * 16)


def test_without_a_public_url_the_server_is_where_it_listens():
    assert read().own_address == "http://127.0.0.1:8080"
    assert read(RENSEI_HOST="::1", RENSEI_PORT="80").own_address == "http://[::1]:80"
    assert read(RENSEI_PUBLIC_URL="https://a.example/").own_address == "https://a.example"


def test_a_secret_never_prints_itself():
    found = read(RENSEI_MASTER_KEY="0a" * 32, WEBHOOK_SECRET_LINEAR="hush-hush")

    shown = f"{found} {found!r} {found.master_key} {found.master_key!r} {[found.master_key]}"
    assert "0a0a" not in shown
    assert "hush" not in repr(found.webhook_secret_linear)


def test_the_readme_shows_the_table_of_the_code():
    rows = re.findall(
        r"^\| `(\w+)` \| (.*?) \| (.*) \|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )

    shown = [(name, default.strip("` "), about) for name, default, about in rows]

    assert shown == table()


def test_settings_must_be_given_before_they_are_used(monkeypatch):
    monkeypatch.setattr(settings, "_current", None)

    with pytest.raises(RuntimeError, match=r"settings\.use"):
        settings.current()


def test_a_name_that_looks_like_a_settings_is_told_with_what_may_be_meant():
    given = {
        "RENSEI_PROT": "9090",
        "WEBHOOK_SECRET_LINAER": "s",
        "RENSEI_HOME": "/srv/rensei",
        "RENSEI_ORG_KEY": "from the credentials file",
        "RENSEI_WORKER_KEY": "from there as well",
        "RENSEI_API_URL": "a client's own",
        "REDIS_ULR": "anybody's",
    }

    assert likely_misspelt(given) == [
        ("RENSEI_PROT", "RENSEI_PORT"),
        ("WEBHOOK_SECRET_LINAER", "WEBHOOK_SECRET_LINEAR"),
    ]


def test_no_setting_is_taken_for_a_slip_of_another():
    assert likely_misspelt({name: value for name, (value, _) in GOOD.items()}) == []
