"""The janitor: who has gone without a word is found, who lives is left alone and looked at again."""

from tests.unit.stack import MemoryStack


def sweep(stack: MemoryStack, *, has_time: bool = True) -> int:
    return stack.janitor.sweep(lambda: has_time)


def test_who_went_without_a_word_is_gone_after_twelve_minutes() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    stack.connect("here", "bob")
    for connection_id in ("gone", "here"):
        stack.ask(connection_id, {"type": "subscribe", "channel": "room:a"})
    del stack.transport.inboxes["gone"]
    for _ in range(10):
        stack.clock.pass_s(60)
        assert sweep(stack) == 0
    stack.clock.pass_s(120)
    assert sweep(stack) == 1
    assert stack.connections.get("gone") is None
    assert stack.connections.subscribers("room:a").connection_ids == ["here"]
    assert stack.metrics.values["StaleConnectionsRemoved"] == [1]


def test_who_lives_is_asked_again() -> None:
    stack = MemoryStack()
    stack.connect("here", "ann")
    stack.clock.pass_s(720)
    assert sweep(stack) == 0
    del stack.transport.inboxes["here"]
    stack.clock.pass_s(720)
    assert sweep(stack) == 1


def test_a_minute_that_there_was_no_time_for_is_swept_by_the_next() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    del stack.transport.inboxes["gone"]
    stack.clock.pass_s(3600)
    assert sweep(stack, has_time=False) == 0
    assert sweep(stack) == 1
    assert sweep(stack) == 0


def test_a_session_survives_what_the_janitor_takes() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    session = stack.connections.get("gone")
    del stack.transport.inboxes["gone"]
    stack.clock.pass_s(720)
    sweep(stack)
    assert session is not None
    assert session.session_id is not None
    assert stack.connections.session(session.session_id) is not None
    stack.clock.pass_s(121)
    assert stack.connections.session(session.session_id) is None
