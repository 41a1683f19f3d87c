"""What counts as the open internet, row by row."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.stores.egress.addresses import _REFUSED, parsed, refusal
from shared.stores.egress.dialer import is_this_machine

OPEN = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "168.63.129.15", "169.253.255.255", "172.15.255.255", "172.32.0.0"),
    *("192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "2a00:1450::1", "3fff:1000::1"),
]


@pytest.mark.parametrize("network, what", _REFUSED)
def test_both_ends_of_each_row_are_refused(network: str, what: str) -> None:
    row = ip_network(network)
    assert refusal(row[0]) is not None
    assert refusal(row[-1]) is not None
    assert what in [said for said in (refusal(row[0]), refusal(row[-1]), refusal(row[row.num_addresses // 2])) if said]


@pytest.mark.parametrize("text", OPEN)
def test_what_lies_between_the_rows_is_open(text: str) -> None:
    assert refusal(ip_address(text)) is None


@given(st.ip_addresses(v=4))
def test_nothing_that_python_knows_as_special_is_open(address: IPv4Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved
    assert not special or refusal(address) is not None


@given(st.ip_addresses(v=6))
def test_nothing_that_python_knows_as_special_is_open_in_ipv6(address: IPv6Address) -> None:
    carried = (address.ipv4_mapped, address.sixtofour, address.teredo)
    special = not address.is_global or address.is_multicast or address.is_site_local or any(carried)
    assert not special or refusal(address) is not None


@given(st.ip_addresses(v=4))
def test_no_ipv6_address_that_carries_another_is_open(carried: IPv4Address) -> None:
    number = int(carried)
    prefixes = ("::ffff:0:0", "::ffff:0:0:0", "::", "64:ff9b::", "64:ff9b:1::")
    inside = [IPv6Address(int(IPv6Address(prefix)) + number) for prefix in prefixes]
    inside += [IPv6Address((0x2002 << 112) + (number << 80)), IPv6Address((0x20010000 << 96) + number)]
    assert [address for address in inside if refusal(address) is None] == []


@pytest.mark.parametrize("text", ["127.1", "0x7f.1", "1.1.1.01", "fe80::1%lo", "1.1.1.1 ", "localhost", "", "1"])
def test_what_is_no_plain_address_is_none(text: str) -> None:
    assert parsed(text) is None


def test_a_machine_knows_its_own_addresses() -> None:
    assert is_this_machine(ip_address("127.0.0.1"))
    assert not is_this_machine(ip_address("192.0.2.1"))
