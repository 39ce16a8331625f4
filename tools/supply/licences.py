"""The licences of what is deployed or shipped: of those that are allowed, or with a reason.

Read from the metadata of what is installed here, and from package-lock.json: no network.
"""

import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from tools.supply.locked import Package

# They ask for no more than that their text and their authors' names come along.
ALLOWED: Final = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0", "Unlicense"}
)
# Others, by package: their licence, and why that is right here.
EXCEPTIONS: Final = {
    "certifi": (
        "MPL-2.0",
        "asks that changes to its own files are published; there are none, and what uses it is not concerned",
    ),
}
# What is not installed where this is run, and so can't be asked.
_READ_BY_HAND: Final = {
    "colorama": "BSD-3-Clause",  # for Windows alone: github.com/tartley/colorama, LICENSE.txt
}
# Older metadata has it here alone: packaging.python.org/en/latest/specifications/core-metadata
_CLASSIFIERS: Final = {
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
}
_KNOWN: Final = ALLOWED | {licence for licence, _why in EXCEPTIONS.values()}


def with_licences(packages: Iterable[Package]) -> list[Package]:
    """Return the packages with the licences that they tell, where they tell any."""
    return [package if package.licence else replace(package, licence=_told(package)) for package in packages]


def problems(packages: Iterable[Package], exceptions: Mapping[str, tuple[str, str]] = EXCEPTIONS) -> list[str]:
    """Return what is not allowed, and exceptions that no package needs."""
    found, needed = [], set()
    for package in packages:
        if exceptions.get(package.name, ("",))[0] == package.licence:
            needed.add(package.name)
        elif package.licence is None:
            found.append(f"{package.name} {package.version} tells no licence: read it, then tools/supply/licences.py")
        elif not _is_allowed(package.licence):
            found.append(f"{package.name} {package.version} is under {package.licence}: replace it, or say why not")
    return [*found, *(f"the exception for {name} is needed no more" for name in exceptions if name not in needed)]


def _is_allowed(expression: str) -> bool:
    """Whether one may choose licences that are allowed. What has parentheses is for somebody to read."""
    return any(set(choice.split(" AND ")) <= ALLOWED for choice in expression.split(" OR "))


def _told(package: Package) -> str | None:
    if package.ecosystem != "pypi":
        return None
    try:
        metadata = importlib.metadata.metadata(package.name)
    except importlib.metadata.PackageNotFoundError:
        return _READ_BY_HAND.get(package.name)
    expression, text = (next(iter(metadata.get_all(key) or []), None) for key in ("License-Expression", "License"))
    if expression or text in _KNOWN:
        return expression or text
    by_classifier = {_CLASSIFIERS.get(classifier) for classifier in metadata.get_all("Classifier") or []}
    return " AND ".join(sorted(filter(None, by_classifier))) or text
