"""How ``bench/order`` counts."""

from bench.order.tally import Tally


def test_gaps_disorder_and_repeats_are_counted_apart() -> None:
    tally = Tally()
    for offset in (1, 2, 5, 3, 3, 6, 4, 8):
        tally.add(offset)
    assert (tally.gaps, tally.disordered, tally.repeats) == (2, 2, 1)
    assert tally.missing(9) == 2


def test_what_a_client_is_told_that_it_lacks_is_not_lost_unseen() -> None:
    tally = Tally()
    tally.add(1)
    tally.begin_anew(4)
    tally.add(5)
    tally.add(7)
    assert (tally.gaps, tally.anew, tally.missing(7)) == (1, 3, 1)
