"""How the secrets of A2A are sealed and opened: what peers want of us, and what clients want with
their notifications."""

from auth import keyring


def token_context(org_id: str, agent_id: str) -> str:
    """What the token for a peer is sealed with, so that rows cannot be swapped."""
    return f"a2a agent {org_id} {agent_id}"


def push_context(org_id: str, session_id: str, config_id: str) -> str:
    """What a notification's secrets are sealed with."""
    return f"a2a push {org_id} {session_id} {config_id}"


def seal(secret: str, context: str) -> bytes:
    return keyring.current().master.seal(secret.encode(), context)


def unseal(sealed: bytes, context: str) -> str:
    """The secret again; raises `WrongMasterKey`."""
    return keyring.current().master.open(sealed, context).decode()
