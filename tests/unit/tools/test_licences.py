"""Which licences may be deployed, and how they are found out."""

from tools.supply.licences import EXCEPTIONS, problems, with_licences
from tools.supply.locked import Package, in_layers, in_pages, of_client


def _package(licence: str | None, name: str = "thing") -> Package:
    return Package("pypi", name, "1.2", licence=licence)


def test_everything_that_is_deployed_or_shipped_may_be() -> None:
    assert problems(with_licences({*in_layers(), *of_client(), *in_pages()})) == []


def test_a_licence_that_is_not_allowed_is_a_problem() -> None:
    (told,) = problems([_package("MIT"), _package("AGPL-3.0-only", "theirs")], {})
    assert told.startswith("theirs 1.2 is under AGPL-3.0-only")


def test_one_choice_has_to_be_allowed_as_a_whole() -> None:
    assert problems([_package("GPL-2.0-only OR MIT"), _package("Apache-2.0 AND MIT")], {}) == []
    assert (
        len(problems([_package("MIT AND GPL-2.0-only"), _package("(MIT OR ISC) AND MIT"), _package("Other")], {})) == 3
    )


def test_no_licence_at_all_is_a_problem() -> None:
    (told,) = problems([_package(None)], {})
    assert told.startswith("thing 1.2 tells no licence")


def test_an_exception_is_for_one_package_and_one_licence() -> None:
    exceptions = {"certifi": ("MPL-2.0", "because")}
    assert problems([_package("MPL-2.0", "certifi")], exceptions) == []
    assert len(problems([_package("MPL-2.0", "certifi"), _package("MPL-2.0")], exceptions)) == 1
    assert len(problems([_package("GPL-3.0-only", "certifi")], exceptions)) == 2


def test_an_exception_that_nobody_needs_is_a_problem() -> None:
    assert problems([_package("MIT")], {"certifi": ("MPL-2.0", "because")}) == [
        "the exception for certifi is needed no more"
    ]
    assert all(why for _licence, why in EXCEPTIONS.values())


def test_a_package_that_is_not_installed_tells_nothing() -> None:
    assert with_licences([_package(None, "no-such-package-here")]) == [_package(None, "no-such-package-here")]
    assert with_licences([Package("npm", "pydantic", "1")]) == [Package("npm", "pydantic", "1")]
