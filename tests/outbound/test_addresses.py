"""Which addresses are the public internet's."""

import ipaddress

import pytest

from outbound.addresses import is_listed, is_odd_spelling, kind_of


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("1.1.1.1", None),
        ("104.18.0.1", None),
        ("2606:4700::1111", None),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("192.0.2.1", "reserved"),
        ("198.18.0.1", "reserved"),
        ("2001:db8::1", "reserved"),
        ("4000::1", "reserved"),
        ("::ffff:127.0.0.1", "transition"),
        ("::ffff:8.8.8.8", "transition"),
        ("::127.0.0.1", "transition"),
        ("::ffff:0:127.0.0.1", "transition"),
        ("64:ff9b::7f00:1", "transition"),
        ("64:ff9b:1::a00:1", "transition"),
        ("2002:7f00:1::1", "transition"),
        ("2001:0:7f00:1::1", "transition"),
        ("2600::5efe:7f00:1", "transition"),
        ("2600::200:5efe:7f00:1", "transition"),
        ("192.88.99.1", "transition"),
    ],
)
def test_every_address_has_its_kind(address, kind):
    assert kind_of(ipaddress.ip_address(address)) == kind


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.01", "1.2.3.4.5",
     "127.0.0.1.", "0x7f.0.0.0x1", "256.0.0.1"],
)  # fmt: skip
def test_numbers_that_only_some_take_for_an_address_are_odd(host):
    assert is_odd_spelling(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "api.linear.app", "a1", "1.example", "::1"])
def test_plain_addresses_and_names_are_not_odd(host):
    assert not is_odd_spelling(host)


def test_a_listed_host_opens_every_port_and_a_listed_port_only_itself():
    assert is_listed("tracker.lan", 8080, ["tracker.lan"])
    assert is_listed("tracker.lan", 8080, ["tracker.lan:8080"])
    assert not is_listed("tracker.lan", 8081, ["tracker.lan:8080"])
    assert not is_listed("a.tracker.lan", 8080, ["tracker.lan"])
    assert is_listed("::1", 80, ["[::1]"])
