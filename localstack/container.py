"""LocalStack in its container, which somebody else starts (compose.yaml) and ends: docs/localstack.md."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

from localstack.errors import StartError

# Its one port: docs.localstack.cloud/aws/capabilities/networking/internal-endpoints
DEFAULT_ENDPOINT: Final = "http://127.0.0.1:4566"
TOKEN: Final = "LOCALSTACK_AUTH_TOKEN"
ENDPOINT: Final = "LOCALSTACK_ENDPOINT"
_HEALTH_TIMEOUT_S: Final = 5


class ContainerError(StartError):
    """LocalStack can't be used; its text says what to type."""


class LocalStackContainer:
    """A LocalStack that runs; nothing here starts or ends it, so what was deployed stays in it."""

    name = "found LocalStack"

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.endpoint = environment.get(ENDPOINT) or DEFAULT_ENDPOINT
        self._has_token = bool(environment.get(TOKEN, "").strip())

    def start(self) -> None:
        """Look whether it answers.

        Raises:
            ContainerError: It does not, or nobody has a token: without one it would not start.
        """
        if not self._has_token:
            raise ContainerError(
                f"{TOKEN} is not set: copy yours from https://app.localstack.cloud, then export {TOKEN}=…"
            )
        try:
            health = f"{self.endpoint}/_localstack/health"
            urllib.request.urlopen(health, timeout=_HEALTH_TIMEOUT_S).close()  # nosec B310 # what the user named
        except (ValueError, OSError, urllib.error.URLError, http.client.HTTPException) as error:
            raise ContainerError(
                f"no LocalStack answers at {self.endpoint}: start it with docker compose up --detach --wait"
            ) from error

    def stop(self) -> None:
        """Leave it alone."""
