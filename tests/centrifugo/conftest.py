"""A stack set up as Centrifugo's clients expect their server to be."""

from collections.abc import AsyncIterator, Iterator

import pytest

from localstack.edge.faults import Fault, Operation
from localstack.stack import LocalStack, remove
from tests.centrifugo.conformance import set_up
from tests.clients.network import Network
from tests.integration.client import Client, dev_token


class Refusals:
    """API Gateway's: so many of the next pushes are answered 429."""

    def __init__(self) -> None:
        self.left = 0

    def next(self, operation: Operation) -> Fault | None:
        """See :class:`localstack.edge.faults.Faults`."""
        if operation != "post" or not self.left:
            return None
        self.left -= 1
        return Fault(status=429)


@pytest.fixture(scope="session")
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory, refusals: Refusals) -> Iterator[LocalStack]:
    """A stack of its own: it signs with a secret that everybody knows."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder, faults=refusals) as stack, set_up(stack):
        yield stack
    remove(folder / "cdk.out")


@pytest.fixture
async def network(theirs: LocalStack) -> AsyncIterator[Network]:
    async with Network(theirs.url) as network:
        yield network


@pytest.fixture
async def ours(theirs: LocalStack) -> AsyncIterator[Client]:
    client = await Client.open(theirs.url)
    await client.hello(dev_token(theirs.url, "bob"))
    yield client
    await client.close()
