"""What readers fetch: segments are paid for by size, so nobody fetches what is not asked for."""

from collections.abc import Iterator

import pytest

from shared import namespaces
from shared.adapters.memory import MemoryStreamStore
from shared.domain.segment import Segment
from shared.services.append import Append, Submission
from shared.services.history import History
from shared.services.streams import Streams
from tests.unit.stack import Clock, publication

CHANNEL = "room:1"


class CountingStore(MemoryStreamStore):
    """Counts the segments that were fetched by walking back."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = 0

    def backward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        for segment in super().backward(channel, epoch, offset):
            self.fetched += 1
            yield segment


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_latest_few_cost_as_many_segments_as_hold_them(count: int) -> None:
    store = CountingStore()
    streams = Streams(store, namespaces.parse(""), Clock())
    append = Append(streams)
    for number in range(5):  # one segment each
        append.execute(CHANNEL, [Submission(publication(f"m{number}"))])
    _, page = History(streams).latest(CHANNEL, count)
    assert len(page.publications) == count
    assert store.fetched == count
