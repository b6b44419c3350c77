"""Talks to a peer through the official SDK, whose every request passes the guard.

Which generation of the protocol a peer speaks is the SDK's matter; what comes back is an `Outcome`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from a2a.client.card_resolver import parse_agent_card
from a2a.client.client import ClientCallContext, ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.client.errors import A2AClientError, A2AClientTimeoutError
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    A2AError,
    InternalError,
    TaskNotCancelableError,
    TaskNotFoundError,
)
from google.protobuf.json_format import MessageToDict, ParseDict

from domain.a2a_cards import BINDINGS
from outbound.guarded_client import Failed, HttpClient, Refused, for_library, may_pass

CALL_SECONDS: Final = 20.0
STEP_SECONDS: Final = 15.0
MOST_TEXT_CHARACTERS: Final = 100_000
MOST_ARTIFACT_BYTES: Final = 400_000

ENDED: Final = frozenset({"completed", "failed", "canceled", "rejected"})

_log = logging.getLogger(__name__)


class Rejected(Exception):
    """The peer, or the guard, will not have it; asking again will not help."""


class TryAgain(Exception):
    """There was no usable answer; there may be one later."""


class Unknown(Exception):
    """The peer knows no such task."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is sent to a peer. `message_id` and `context_id` are ours, and stay with a repeat."""

    message_id: str
    context_id: str
    text: str
    data: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task stands at the peer; `task_id` None for an answer that needed no task."""

    task_id: str | None
    state: str
    text: str | None
    artifacts: list[Any]
    cost_tokens: int | None = None


@asynccontextmanager
async def http_for_peers(
    allowed_private_hosts: Collection[str],
) -> AsyncIterator[HttpClient]:
    """The one HTTP client that all peers of a round are asked with."""
    async with for_library(allowed_private_hosts, step_seconds=STEP_SECONDS) as http:
        yield http


class Peer:
    """One agent, by its stored card."""

    def __init__(self, http: HttpClient, card: str, token: str | None) -> None:
        """Raises `Rejected` for a card that names no way to send messages."""
        config = ClientConfig(
            streaming=False,
            polling=True,
            httpx_client=http,
            supported_protocol_bindings=list(BINDINGS),
        )
        try:
            self._client: Any = ClientFactory(config).create(parse_agent_card(orjson.loads(card)))
        except Exception as error:
            raise Rejected("the agent's card names no interface that can be used") from error
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._context = ClientCallContext(service_parameters=headers, timeout=STEP_SECONDS)

    async def send(self, said: Said) -> Outcome:
        """Send a message that starts a task."""
        parts: list[dict[str, Any]] = [{"text": said.text}]
        if said.data is not None:
            parts.append({"data": said.data})
        request = ParseDict(
            {
                "message": {
                    "messageId": said.message_id,
                    "contextId": said.context_id,
                    "role": "ROLE_USER",
                    "parts": parts,
                    "metadata": said.metadata,
                },
                "configuration": {
                    "acceptedOutputModes": ["text/plain", "application/json"],
                    "returnImmediately": True,
                },
            },
            pb.SendMessageRequest(),
        )
        async with (
            _judged(),
            aclosing(self._client.send_message(request, context=self._context)) as events,
        ):
            async for event in events:
                if event.HasField("task"):
                    return _of_task(event.task)
                if event.HasField("message"):
                    return Outcome(None, "completed", _text([event.message]), [])
        raise Rejected("the agent answered with neither a task nor a message")

    async def get(self, task_id: str) -> Outcome:
        """How a task stands; raises `Unknown`."""
        async with _judged():
            request = pb.GetTaskRequest(id=task_id)
            return _of_task(await self._client.get_task(request, context=self._context))

    async def cancel(self, task_id: str) -> Outcome:
        """Ask for the end of a task; how it stands when it has ended by itself."""
        try:
            async with _judged():
                request = pb.CancelTaskRequest(id=task_id)
                return _of_task(await self._client.cancel_task(request, context=self._context))
        except Unknown:
            raise
        except Rejected as rejected:
            if isinstance(rejected.__cause__, TaskNotCancelableError):
                return await self.get(task_id)
            raise

    async def find(self, context_id: str) -> Outcome | None:
        """The task of a context that is ours alone; None where there is none, or where the peer
        cannot be asked, as those of the older generation cannot."""
        try:
            async with _judged():
                request = pb.ListTasksRequest(context_id=context_id, page_size=1)
                found = await self._client.list_tasks(request, context=self._context)
        except (Rejected, Unknown):
            return None
        tasks = [each for each in found.tasks if each.context_id == context_id]
        return await self.get(tasks[0].id) if tasks else None


@asynccontextmanager
async def _judged() -> AsyncIterator[None]:
    """Bound a call, and say of whatever it raises whether it is worth trying again."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except (Rejected, Unknown):
        raise
    except TaskNotFoundError as error:
        raise Unknown(_short(error)) from error
    except Refused as error:
        raise Rejected(_short(error)) from error
    except (Failed, A2AClientTimeoutError, TimeoutError, InternalError) as error:
        raise TryAgain(_short(error) or "no answer in time") from error
    except A2AClientError as error:
        if may_pass(error.__cause__):
            raise TryAgain(_short(error)) from error
        raise Rejected(_short(error)) from error
    except NotImplementedError as error:
        raise Rejected("the agent cannot be asked that") from error
    except A2AError as error:
        raise Rejected(_short(error)) from error
    except Exception as error:
        # A peer can say anything, and the SDK has no one word for what it cannot read.
        _log.info("a peer's answer could not be read", exc_info=True)
        raise Rejected(f"the agent's answer cannot be read: {type(error).__name__}") from error


def _short(error: Exception) -> str:
    return _clean(str(error).splitlines()[0][:300]) if str(error) else ""


def state_name(state: int) -> str:
    """The word for a state that both generations know, such as `input-required`."""
    return str(pb.TaskState.Name(state)).removeprefix("TASK_STATE_").lower().replace("_", "-")


def _of_task(task: Any) -> Outcome:
    if not task.id:
        raise Rejected("the agent answered with a task that has no id")
    status = task.status
    said = [status.message] if status.HasField("message") else []
    text = "\n".join(filter(None, (_parts_text(each.parts) for each in task.artifacts)))
    if not text:
        agents = [each for each in task.history if each.role == pb.Role.ROLE_AGENT]
        text = _text(said) or _text(agents[-1:]) or ""
    return Outcome(
        _clean(task.id[:1000]),
        state_name(status.state),
        _clean(text) or None,
        _artifacts(task),
        _tokens(task),
    )


def _artifacts(task: Any) -> list[Any]:
    """The artefacts as JSON, as many as there is room for."""
    kept, room = [], MOST_ARTIFACT_BYTES
    for each in task.artifacts:
        artifact = MessageToDict(each)
        room -= len(orjson.dumps(artifact))
        if room < 0:
            break
        kept.append(artifact)
    return kept


def _tokens(task: Any) -> int | None:
    if not task.HasField("metadata"):
        return None
    said = MessageToDict(task.metadata).get("costTokens")
    return int(said) if isinstance(said, float) and 0 <= said < 2**53 else None


def _text(messages: Collection[Any]) -> str | None:
    text = "\n".join(filter(None, (_parts_text(each.parts) for each in messages)))
    return _clean(text) or None


def _parts_text(parts: Any) -> str:
    return "\n".join(part.text for part in parts if part.HasField("text"))


def _clean(text: str) -> str:
    """What PostgreSQL can store, and no more than anybody wants to read."""
    text = text[:MOST_TEXT_CHARACTERS].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()  # half a character, which JSON can hold
