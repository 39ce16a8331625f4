"""Pacing: as many turns a second as there may be, whoever asks."""

import pytest

from shared.domain.rate import Pacer


def test_turns_are_spread_and_none_is_saved_up() -> None:
    now_s = [100.0]
    pacer = Pacer(10, lambda: now_s[0])
    assert [round(pacer.turn(), 3) for _ in range(4)] == [0, 0.09, 0.19, 0.29]
    now_s[0] = 200.0
    assert [round(pacer.turn(), 3) for _ in range(2)] == [0, 0.09]


def test_who_comes_a_little_late_for_each_turn_has_as_many_of_them() -> None:
    now_s = [100.0]
    pacer, turns = Pacer(1000, lambda: now_s[0]), 0
    while now_s[0] < 101:
        while pacer.turn() == 0:
            turns += 1
        now_s[0] += 0.0023
        turns += 1  # the one that was waited for
    assert turns == pytest.approx(1000, rel=0.02)
