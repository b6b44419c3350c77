"""Where clients want to be told of their tasks."""

from typing import Any, Final
from uuid import uuid4

import orjson
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from sqlalchemy.ext.asyncio import AsyncConnection

import settings
from outbound.guarded_client import Refused, check
from persistence import a2a_push
from services.a2a_secrets import push_context, seal, unseal

MOST_URL_CHARACTERS: Final = 2000
MOST_SECRET_CHARACTERS: Final = 4000
MOST_ID_CHARACTERS: Final = 200


async def put(
    db: AsyncConnection, row: Any, config: pb.TaskPushNotificationConfig, generation: str
) -> pb.TaskPushNotificationConfig:
    """Keep where a task's client wants to be told; raises `InvalidParamsError`."""
    if not config.url or len(config.url) > MOST_URL_CHARACTERS:
        raise InvalidParamsError(f"url: must have 1 to {MOST_URL_CHARACTERS} characters")
    try:
        check(config.url, settings.current().allowed_private_hosts)
    except Refused as refusal:
        raise InvalidParamsError(f"url: {refusal}") from None
    secret = {
        "token": config.token,
        "scheme": config.authentication.scheme,
        "credentials": config.authentication.credentials,
    }
    for name, value in secret.items():
        if len(value) > MOST_SECRET_CHARACTERS or not (value.isascii() and value.isprintable()):
            raise InvalidParamsError(f"{name}: must be printable ASCII, as headers are")
    config_id = config.id or str(uuid4())
    if len(config_id) > MOST_ID_CHARACTERS:
        raise InvalidParamsError(f"id: has at most {MOST_ID_CHARACTERS} characters")
    context = push_context(row.org_id, row.session_id, config_id)
    stored = await a2a_push.put(
        db,
        {
            "org_id": row.org_id,
            "session_id": row.session_id,
            "id": config_id,
            "url": config.url,
            "generation": generation,
            "secret_encrypted": seal(orjson.dumps(secret).decode(), context)
            if any(secret.values())
            else None,
        },
    )
    if not stored:
        raise InvalidParamsError(f"A task has at most {a2a_push.MOST_CONFIGS} of them")
    return _shown(row.session_id, config_id, config.url, secret)


async def get(db: AsyncConnection, row: Any, config_id: str) -> pb.TaskPushNotificationConfig:
    """One of a task's; the only one there is when none is named. Raises `TaskNotFoundError`."""
    configs = await a2a_push.list_all(db, row.org_id, row.session_id)
    for each in configs:
        if each.id == config_id or (not config_id and len(configs) == 1):
            return _of(each)
    raise TaskNotFoundError("The task has no such push notification config")


async def list_all(db: AsyncConnection, row: Any) -> pb.ListTaskPushNotificationConfigsResponse:
    """All of a task's."""
    configs = await a2a_push.list_all(db, row.org_id, row.session_id)
    return pb.ListTaskPushNotificationConfigsResponse(configs=[_of(each) for each in configs])


def secret_of(row: Any) -> dict[str, str]:
    """What the client wants to see beside what it is told."""
    if row.secret_encrypted is None:
        return {}
    context = push_context(row.org_id, row.session_id, row.id)
    return dict(orjson.loads(unseal(bytes(row.secret_encrypted), context)))


def _of(row: Any) -> pb.TaskPushNotificationConfig:
    return _shown(row.session_id, row.id, row.url, secret_of(row))


def _shown(
    task_id: str, config_id: str, url: str, secret: dict[str, str]
) -> pb.TaskPushNotificationConfig:
    """A config as its client made it, but for the credentials, which are never shown."""
    shown = pb.TaskPushNotificationConfig(id=config_id, task_id=task_id, url=url)
    if secret.get("token"):
        shown.token = secret["token"]
    if secret.get("scheme"):
        shown.authentication.scheme = secret["scheme"]
    return shown
