"""What tests on the deployed local stack share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from localstack.stack import LocalStack


START_TIMEOUT_S = 300  # on a busy machine; else 15 to 25
STREAM_MAX_AGE_S = 4  # by default it is 120: here every test that streams for a while sees some end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let whichever test asks for the stack first wait for its start."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[LocalStack]":
    """One stack a run: emulator, real CDK deploy, edge. Its logs stay in pytest's folder for a look at what failed."""
    from localstack.stack import LocalStack, remove  # loads all of Tidewire: only for those who ask for it

    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder, stream_max_age_s=STREAM_MAX_AGE_S) as running:
        yield running
    remove(folder / "cdk.out")  # 130 MB, and pytest keeps the folders of three runs
