"""Whose address counts: of clients that nobody has been told the name of."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

# What one subscriber is given, and may pick any address of: RFC 6177, section 2.
_IPV6_PREFIX: Final = 64


def client_address(peer: str) -> str:
    """Return the address that a request is counted by; an empty one if it is not known, and then nothing is counted.

    IPv6 addresses are counted by their networks of 64 bits.

    Args:
        peer: The client, as API Gateway, Lambda or the edge tell it, or CloudFront where the stage has it.
    """
    try:
        # API Gateway has been seen to add a port: github.com/aws-powertools/powertools-lambda-python/issues/7288.
        address = ip_address(peer.partition(":")[0] if peer.count(":") == 1 else peer)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))
