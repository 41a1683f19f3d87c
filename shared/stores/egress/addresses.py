"""Which addresses are the open internet: a table of our own, since `is_global` lets some of these pass."""

from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

# What is refused, and what it is. A row may lie within another: the first that fits gives the reason.
_REFUSED = (
    ("0.0.0.0/8", "this network: Linux connects 0.0.0.0 to itself"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared behind carriers' NAT, and a metadata service of one cloud"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "the host agent of one cloud, reachable from each of its machines"),
    ("169.254.0.0/16", "link-local, and the metadata service of most clouds"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "for protocols, and a metadata service of one cloud"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a relay of 6to4"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks of networks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified: Linux connects it to itself"),
    ("::1/128", "loopback"),
    ("::ffff:0:0/96", "an IPv4 address, mapped: its own spelling is the one that is checked"),
    ("::ffff:0:0:0/96", "an IPv4 address, translated"),
    ("::/96", "an IPv4 address in the old compatible form"),
    ("64:ff9b::/96", "an IPv4 address behind NAT64, which may be a private one"),
    ("64:ff9b:1::/48", "an IPv4 address behind a local NAT64"),
    ("100::/64", "discarded"),
    ("2001::/32", "Teredo, which carries an IPv4 address"),
    ("2001:2::/48", "for benchmarks of networks"),
    ("2001:10::/28", "hashes of keys, which are no places"),
    ("2001:20::/28", "hashes of keys, which are no places"),
    ("2001::/23", "for protocols"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4, which carries an IPv4 address"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing, within one network"),
    ("fc00::/7", "private, and a metadata service of two clouds"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
# Whatever else lies outside is not handed out yet; somebody may use it at home.
_GLOBAL_V6 = IPv6Network("2000::/3")


@cache
def _table() -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
    return tuple((ip_network(network), what) for network, what in _REFUSED)


def refused_networks() -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(network for network, _ in _table())


def parsed(text: str) -> Address | None:
    """None for what is no address, or one that only means something on one of our own links."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, IPv6Address) and address.scope_id is not None else address


def refusal(address: Address) -> str | None:
    """Why it is not the open internet; None where it is."""
    for network, what in _table():
        if address.version == network.version and address in network:
            return what
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "not handed out to anyone"
    return None
