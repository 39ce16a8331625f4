"""What Centrifugo's own Python client holds a server to, on the deployed stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack.stack import LocalStack, remove
from tests.centrifugo.conformance import run, set_up, unpack

_TESTS = 62

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of its own: it signs with a secret that everybody knows."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder) as stack, set_up(stack):
        yield stack
    remove(folder / "cdk.out")


def test_all_tests_of_the_client_pass(theirs: LocalStack, tmp_path: Path) -> None:
    outcome = run(theirs, unpack(tmp_path))

    assert not outcome.failed, outcome.output[-20_000:]
    assert outcome.run == _TESTS
