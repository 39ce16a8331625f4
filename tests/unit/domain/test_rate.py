"""Pacing: as many turns a second as there may be, whoever asks."""

from shared.domain.rate import Pacer


def test_turns_are_spread_and_none_is_saved_up() -> None:
    now_s, slept = [100.0], list[float]()
    pacer = Pacer(10, lambda: now_s[0], slept.append)
    for _ in range(4):
        pacer.wait()
    assert [round(pause, 3) for pause in slept] == [0.1, 0.2, 0.3]
    now_s[0], slept[:] = 200.0, []
    for _ in range(2):
        pacer.wait()
    assert [round(pause, 3) for pause in slept] == [0.1]
