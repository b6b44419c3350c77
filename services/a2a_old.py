"""The older generation, 0.3, in the words of the newer one, by the SDK's own conversions.

Its types take a quarter of a second to load, so this module is loaded beside the start.
"""

from collections.abc import Callable
from typing import Any, Final

from a2a.compat.v0_3 import conversions
from a2a.compat.v0_3 import types as old
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import InvalidParamsError
from pydantic import ValidationError

REQUESTS: Final[dict[str, tuple[Any, Callable[[Any], Any]]]] = {
    "SendMessage": (old.SendMessageRequest, conversions.to_core_send_message_request),
    "SendStreamingMessage": (
        old.SendStreamingMessageRequest,
        conversions.to_core_send_message_request,
    ),
    "GetTask": (old.GetTaskRequest, conversions.to_core_get_task_request),
    "CancelTask": (old.CancelTaskRequest, conversions.to_core_cancel_task_request),
    "SubscribeToTask": (
        old.TaskResubscriptionRequest,
        conversions.to_core_subscribe_to_task_request,
    ),
    "CreateTaskPushNotificationConfig": (
        old.SetTaskPushNotificationConfigRequest,
        conversions.to_core_create_task_push_notification_config_request,
    ),
    "GetTaskPushNotificationConfig": (
        old.GetTaskPushNotificationConfigRequest,
        conversions.to_core_get_task_push_notification_config_request,
    ),
    "ListTaskPushNotificationConfigs": (
        old.ListTaskPushNotificationConfigRequest,
        conversions.to_core_list_task_push_notification_config_request,
    ),
    "DeleteTaskPushNotificationConfig": (
        old.DeleteTaskPushNotificationConfigRequest,
        conversions.to_core_delete_task_push_notification_config_request,
    ),
    "GetExtendedAgentCard": (
        old.GetAuthenticatedExtendedCardRequest,
        conversions.to_core_get_extended_agent_card_request,
    ),
}


def request(method: str, message: dict[str, Any]) -> Any:
    """A message as the newer generation's request; raises `InvalidParamsError`."""
    model, convert = REQUESTS[method]
    try:
        return convert(model.model_validate({"id": 0, **message}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise InvalidParamsError(f"{place}: {first['msg']}") from None
    except (ValueError, TypeError) as error:
        raise InvalidParamsError(str(error)[:200]) from None


def result(answer: Any) -> Any:
    """An answer of the newer generation as the older one's JSON."""
    if answer is None:
        return None
    if isinstance(answer, pb.ListTaskPushNotificationConfigsResponse):
        return [result(each) for each in answer.configs]
    if isinstance(answer, pb.TaskPushNotificationConfig):
        made: Any = conversions.to_compat_task_push_notification_config(answer)
    elif isinstance(answer, pb.StreamResponse):
        made = conversions.to_compat_stream_response(answer, 0).result
    else:
        made = conversions.to_compat_task(answer)
    return made.model_dump(mode="json", by_alias=True, exclude_none=True)
