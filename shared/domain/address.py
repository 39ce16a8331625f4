"""Whose address counts: of clients that nobody has been told the name of."""

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

# What one subscriber is given, and may pick any address of: RFC 6177, section 2.
_IPV6_PREFIX: Final = 64


def client_address(peer: str, viewer: str | None = None) -> str:
    """Return the address that a request is counted by; an empty one if it is not known, and then nothing is counted.

    IPv6 addresses are counted by their networks of 64 bits.

    Args:
        peer: Who has opened the connection, as API Gateway, Lambda or the edge tell it.
        viewer: CloudFront's header ``CloudFront-Viewer-Address``, an address and a port. Anybody can send one: it is
            given here alone where the secret that CloudFront sends has been checked. Source:
            docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html
    """
    # API Gateway has been seen to add a port as well: github.com/aws-powertools/powertools-lambda-python/issues/7288.
    # CloudFront puts no brackets around IPv6 addresses: github.com/DataDog/dd-trace-py/issues/14864.
    with_port = viewer if viewer is not None else peer if peer.count(":") == 1 else None
    try:
        address = ip_address(peer if with_port is None else with_port.rpartition(":")[0].strip("[]"))
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))
