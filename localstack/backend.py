"""What stands in AWS's place behind the edge: the emulator that we start, or a LocalStack that somebody runs."""

from typing import Protocol

REGION = "us-east-1"
_ANY_KEY = "test"  # neither asks for one


class Backend(Protocol):
    """Has an address, starts (or is found running), and ends (or is left alone)."""

    @property
    def name(self) -> str:
        """What the person who starts it is told."""
        ...

    @property
    def endpoint(self) -> str:
        """Where it answers, once it has started."""
        ...

    def start(self) -> None:
        """Return when it answers.

        Raises:
            StartError: It does not.
        """
        ...

    def stop(self) -> None:
        """End what was started here."""
        ...


def aws_environment(endpoint: str) -> dict[str, str]:
    """Return the variables with which AWS's SDKs and the CDK CLI find a backend."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": _ANY_KEY,
        "AWS_SECRET_ACCESS_KEY": _ANY_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
