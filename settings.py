"""What can be set from outside: one typed object, read once from the environment.

Only a malformed setting, or a missing one that has no default, stops a start.
Durations carry their unit in their name. Secrets are wrapped so that neither a
log line nor a traceback shows them.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

PROJECT: Final = Path(__file__).resolve().parent

MIB: Final = 1024 * 1024
A_HUNDRED_YEARS: Final = 3_153_600_000
"""In seconds: for good."""

ALIKE: Final = 0.88
"""How much of a name must agree with a setting's to be taken for a slip of it."""


class SettingsError(ValueError):
    """One or more settings cannot be used; the message names each and what it wants."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that never prints itself."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _text(raw: str) -> str:
    return raw


def _secret(raw: str) -> Secret:
    return Secret(raw)


def _path(raw: str) -> Path:
    return Path(raw).expanduser().absolute()


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not re.fullmatch(r"\d{1,9}", raw) or not least <= int(raw) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(raw)

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ValueError(f"seconds, from {least:g} to {most:g}")
        return value

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        try:
            parts = urlsplit(raw)
            fits = parts.scheme in schemes and bool(parts.hostname or parts.path or parts.query)
            fits = (
                fits and (parts.port or 1) > 0 and (bool(parts.hostname) or "http" not in schemes)
            )
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("a URL that starts with " + " or ".join(f"{s}://" for s in schemes))
        return raw.rstrip("/")

    return parse


def _networks(raw: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError:
        raise ValueError("addresses or networks, separated by commas") from None


def _hosts(raw: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in raw.split(",") if part.strip())
    if not all(re.fullmatch(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", each) for each in hosts):
        raise ValueError("hosts, each with or without :port, separated by commas")
    return hosts


def _master_key(raw: str) -> Secret:
    if not re.fullmatch(r"[0-9a-f]{64}", raw):
        raise ValueError("64 lowercase hex digits (32 random bytes)")
    return Secret(raw)


def _master_keys(raw: str) -> tuple[Secret, ...]:
    try:
        return tuple(_master_key(part.strip()) for part in raw.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"{error}; several are separated by commas") from None


def _org_key(raw: str) -> Secret:
    if not re.fullmatch(r"rsk_live_[0-9a-f]{64}", raw):
        raise ValueError("rsk_live_ followed by 64 lowercase hex digits")
    return Secret(raw)


def _switch(raw: str) -> bool:
    # Others would read as "on" to a person and be off.
    if raw not in {"true", "false"}:
        raise ValueError("true or false")
    return raw == "true"


def _embedder(raw: str) -> str:
    if raw != "wordllama":
        raise ValueError("wordllama, or nothing for none")
    return raw


def _long_secret(raw: str) -> Secret:
    if len(raw) < 16:
        raise ValueError("at least 16 characters")
    return Secret(raw)


def _setting(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    return field(default=default, metadata={"name": name, "parse": parse, "about": about})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default. `about` becomes the README's table."""

    port: int = _setting("RENSEI_PORT", _whole(1, 65535), 8080, "port of the server")
    host: str = _setting("RENSEI_HOST", _text, "127.0.0.1", "address it listens on")
    home: Path = _setting(
        "RENSEI_HOME", _path, PROJECT / ".rensei", "state folder of the embedded stores"
    )
    workers: int = _setting("RENSEI_WORKERS", _whole(1, 64), 2, "web processes")
    database_url: str | None = _setting(
        "DATABASE_URL",
        _url("postgresql", "postgres"),
        None,
        "PostgreSQL as its owner, for migrations; embedded when absent",
    )
    web_database_url: str | None = _setting(
        "RENSEI_WEB_DATABASE_URL",
        _url("postgresql", "postgres"),
        None,
        "the web processes' own login (role `rensei_web`); "
        "without it they use the owner's and put on that role",
    )
    jobs_database_url: str | None = _setting(
        "RENSEI_JOBS_DATABASE_URL",
        _url("postgresql", "postgres"),
        None,
        "the same for the job process (role `rensei_jobs`)",
    )
    redis_url: str | None = _setting(
        "REDIS_URL",
        _url("redis", "rediss", "unix"),
        None,
        "Redis or Valkey; embedded when absent",
    )
    bootstrap_key: Secret | None = _setting(
        "RENSEI_BOOTSTRAP_KEY",
        _org_key,
        None,
        "the first org-wide key of `org_demo`, given for automation",
    )
    master_key: Secret | None = _setting(
        "RENSEI_MASTER_KEY",
        _master_key,
        None,
        "encrypts stored signing keys and secrets; made at the first embedded start",
    )
    previous_master_keys: tuple[Secret, ...] = _setting(
        "RENSEI_MASTER_KEY_PREVIOUS",
        _master_keys,
        (),
        "other master keys, separated by commas, that still open what is stored; "
        "see *Changing the master key*",
    )
    system_key: Secret | None = _setting(
        "RENSEI_SYSTEM_KEY",
        _long_secret,
        None,
        "the only holder of scope `system`; made at the first embedded start",
    )
    public_url: str | None = _setting(
        "RENSEI_PUBLIC_URL",
        _url("http", "https"),
        None,
        "the server's own address; default `http://HOST:PORT`",
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        "RENSEI_TRUSTED_PROXIES",
        _networks,
        (),
        "whose `X-Forwarded-For` counts; nobody's by default",
    )
    webhook_secret_linear: Secret | None = _setting(
        "WEBHOOK_SECRET_LINEAR", _secret, None, "verifies Linear's webhooks"
    )
    webhook_secret_github: Secret | None = _setting(
        "WEBHOOK_SECRET_GITHUB", _secret, None, "verifies GitHub's webhooks"
    )
    webhook_secret_github_actions: Secret | None = _setting(
        "WEBHOOK_SECRET_GITHUB_ACTIONS", _secret, None, "verifies GitHub Actions' webhooks"
    )
    webhook_secret_vercel: Secret | None = _setting(
        "WEBHOOK_SECRET_VERCEL", _secret, None, "verifies Vercel's webhooks"
    )
    linear_api_key: Secret | None = _setting(
        "LINEAR_API_KEY",
        _secret,
        None,
        "what the server writes to Linear with: an app's token, or an API key",
    )
    linear_api_key_org: str | None = _setting(
        "LINEAR_API_KEY_ORG",
        _text,
        None,
        "the organization id that `LINEAR_API_KEY` is bound to; required with it",
    )
    linear_api_url: str = _setting(
        "LINEAR_API_URL",
        _url("https", "http"),
        "https://api.linear.app/graphql",
        "where Linear's GraphQL is",
    )
    github_api_url: str = _setting(
        "GITHUB_API_URL",
        _url("https", "http"),
        "https://api.github.com",
        "where GitHub's REST API is; `https://HOST/api/v3` for a GitHub Enterprise Server",
    )
    allowed_private_hosts: tuple[str, ...] = _setting(
        "RENSEI_ALLOWED_PRIVATE_HOSTS",
        _hosts,
        (),
        "hosts in private networks (`host` or `host:port`, separated by commas) that outbound "
        "calls may reach, also by http; none by default",
    )
    audit_checkpoint_file: Path | None = _setting(
        "RENSEI_AUDIT_CHECKPOINT_FILE",
        _path,
        None,
        "file that every checkpoint of the audit log is appended to; without it, "
        "`audit/checkpoints` in the state folder",
    )
    audit_post_url: str | None = _setting(
        "RENSEI_AUDIT_POST_URL",
        _url("https", "http"),
        None,
        "address that the newest checkpoint of each chain of the audit log is posted to; nowhere "
        "by default",
    )
    timestamp_url: str | None = _setting(
        "RENSEI_TIMESTAMP_URL",
        _url("https", "http"),
        None,
        "RFC 3161 authority that time-stamps checkpoints; none by default",
    )
    timestamp_roots: Path | None = _setting(
        "RENSEI_TIMESTAMP_ROOTS",
        _path,
        None,
        "PEM file of the certificates that the authority's must lead to; required with "
        "`RENSEI_TIMESTAMP_URL`",
    )
    timestamp_seconds: float = _setting(
        "RENSEI_TIMESTAMP_SECONDS",
        _seconds(1, 31_536_000),
        3600.0,
        "how often a chain that grew gets a time stamp",
    )
    heartbeat_seconds: float = _setting(
        "RENSEI_HEARTBEAT_SECONDS", _seconds(0.05, 3600), 10.0, "how often workers send heartbeats"
    )
    lease_seconds: float = _setting(
        "RENSEI_LEASE_SECONDS",
        _seconds(0.2, 86400),
        50.0,
        "silence after which a worker's sessions go back to the queue",
    )
    poll_seconds: float = _setting(
        "RENSEI_POLL_SECONDS", _seconds(0.05, 3600), 5.0, "how often workers poll"
    )
    frames_kept_seconds: float = _setting(
        "RENSEI_FRAMES_KEPT_SECONDS",
        _seconds(1, 31_536_000),
        86400.0,
        "how long what the agents of interviews said is kept, turn by turn, for readers who come "
        "late",
    )
    events_kept_seconds: float = _setting(
        "RENSEI_EVENTS_KEPT_SECONDS",
        _seconds(1, 31_536_000),
        604_800.0,
        "how long what became of sessions is kept for streams of all sessions that connect again",
    )
    webhooks_kept_seconds: float = _setting(
        "RENSEI_WEBHOOKS_KEPT_SECONDS",
        _seconds(1, A_HUNDRED_YEARS),
        2_592_000.0,
        "how long webhook events that are done are kept with their bodies; that they came is known "
        "for good",
    )
    activities_kept_seconds: float = _setting(
        "RENSEI_ACTIVITIES_KEPT_SECONDS",
        _seconds(1, A_HUNDRED_YEARS),
        float(A_HUNDRED_YEARS),
        "how long after its end a session's activities are kept, by default a hundred years; the "
        "session itself stays",
    )
    sent_kept_seconds: float = _setting(
        "RENSEI_SENT_KEPT_SECONDS",
        _seconds(1, A_HUNDRED_YEARS),
        86400.0,
        "how long the copy of what the tracker was told is kept",
    )
    trouble_kept_seconds: float = _setting(
        "RENSEI_TROUBLE_KEPT_SECONDS",
        _seconds(1, A_HUNDRED_YEARS),
        7_776_000.0,
        "how long webhook events that are dead or parked, and what the tracker would not take, "
        "wait for somebody to look at them",
    )
    failures_per_minute: int = _setting(
        "RENSEI_FAILURES_PER_MINUTE",
        _whole(0, 1_000_000),
        120,
        "refused credentials and signatures per address and minute before it is told to wait; "
        "0 for no limit",
    )
    m2m_token_lifetime: int = _setting(
        "M2M_TOKEN_LIFETIME", _whole(1, 86400), 3600, "seconds an M2M token lives"
    )
    routing_selector_enabled: bool = _setting(
        "ROUTING_SELECTOR_ENABLED",
        _switch,
        False,
        "whether the server chooses the provider of a session by what earlier ones earned",
    )
    embedder: str | None = _setting(
        "RENSEI_EMBEDDER",
        _embedder,
        None,
        "by what agents' notes are found beside their words: `wordllama`, see docs/guides/mcp.md",
    )
    worker_api_key: Secret | None = _setting(
        "WORKER_API_KEY",
        _long_secret,
        None,
        "one deployment-wide worker key, off by default",
    )
    worker_api_key_project: str | None = _setting(
        "WORKER_API_KEY_PROJECT",
        _text,
        None,
        "the project id that `WORKER_API_KEY` is bound to; required with it",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read and check all settings; raise `SettingsError` naming every one that is wrong.

        An empty value counts as absent, as it does in compose files.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for each in fields(cls):
            raw = environment.get(each.metadata["name"], "").strip()
            if not raw:
                continue
            try:
                values[each.name] = each.metadata["parse"](raw)
            except ValueError as error:
                wrong.append(f"{each.metadata['name']} must be {error}")
        found = cls(**values)
        wrong += found._contradictions()
        if wrong:
            raise SettingsError("; ".join(wrong) + ". Correct the environment and start again.")
        return found

    def _contradictions(self) -> list[str]:
        wrong = []
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            wrong.append("RENSEI_LEASE_SECONDS must be at least twice RENSEI_HEARTBEAT_SECONDS")
        if self.worker_api_key and not self.worker_api_key_project:
            wrong.append("WORKER_API_KEY needs WORKER_API_KEY_PROJECT, the project it acts for")
        if bool(self.linear_api_key) != bool(self.linear_api_key_org):
            wrong.append(
                "LINEAR_API_KEY and LINEAR_API_KEY_ORG, the organization it acts for, "
                "must be set together"
            )
        if bool(self.timestamp_url) != bool(self.timestamp_roots):
            wrong.append(
                "RENSEI_TIMESTAMP_URL and RENSEI_TIMESTAMP_ROOTS, the certificates it is trusted "
                "by, must be set together"
            )
        for name, url in (
            ("LINEAR_API_URL", self.linear_api_url),
            ("GITHUB_API_URL", self.github_api_url),
            ("RENSEI_AUDIT_POST_URL", self.audit_post_url),
            ("RENSEI_TIMESTAMP_URL", self.timestamp_url),
        ):
            if url is None:
                continue
            address = urlsplit(url)
            names = {address.netloc.lower(), re.sub(r":\d+$", "", address.netloc.lower())}
            allowed = names & set(self.allowed_private_hosts)
            if address.scheme != "https" and not allowed:
                wrong.append(
                    f"{name} must be https, or its host stand in RENSEI_ALLOWED_PRIVATE_HOSTS"
                )
        return wrong

    @property
    def pulse_seconds(self) -> float:
        """How often a web process says that heartbeats can be stored."""
        return min(2.0, self.heartbeat_seconds / 5)

    @property
    def gap_seconds(self) -> float:
        """A silence of all web processes that counts as a time without heartbeats."""
        return max(self.heartbeat_seconds, 3 * self.pulse_seconds)

    @property
    def own_address(self) -> str:
        """The server's address as others reach it, without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"


def likely_misspelt(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names that nothing reads and that look like a setting's, each with that setting's.

    They stop no start: others may have variables of their own.
    """
    known = [each.metadata["name"] for each in fields(Settings)]
    found = []
    for name in sorted(environment):
        if name in known or not name.startswith(("RENSEI_", "WEBHOOK_SECRET_")):
            continue
        if alike := difflib.get_close_matches(name, known, 1, ALIKE):
            found.append((name, alike[0]))
    return found


def table() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every setting, in order, for the README and its test."""
    rows = []
    for each in fields(Settings):
        default = each.default
        shown = "" if default in (None, ()) else str(default)
        if isinstance(default, Path):
            shown = ".rensei/"
        if isinstance(default, bool):
            shown = str(default).lower()
        rows.append((each.metadata["name"], shown, each.metadata["about"]))
    return rows


_current: Settings | None = None


def use(settings: Settings) -> None:
    """Make these the settings of this process."""
    global _current
    _current = settings


def current() -> Settings:
    """The settings of this process; `use` comes first."""
    if _current is None:
        raise RuntimeError("no settings: call settings.use() at start-up")
    return _current
