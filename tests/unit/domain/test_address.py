"""The address by which a client counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.address import client_address


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:32554", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("testclient", ""),
        ("192.0.2.1, 192.0.2.2", ""),
        ("192.0.2.1\r\nx: y", ""),
    ],
)
def test_it_is_an_ipv4_address_or_an_ipv6_network(peer: str, counted: str) -> None:
    assert client_address(peer) == counted


@given(network=st.integers(0, 2**64 - 1), one=st.integers(0, 2**64 - 1), other=st.integers(0, 2**64 - 1))
def test_no_address_of_a_network_counts_by_itself(network: int, one: int, other: int) -> None:
    def text(host: int) -> str:
        whole = f"{network:016x}{host:016x}"
        return ":".join(whole[start : start + 4] for start in range(0, 32, 4))

    if network:  # ::/64 has the mapped IPv4 addresses
        assert client_address(text(one)) == client_address(text(other)) != ""
