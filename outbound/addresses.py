"""Which network addresses outbound calls may reach: the public internet's, and no others."""

import ipaddress
from collections.abc import Collection
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK: Final = "loopback"
PRIVATE: Final = "private"
LINK_LOCAL: Final = "link-local"
METADATA: Final = "metadata"
MULTICAST: Final = "multicast"
UNSPECIFIED: Final = "unspecified"
TRANSITION: Final = "transition"
RESERVED: Final = "reserved"

FOR_SELF_HOSTERS: Final = frozenset({LOOPBACK, PRIVATE})
"""The kinds that `RENSEI_ALLOWED_PRIVATE_HOSTS` opens; the others stay shut for everybody."""

# The first network that holds an address names its kind.
_KINDS: Final = [
    (ipaddress.ip_network(network), kind)
    for kind, networks in [
        (
            METADATA,
            # What clouds answer credentials on; some of it lies in ranges that look harmless.
            """169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 168.63.129.16/32
            192.0.0.192/32 fd00:ec2::254/128 fd20:ce::254/128""",
        ),
        (UNSPECIFIED, "0.0.0.0/8 ::/128"),
        (LOOPBACK, "127.0.0.0/8 ::1/128"),
        (
            TRANSITION,
            # IPv4 inside IPv6 (mapped, translated, compatible, NAT64, Teredo, 6to4) and 6to4's
            # relay: the address that is reached in the end is another one.
            """::ffff:0:0/96 ::ffff:0:0:0/96 ::/96 64:ff9b::/96 64:ff9b:1::/48 2001::/32 2002::/16
            192.88.99.0/24""",
        ),
        (LINK_LOCAL, "169.254.0.0/16 fe80::/10"),
        (PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10"),
        (MULTICAST, "224.0.0.0/4 ff00::/8"),
        (
            RESERVED,
            """192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
            100::/64 2001::/23 2001:db8::/32 3fff::/20""",
        ),
    ]
    for network in networks.split()
]
_GLOBAL_IPV6: Final = ipaddress.ip_network("2000::/3")
_ISATAP: Final = 0x5EFE
_ISATAP_MASK: Final = 0xFDFFFFFF


def kind_of(address: Address) -> str | None:
    """What is wrong with an address, as one word; None for an address of the public internet."""
    for network, kind in _KINDS:
        if address.version == network.version and address in network:
            return kind
    if isinstance(address, ipaddress.IPv6Address):
        if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
            return TRANSITION
        if address not in _GLOBAL_IPV6:
            return RESERVED
    return None if address.is_global else RESERVED


def is_odd_spelling(host: str) -> bool:
    """Whether a host is a number in a form that only some readers take for an address.

    `2130706433`, `0x7f.1`, `0177.0.0.1` and `127.1` are all 127.0.0.1 to a resolver.
    """
    last = host.removesuffix(".").rpartition(".")[2]
    if not (last.isdigit() or last.startswith("0x")):
        return False
    try:
        return str(ipaddress.IPv4Address(host)) != host
    except ValueError:
        return True


def is_listed(host: str, port: int, listed: Collection[str]) -> bool:
    """Whether `host` or `host:port` is in the list; IPv6 addresses stand in brackets there."""
    name = f"[{host}]" if ":" in host else host
    return name in listed or f"{name}:{port}" in listed
