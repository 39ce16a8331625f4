"""What Centrifugo's own Python client holds a server to, on the deployed stack."""

from pathlib import Path
from typing import Final

import pytest

from localstack.stack import LocalStack
from tests.centrifugo.conformance import run, unpack

_TESTS: Final = 62

pytestmark = pytest.mark.timeout(900)


def test_all_tests_of_the_client_pass(theirs: LocalStack, tmp_path: Path) -> None:
    outcome = run(theirs, unpack(tmp_path))

    assert not outcome.failed, outcome.output[-20_000:]
    assert outcome.run == _TESTS
