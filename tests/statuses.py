"""Which operation answered which status with which media type, noted down when asked.

`make record` sets RENSEI_STATUS_RECORD to a folder. Every process of the tests writes a file of
its own there, at its end, so that any number of them may run at once.
"""

import atexit
import json
import os
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from tests.spec import operation_of

FOLDER: Final = os.environ.get("RENSEI_STATUS_RECORD", "")

_seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))


def note(method: str, path: str, status: int, content_type: str) -> None:
    """Note an answer to a request of the contract; others are nobody's."""
    if FOLDER and (operation := operation_of(method.upper(), "/" + path.lstrip("/"))):
        note_operation(operation.id, status, content_type)


def note_operation(operation_id: str, status: int, content_type: str) -> None:
    """Note an answer of a known operation."""
    if not FOLDER:
        return
    if not _seen:
        atexit.register(_write)
    kinds = _seen[operation_id][str(status)]
    if media_type := content_type.partition(";")[0].strip().lower():
        kinds.add(media_type)


def noting(application: Any) -> Any:
    """The application, with its answers noted: what sockets and SDKs see, no client here does."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                kind = dict(message["headers"]).get(b"content-type", b"").decode()
                note(scope["method"], scope["path"], message["status"], kind)
            await send(message)

        await application(scope, receive, sent if scope["type"] == "http" else send)

    return serve if FOLDER else application


def _write() -> None:
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    plain = {
        name: {status: sorted(kinds) for status, kinds in statuses.items()}
        for name, statuses in _seen.items()
    }
    (folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(plain), encoding="utf-8")
