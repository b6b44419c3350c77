"""The errors of JSON-RPC 2.0 that are said before a message is understood."""

from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600


def refusal(code: int, text: str) -> dict[str, Any]:
    """What a client reads when no message could be told from its body: nobody's id."""
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": text}}
