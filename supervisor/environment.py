"""What each child learns from its environment, and what it must not."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from settings import Settings
from supervisor import postgres
from supervisor.credentials import Credentials
from supervisor.errors import WrongSettings

DATABASE: Final = "DATABASE_URL"
WEB_DATABASE: Final = "RENSEI_WEB_DATABASE_URL"
JOBS_DATABASE: Final = "RENSEI_JOBS_DATABASE_URL"
REDIS: Final = "REDIS_URL"
HOME: Final = "RENSEI_HOME"
CHECKPOINTS: Final = "RENSEI_AUDIT_CHECKPOINT_FILE"
BOOTSTRAP: Final = "RENSEI_BOOTSTRAP_KEY"
DEMO_ORG_KEYS: Final = "RENSEI_DEMO_ORG_KEYS"
DEMO_WORKER_KEY: Final = "RENSEI_DEMO_WORKER_KEY"

OWN: Final = (DATABASE, WEB_DATABASE, JOBS_DATABASE, REDIS, BOOTSTRAP)
"""Not handed on as they are: every child gets only the URLs that are its own."""


@dataclass(frozen=True, slots=True, repr=False)
class Urls:
    """The stores as each of the three sees them."""

    owner: str
    web: str
    jobs: str
    redis: str


def external_urls(settings: Settings, redis: str) -> Urls:
    """A database of one's own; without separate logins the owner's puts on each role."""
    owner = settings.database_url
    if owner is None:
        raise WrongSettings(f"{WEB_DATABASE} and {JOBS_DATABASE} need {DATABASE} beside them.")
    return Urls(
        owner,
        settings.web_database_url or in_role(owner, postgres.WEB),
        settings.jobs_database_url or in_role(owner, postgres.JOBS),
        redis,
    )


def in_role(url: str, role: str) -> str:
    """The same URL, but every session begins in the role; other options stay."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    others = [value for name, value in query if name == "options"]
    wanted = [(name, value) for name, value in query if name != "options"]
    wanted.append(("options", " ".join([*others, f"-c role={role}"])))
    # libpq reads `+` as itself, so a space must be %20.
    return urlunsplit(parts._replace(query=urlencode(wanted, quote_via=quote)))


class Environments:
    """The environment of each child, from the supervisor's own."""

    def __init__(
        self, settings: Settings, credentials: Credentials, urls: Urls, *, embedded: bool
    ) -> None:
        self._credentials = credentials
        self._urls = urls
        self._common = {
            name: value
            for name, value in os.environ.items()
            # libpq reads PGPORT, PGOPTIONS and more, which are not meant for our own cluster.
            if name not in OWN and not (embedded and name.startswith("PG"))
        }
        self._common |= credentials.for_children | {HOME: str(settings.home)}
        self._common[CHECKPOINTS] = str(
            settings.audit_checkpoint_file or settings.home / "audit" / "checkpoints"
        )

    def of_preparation(self) -> Mapping[str, str]:
        """Migrates as the owner, and makes the demo rows when there are keys for them."""
        made = self._common | {DATABASE: self._urls.owner, REDIS: self._urls.redis}
        if self._credentials.worker_key is not None:
            made[DEMO_ORG_KEYS] = " ".join(self._credentials.org_keys)
            made[DEMO_WORKER_KEY] = self._credentials.worker_key
        return made

    def of_web(self) -> Mapping[str, str]:
        """Knows the stores as the web sees them."""
        return self._common | {WEB_DATABASE: self._urls.web, REDIS: self._urls.redis}

    def of_jobs(self) -> Mapping[str, str]:
        """Knows the stores as the jobs see them."""
        return self._common | {JOBS_DATABASE: self._urls.jobs, REDIS: self._urls.redis}
