"""Streams and long polls that are held open."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeldStream:
    """One of them.

    Attributes:
        address: Where its client is, as :func:`shared.domain.address.client_address` has it; empty if nobody knows.
        expires_at_s: When it has ended, whatever was heard of it.
    """

    reader: str
    user_id: str
    address: str
    expires_at_s: int

    def fits(self, others: Sequence["HeldStream"], *, user_at_most: int, address_at_most: int, at_most: int) -> bool:
        """Tell whether one more can be held beside these."""
        of_user = sum(one.user_id == self.user_id for one in others)
        of_address = sum(one.address == self.address for one in others)
        at_home = not self.address or of_address < address_at_most
        return at_home and of_user < user_at_most and len(others) < at_most
