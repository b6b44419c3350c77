"""What a clone URL says of a repository, on GitHub above all."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

# As `git clone` takes them: https and ssh URLs, and the short form `git@github.com:acme/billing`.
_URL: Final = re.compile(
    r"(?:https?://|ssh://|git://)(?:[^/@\s]*@)?(?P<host>[^/:\s]+)(?::\d+)?/(?P<path>\S+)"
)
_SHORT: Final = re.compile(r"(?:[^/@\s]+@)?(?P<host>[^/:\s]+):(?P<path>[^/\s]\S*)")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}/[A-Za-z0-9._-]{1,100}")


def host_of_api(api_url: str) -> str:
    """The host on which the repositories of an API lie.

    `api.github.com` speaks for `github.com`, and so does every `api.` host of the data-resident
    clouds; an Enterprise Server has its API on its own host.
    """
    return (urlsplit(api_url).hostname or "").removeprefix("api.")


def full_name(clone_url: str, host: str) -> str | None:
    """`owner/name` of a repository on this host; None for any other."""
    found = _read(clone_url)
    return found[1] if found is not None and found[0] == host else None


def place(clone_url: str) -> str | None:
    """`host/owner/name` in lower case, equal for all clone URLs of one repository."""
    found = _read(clone_url)
    return None if found is None else "/".join(found).lower()


def places(clone_urls: Iterable[str | None]) -> list[str]:
    """The places of those that have one, each once."""
    found = (place(url) for url in clone_urls if url)
    return list(dict.fromkeys(each for each in found if each))


def _read(clone_url: str) -> tuple[str, str] | None:
    """Host and `owner/name`; None when it has no such form."""
    found = _URL.fullmatch(clone_url) or _SHORT.fullmatch(clone_url)
    if found is None:
        return None
    name = found["path"].rstrip("/").removesuffix(".git")
    usable = _NAME.fullmatch(name) and not name.endswith(("/.", "/.."))
    return (found["host"].lower(), name) if usable else None


def https_url(clone_url: str, host: str) -> str:
    """Where a token clones a repository from, whichever way the project names it."""
    return f"https://{host}/{full_name(clone_url, host)}.git"
