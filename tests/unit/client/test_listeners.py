"""Listeners: who is called, and what becomes of those that raise."""

from tidewire.listeners import Listeners


def test_each_is_called_in_order_until_it_is_ended_by_whomever() -> None:
    called: list[str] = []
    listeners: Listeners[[str], None] = Listeners(lambda _: None)

    def first(word: str) -> None:
        called.append(f"first {word}")
        end_second()

    listeners.add(first)
    end_second = listeners.add(lambda word: called.append(f"second {word}"))
    end_again = listeners.add(first)
    listeners.add(lambda word: called.append(f"last {word}"))
    listeners.call("a")
    end_again()
    end_again()
    listeners.call("b")
    assert called == ["first a", "first a", "last a", "first b", "last b"]


def test_one_that_raises_breaks_nothing_but_itself() -> None:
    reports: list[BaseException] = []
    called: list[int] = []
    listeners: Listeners[[int], object] = Listeners(reports.append)
    listeners.add(lambda number: number / 0)
    listeners.add(called.append)
    listeners.call(1)
    assert ([type(error) for error in reports], called) == ([ZeroDivisionError], [1])


def test_one_that_would_have_to_be_awaited_is_told_of() -> None:
    reports: list[BaseException] = []
    called: list[int] = []
    listeners: Listeners[[int], object] = Listeners(reports.append)

    async def later(number: int) -> None:
        called.append(number)

    listeners.add(later)
    listeners.add(called.append)
    listeners.call(1)
    assert ([type(error) for error in reports], called) == ([TypeError], [1])
    assert "later" in str(reports[0])
