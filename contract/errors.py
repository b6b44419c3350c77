"""What the contract refuses, as exceptions that a table can map onto answers.

Nothing here knows HTTP bodies: `refuse`, handed to `build_app`, makes the answer.
"""

from collections.abc import Iterable


class ContractError(Exception):
    """The contract, or its wiring, cannot be served; the message lists every problem found."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(("the contract cannot be served:", *self.problems)))


class Refused(Exception):
    """A request that the contract itself turns away; the base of all that follow."""


class NoSuchPath(Refused):
    """404: no path of the contract fits."""


class MethodNotAllowed(Refused):
    """405: the path exists, under other methods, all of which stand in `allow`."""

    def __init__(self, allow: tuple[str, ...]) -> None:
        self.allow = allow
        super().__init__("method not allowed; use " + ", ".join(allow))


class BodyTooLarge(Refused):
    """413: the body is longer than `limit` bytes. It has not been read to its end."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"body: longer than {limit} bytes")


class UnsupportedMedia(Refused):
    """415: there is a body, and its type `got` (or none) is not among those `accepted`."""

    def __init__(self, got: str | None, accepted: tuple[str, ...]) -> None:
        self.got = got
        self.accepted = accepted
        super().__init__("Content-Type must be " + " or ".join(accepted))


class Malformed(Refused):
    """400: a parameter or the body breaks the contract; `message` names the place and the wish."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class NotJson(Malformed):
    """400: the body is not JSON at all."""


class ResponseBroken(Refused):
    """500: our own answer breaks the contract. Why is for the log and nowhere else."""


class Disconnected(Exception):
    """The client left before its body was complete. Nobody is there to be refused."""
