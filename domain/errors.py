"""Every no that this project's own code says, by meaning; `handlers/refusals.py` knows HTTP."""

from typing import ClassVar


class Refusal(Exception):
    """A request that is understood and not granted. The text is shown to the caller."""

    default: ClassVar[str] = "The request was refused"

    def __init__(self, text: str | None = None) -> None:
        self.text = text or self.default
        super().__init__(self.text)


class Invalid(Refusal):
    """The request contradicts itself or what is stored, in a way no schema can say."""

    default = "The request is not valid"


class Unauthenticated(Refusal):
    """No credential, or one that is unknown, expired or revoked."""

    default = "No credential was sent; send an Authorization: Bearer header"


class Forbidden(Refusal):
    """A good credential that may not do this."""

    default = "The credential may not do this"


class NotFound(Refusal):
    """There is no such thing, or the caller may not see it."""

    default = "Not found"


class Conflict(Refusal):
    """The present state does not allow it."""

    default = "The present state does not allow it"


class Unprocessable(Refusal):
    """The request fits the contract and contradicts an earlier one that it says it repeats."""

    default = "The request is not the one it says it repeats"


class PreconditionFailed(Refusal):
    """Somebody changed the thing after the caller had read it."""

    default = "It was changed meanwhile; read it again and send its ETag in If-Match"


class PreconditionRequired(Refusal):
    """A change that could undo somebody else's must say which state it is made from."""

    default = "Send the ETag of what you read in If-Match"


class TooMany(Refusal):
    """Too many refused attempts from one address; `retry_after` is in seconds."""

    default = "Too many requests"

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__()


class Unavailable(Refusal):
    """Something the operation needs is missing now; `retry_after` is in seconds."""

    default = "The server cannot do this at the moment; try again"

    def __init__(self, text: str | None = None, retry_after: int = 2) -> None:
        self.retry_after = retry_after
        super().__init__(text)


class OAuthRefusal(Refusal):
    """A refusal of the token endpoint, in the words of RFC 6749 section 5.2."""

    def __init__(self, code: str, description: str, status: int) -> None:
        self.code = code
        self.description = description
        self.status = status
        super().__init__(code)
