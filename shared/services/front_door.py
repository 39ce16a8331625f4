"""The way in, where a stage has CloudFront: a secret shows who came by it, and it says from which address."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contract import HEADER_FRONT_SECRET, HEADER_VIEWER_ADDRESS
from shared.errors import ForbiddenError
from shared.ports import SharedSecret


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """Lets in who came by CloudFront, past its firewall, and nobody else."""

    secret: SharedSecret

    def address(self, headers: Mapping[str, str], peer: str) -> str:
        """Return the address of the client.

        Args:
            headers: The request's, by their names in lower case.
            peer: Who opened the connection; behind CloudFront that is CloudFront.

        Raises:
            ForbiddenError: It came another way.
            UnavailableError: The secret can't be read.
        """
        if not self.secret.is_known(headers.get(HEADER_FRONT_SECRET, "")):
            raise ForbiddenError("clients are served at the HttpUrl of the deployment, not at this address")
        return headers.get(HEADER_VIEWER_ADDRESS, peer)
