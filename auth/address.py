"""Whose call it is by address: the connection's, or what a trusted proxy says of it."""

import ipaddress
from collections.abc import Sequence

from settings import Network

UNKNOWN = "unknown"


def caller_address(
    connection: str | None, forwarded_for: str | None, trusted: Sequence[Network]
) -> str:
    """The nearest address that is not one of our own proxies.

    `X-Forwarded-For` is read from the right, and only while each hop is trusted: everything left
    of the first stranger is that stranger's claim.
    """
    hops = [connection or UNKNOWN]
    if forwarded_for and trusted:
        hops += [hop.strip() for hop in reversed(forwarded_for.split(","))]
    for hop in hops:
        if not _is_trusted(hop, trusted):
            return hop
    return hops[-1]


def _is_trusted(hop: str, trusted: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in trusted)
