"""How the secret of a connection is sealed and opened."""

from auth import keyring


def secret_context(org_id: str, connection_id: str) -> str:
    """What a connection's secret is sealed with, so that rows cannot be swapped."""
    return f"connection {org_id} {connection_id}"


def seal(org_id: str, connection_id: str, secret: str) -> bytes:
    return keyring.current().master.seal(secret.encode(), secret_context(org_id, connection_id))


def unseal(org_id: str, connection_id: str, sealed: bytes) -> str:
    """The secret again; raises `WrongMasterKey`."""
    return keyring.current().master.open(sealed, secret_context(org_id, connection_id)).decode()
