"""Where a caller is: behind gateways that are believed, and as the network that one subscriber holds."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = tuple[IPv4Network | IPv6Network, ...]

_SUBSCRIBER_BITS = 64


def forwarded_address(peer: str, forwarded_for: str, trusted: Networks) -> str:
    """The last address in the chain that no gateway of ours has; what is not an address ends the search.

    Each gateway appends whom it heard, so all that stands before the first stranger is the stranger's own word.
    """
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not _is_one_of(address, trusted) or _parsed(hop.strip()) is None:
            break
        address = hop.strip()
    return address


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """An IPv4 address itself, the /64 of an IPv6 one: who has one address there has them all."""
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _SUBSCRIBER_BITS), strict=False))
    return str(parsed)


def _is_one_of(address: str, networks: Networks) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address in IPv6 clothes is that IPv4 address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
