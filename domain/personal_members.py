"""Which members of an audit payload are about a person, and how they look when encrypted.

A member is personal by its name, at any depth. Members of one object that name an e-mail address
are about whoever has that address; any other personal value is about itself. So an address, once
named, finds everything that is to be forgotten with it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

EMAILS: Final = frozenset({"email", "authorEmail", "userEmail", "actorEmail"})
PERSONAL: Final = EMAILS | {
    "actorName",
    "assigneeName",
    "authorName",
    "displayName",
    "fullName",
    "phone",
    "source",  # the network address of a refused caller
    "userName",
}

ENCRYPTED: Final = "$encrypted"
SUBJECT: Final = "$subject"

Encrypt = Callable[[str, str, str], tuple[str, str]]
"""(subject, member, value) -> (subject's id, ciphertext)."""
Decrypt = Callable[[str, str, str], str | None]
"""(subject's id, member, ciphertext) -> value, None when the subject was forgotten."""


def normal(subject: str) -> str:
    """What a subject is looked up by: spelling differs, the person does not."""
    return subject.strip().casefold()


def subjects(payload: Any) -> set[str]:
    """All whom the personal members of a payload are about."""
    return {subject for _, _, subject in _personal(payload)}


def encrypted(payload: Any, encrypt: Encrypt) -> Any:
    """The payload with its personal members encrypted."""
    if isinstance(payload, Mapping):
        whose = _whose(payload)
        made = {}
        for name, value in payload.items():
            if name in PERSONAL and isinstance(value, str) and value:
                subject_id, text = encrypt(whose or normal(value), name, value)
                made[name] = {ENCRYPTED: text, SUBJECT: subject_id}
            else:
                made[name] = encrypted(value, encrypt)
        return made
    if isinstance(payload, list):
        return [encrypted(each, encrypt) for each in payload]
    return payload


def encrypted_for(payload: Any) -> set[str]:
    """The ids of the subjects that encrypted members are about."""
    return {node[SUBJECT] for node in _boxes(payload)}


def readable(payload: Any, decrypt: Decrypt, name: str = "") -> Any:
    """The payload with its encrypted members decrypted, null where the subject was forgotten."""
    if _is_box(payload):
        return decrypt(payload[SUBJECT], name, payload[ENCRYPTED])
    if isinstance(payload, Mapping):
        return {each: readable(value, decrypt, each) for each, value in payload.items()}
    if isinstance(payload, list):
        return [readable(each, decrypt, name) for each in payload]
    return payload


def _whose(members: Mapping[str, Any]) -> str | None:
    found = (members[name] for name in sorted(EMAILS & members.keys()))
    return next((normal(each) for each in found if isinstance(each, str) and each), None)


def _personal(node: Any) -> Iterator[tuple[str, str, str]]:
    """(member, value, subject) of every personal member."""
    if isinstance(node, Mapping):
        whose = _whose(node)
        for name, value in node.items():
            if name in PERSONAL and isinstance(value, str) and value:
                yield name, value, whose or normal(value)
            else:
                yield from _personal(value)
    elif isinstance(node, list):
        for each in node:
            yield from _personal(each)


def _boxes(node: Any) -> Iterator[Mapping[str, str]]:
    if _is_box(node):
        yield node
    elif isinstance(node, Mapping):
        for each in node.values():
            yield from _boxes(each)
    elif isinstance(node, list):
        for each in node:
            yield from _boxes(each)


def _is_box(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and node.keys() == {ENCRYPTED, SUBJECT}
        and all(isinstance(value, str) for value in node.values())
    )
