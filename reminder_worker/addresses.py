"""Which addresses lead out into the Internet, and which to this machine or a network of ours; no I/O.

A name under someone else's control may resolve to anything: only what is surely public counts as public. The list
below holds what ``ipaddress`` does not know, or not in every version of Python.
"""

import ipaddress

_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is allocated
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address
_NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # behind a carrier's NAT; a cloud's metadata
        "168.63.129.16/32",  # a cloud's metadata, in the middle of public addresses
        "192.0.0.0/24",  # special purposes; a cloud's metadata
        "192.88.99.0/24",  # relays to IPv6
        "2001::/23",  # tunnels and special purposes
        "2002::/16",  # tunnels: such an address holds an IPv4 address
        "3fff::/20",  # documentation
    )
]


def is_public(text: str) -> bool:
    """Return whether an address, as a look-up returns it, is one on the public Internet."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED or address.ipv4_mapped:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address not in _UNICAST:
            return False
    return not (address.is_private or address.is_multicast or any(address in network for network in _NOT_PUBLIC))
