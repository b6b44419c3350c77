"""Whose call it is, when proxies say so and when strangers do."""

from ipaddress import ip_network

import pytest

from auth.address import caller_address

NOBODY = ()
OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("connection", "forwarded", "trusted", "caller"),
    [
        ("203.0.113.9", None, NOBODY, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", NOBODY, "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", NOBODY, "10.0.0.1"),
        ("203.0.113.9", "198.51.100.1", OURS, "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", OURS, "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", OURS, "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", OURS, "198.51.100.1"),
        ("10.0.0.1", "10.9.9.9,10.0.0.2", OURS, "10.9.9.9"),
        ("10.0.0.1", None, OURS, "10.0.0.1"),
        ("10.0.0.1", "", OURS, "10.0.0.1"),
        ("fd00::1", "2001:db8::7", OURS, "2001:db8::7"),
        ("10.0.0.1", "not an address, 10.0.0.2", OURS, "not an address"),
        (None, "198.51.100.1", OURS, "unknown"),
        (None, None, NOBODY, "unknown"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_is_the_caller(
    connection, forwarded, trusted, caller
):
    assert caller_address(connection, forwarded, trusted) == caller
