"""JSON-RPC of both generations of A2A, as requests and answers of the newer one."""

import asyncio
import functools
import importlib
from dataclasses import dataclass
from typing import Any, Final

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import (
    A2A_ERROR_REASONS,
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    InvalidParamsError,
    InvalidRequestError,
    MethodNotFoundError,
    VersionNotSupportedError,
)
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from domain.a2a_cards import NEW, OLD

REQUESTS: Final[dict[str, Any]] = {
    "SendMessage": pb.SendMessageRequest,
    "SendStreamingMessage": pb.SendMessageRequest,
    "GetTask": pb.GetTaskRequest,
    "ListTasks": pb.ListTasksRequest,
    "CancelTask": pb.CancelTaskRequest,
    "SubscribeToTask": pb.SubscribeToTaskRequest,
    "CreateTaskPushNotificationConfig": pb.TaskPushNotificationConfig,
    "GetTaskPushNotificationConfig": pb.GetTaskPushNotificationConfigRequest,
    "ListTaskPushNotificationConfigs": pb.ListTaskPushNotificationConfigsRequest,
    "DeleteTaskPushNotificationConfig": pb.DeleteTaskPushNotificationConfigRequest,
    "GetExtendedAgentCard": pb.GetExtendedAgentCardRequest,
}
OLD_NAMES: Final = {
    "message/send": "SendMessage",
    "message/stream": "SendStreamingMessage",
    "tasks/get": "GetTask",
    "tasks/cancel": "CancelTask",
    "tasks/resubscribe": "SubscribeToTask",
    "tasks/pushNotificationConfig/set": "CreateTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/get": "GetTaskPushNotificationConfig",
    "tasks/pushNotificationConfig/list": "ListTaskPushNotificationConfigs",
    "tasks/pushNotificationConfig/delete": "DeleteTaskPushNotificationConfig",
    "agent/getAuthenticatedExtendedCard": "GetExtendedAgentCard",
}
INTERNAL_CODE: Final = -32603
FIRST_NEW_CODE: Final = -32008
"""Codes from here down came with the newer generation."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: whose generation it is of, what it asks, and what the answer is to name."""

    generation: str
    method: str
    id: str | int | float | None
    params: Any


@functools.cache
def old() -> Any:
    """What knows the older generation."""
    return importlib.import_module("services.a2a_old")


async def warm() -> None:
    """Load what takes its time, beside the start and before it is needed."""
    await asyncio.to_thread(old)


def state_name(state: int) -> str:
    """The word for a state that both generations know, such as `input-required`."""
    try:
        name = pb.TaskState.Name(state)
    except ValueError:
        return "unknown"
    return str(name).removeprefix("TASK_STATE_").lower().replace("_", "-")


def id_of(message: dict[str, Any]) -> str | int | float | None:
    """What the answer is to name; None when the request has no id that can be one."""
    id_ = message.get("id")
    return id_ if isinstance(id_, str | int | float) and not isinstance(id_, bool) else None


def read(message: dict[str, Any], version: str | None) -> Call:
    """Read a request; `version` is what its header says. Raises `A2AError`."""
    method, params = message.get("method"), message.get("params")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise InvalidRequestError("a request has `jsonrpc`, which is 2.0, and a `method`")
    if message.get("id") is not None and id_of(message) is None:
        raise InvalidRequestError("id: is neither a text nor a number")
    if version and version.strip().split(".")[:2] not in ([*OLD.split(".")], [*NEW.split(".")]):
        raise VersionNotSupportedError(f"A2A-Version {version[:20]} is neither {OLD} nor {NEW}")
    if method in OLD_NAMES:
        name = OLD_NAMES[method]
        return Call(OLD, name, id_of(message), old().request(name, message))
    if method not in REQUESTS:
        raise MethodNotFoundError(f"there is no method {method[:100]}")
    if params is not None and not isinstance(params, dict):
        raise InvalidParamsError("params: must be an object")
    try:
        request = ParseDict(params or {}, REQUESTS[method](), ignore_unknown_fields=True)
    except (ParseError, TypeError, ValueError, AttributeError) as error:
        raise InvalidParamsError(f"params: {str(error)[:200]}") from None
    return Call(NEW, method, id_of(message), request)


def answer(call: Call, said: Any) -> dict[str, Any]:
    """The JSON-RPC answer to a call."""
    return {"jsonrpc": "2.0", "id": call.id, "result": result(call.generation, said)}


def result(generation: str, said: Any) -> Any:
    """An answer's JSON, in the words of a generation."""
    if generation == OLD:
        return old().result(said)
    if said is None:
        return {}
    if isinstance(said, pb.ListTasksResponse):
        return MessageToDict(said, always_print_fields_with_no_presence=True)
    return MessageToDict(said)


def error(id_: Any, problem: A2AError, *, is_old: bool) -> dict[str, Any]:
    """The JSON-RPC answer that says what is wrong."""
    code = JSON_RPC_ERROR_CODE_MAP.get(type(problem), INTERNAL_CODE)
    if is_old and FIRST_NEW_CODE >= code > FIRST_NEW_CODE - 92:
        code = INTERNAL_CODE
    said: dict[str, Any] = {"code": code, "message": problem.message}
    if not is_old:
        said["data"] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": A2A_ERROR_REASONS.get(type(problem), "INTERNAL"),
                "domain": "a2a-protocol.org",
            }
        ]
    return {"jsonrpc": "2.0", "id": id_, "error": said}
