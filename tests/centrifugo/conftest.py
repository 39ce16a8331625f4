"""A stack set up as Centrifugo's clients expect their server to be."""

from collections.abc import Iterator

import pytest

from localstack.stack import LocalStack, remove
from tests.centrifugo.conformance import set_up


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of its own: it signs with a secret that everybody knows."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder) as stack, set_up(stack):
        yield stack
    remove(folder / "cdk.out")
