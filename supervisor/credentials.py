"""The secrets of an embedded server: made at its first start, read at every later one."""

import secrets
from dataclasses import dataclass
from typing import Final

from settings import Secret, Settings
from supervisor.errors import StartError, WrongSettings
from supervisor.secret_file import SecretFile
from supervisor.state_folder import StateFolder

FILE: Final = "credentials"

MASTER: Final = "RENSEI_MASTER_KEY"
PREVIOUS: Final = "RENSEI_MASTER_KEY_PREVIOUS"
SYSTEM: Final = "RENSEI_SYSTEM_KEY"
ORG: Final = "RENSEI_ORG_KEY"
WORKER: Final = "RENSEI_WORKER_KEY"
LINEAR: Final = "WEBHOOK_SECRET_LINEAR"
GITHUB: Final = "WEBHOOK_SECRET_GITHUB"
GITHUB_ACTIONS: Final = "WEBHOOK_SECRET_GITHUB_ACTIONS"
VERCEL: Final = "WEBHOOK_SECRET_VERCEL"

READ: Final = (MASTER, PREVIOUS, SYSTEM, LINEAR, GITHUB, GITHUB_ACTIONS, VERCEL)
"""The settings that may stand in the file; the demo's keys beside them are no settings."""

ABOUT: Final = """\
Made at the first start of this server. Keep it: RENSEI_MASTER_KEY alone can read
what the database holds encrypted. RENSEI_ORG_KEY is an org-wide key of org_demo,
RENSEI_WORKER_KEY a worker's key of its project proj_demo.
To use them in a shell: . ./credentials"""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What the server runs with, and the keys that the demo rows are made with."""

    for_children: dict[str, str]
    org_keys: tuple[str, ...] = ()
    worker_key: str | None = None


def of_embedded(folder: StateFolder, settings: Settings, *, has_data: bool) -> Credentials:
    """Those in the state folder, made when this is the first start.

    What the environment gives wins over the file, which stays as it is. At the first
    start what it gives goes into the file, so that a later start without it can still
    read what this one wrote.
    """
    file = SecretFile(folder, FILE)
    known = file.read() if file.path.exists() else {}
    given = _given(settings)
    if has_data and MASTER not in known and MASTER not in given:
        raise StartError(
            f"{file.path} has no {MASTER}, and what the database holds encrypted cannot be read "
            "without it. Put the file back, or remove the state folder to begin anew."
        )
    made = {
        MASTER: given.get(MASTER) or secrets.token_hex(32),
        SYSTEM: given.get(SYSTEM) or "rsk_system_" + secrets.token_hex(32),
        ORG: _plain(settings.bootstrap_key) or "rsk_live_" + secrets.token_hex(32),
        WORKER: "rsk_live_" + secrets.token_hex(32),
        LINEAR: given.get(LINEAR) or "lin_wh_" + secrets.token_hex(20),
    }
    values = made | known
    if values != known:
        file.write(values, ABOUT)
    org_keys = dict.fromkeys(
        key for key in (values[ORG], _plain(settings.bootstrap_key)) if key is not None
    )
    used = values | given
    return Credentials(
        {name: used[name] for name in READ if name in used},
        tuple(org_keys),
        values[WORKER],
    )


def of_external(settings: Settings) -> Credentials:
    """Those of a server on a database of its own: nothing is made, all is given."""
    if settings.master_key is None:
        raise WrongSettings(
            f"{MASTER} is required with DATABASE_URL. Make one once and keep it: "
            "python3 -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return Credentials(_given(settings))


def _given(settings: Settings) -> dict[str, str]:
    secrets_by_name = {
        MASTER: settings.master_key,
        SYSTEM: settings.system_key,
        LINEAR: settings.webhook_secret_linear,
        GITHUB: settings.webhook_secret_github,
        GITHUB_ACTIONS: settings.webhook_secret_github_actions,
        VERCEL: settings.webhook_secret_vercel,
    }
    given = {name: secret.value for name, secret in secrets_by_name.items() if secret is not None}
    if settings.previous_master_keys:
        given[PREVIOUS] = ",".join(each.value for each in settings.previous_master_keys)
    return given


def _plain(secret: Secret | None) -> str | None:
    return None if secret is None else secret.value
