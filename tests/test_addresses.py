"""Where callers are said to be, and whose word counts on it."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import forwarded_address, network_of

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    "peer, said, found",
    [
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "6.6.6.6,192.0.2.7,10.0.0.2 , fd00::1", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "6.6.6.6", "192.0.2.7"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, _hidden", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7:4711", "10.0.0.1"),
        ("", "192.0.2.7", ""),
    ],
)
def test_the_last_hop_that_is_not_ours_is_the_caller(peer: str, said: str, found: str) -> None:
    assert forwarded_address(peer, said, OURS) == found


@given(st.text(max_size=60), st.text(alphabet="0123456789abcdef.:, %\0", max_size=60))
def test_a_stranger_cannot_say_that_they_are_elsewhere(peer: str, said: str) -> None:
    assert forwarded_address(peer, said, ()) == peer
    assert forwarded_address("192.0.2.7", said, OURS) == "192.0.2.7"


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("a.b", "unknown"),
    ],
)
def test_a_network_is_what_one_subscriber_holds(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_of_one_64_are_one(address: object, host: int) -> None:
    first = ip_address(str(address))
    second = ip_address(int(first) >> 64 << 64 | host)
    if network_of(str(first)).endswith("/64") and network_of(str(second)).endswith("/64"):
        assert network_of(str(first)) == network_of(str(second))
