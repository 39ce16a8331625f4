"""What the lockfiles name: everything, for the advisories; and what is deployed or shipped, for licences and SBOMs."""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

ROOT: Final = Path(__file__).resolve().parent.parent.parent
UV_LOCKS: Final = (ROOT / "uv.lock", *sorted(ROOT.glob("*/*/uv.lock")))  # bench/peers and its like
NPM_LOCKS: Final = (ROOT / "package-lock.json", *sorted(ROOT.glob("tools/*/package-lock.json")))  # tools/site
LAYERS: Final = ("functions", "publish", "http", "stream", "canary", "issuers")  # dependency groups
_PROJECT: Final = "tidewire-backend"
_CLIENT: Final = "tidewire"
_WEB: Final = "web"

Ecosystem = Literal["pypi", "npm", "github"]


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package as a lockfile has it; ``licence`` is an SPDX expression, where the lockfile tells one."""

    ecosystem: Ecosystem
    name: str
    version: str
    requires: tuple[str, ...] = ()
    licence: str | None = None


def everything_python(locks: Iterable[Path] = UV_LOCKS) -> set[tuple[str, str]]:
    """Return name and version of all that comes from an index, into any environment of this repository."""
    return {
        (package["name"], package["version"])
        for lock in locks
        for package in _uv_lock(lock)
        if "registry" in package["source"]
    }


def in_layers(lock: Path = UV_LOCKS[0]) -> list[Package]:
    """Return what is deployed with the functions."""
    packages = {package["name"]: package for package in _uv_lock(lock)}
    groups = packages[_PROJECT]["dev-dependencies"]
    return _closure(packages, [requirement for group in LAYERS for requirement in groups[group]])


def of_client(lock: Path = UV_LOCKS[0]) -> list[Package]:
    """Return what the Python client and its command line need."""
    packages = {package["name"]: package for package in _uv_lock(lock)}
    client = packages[_CLIENT]
    return _closure(packages, [*client["dependencies"], *client["optional-dependencies"]["cli"]])


def in_pages(lock: Path = NPM_LOCKS[0]) -> list[Package]:
    """Return what is bundled with the pages. The browser client itself needs nothing."""
    packages: dict[str, Any] = json.loads(lock.read_text())["packages"]
    found: dict[str, Package] = {}
    waiting = list(_npm_requires(packages[_WEB]))
    while waiting:
        name = waiting.pop()
        entry = packages[f"node_modules/{name}"]
        if name in found or entry.get("link"):  # a link is a workspace: our own
            continue
        requires = tuple(_npm_requires(entry))
        found[name] = Package("npm", name, entry["version"], requires, entry.get("license"))
        waiting += requires
    return sorted(found.values())


def _uv_lock(lock: Path) -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads(lock.read_text())["package"]
    return packages


def _npm_requires(entry: Mapping[str, Any]) -> Iterator[str]:
    yield from entry.get("dependencies", {})


def _closure(packages: Mapping[str, Mapping[str, Any]], roots: Iterable[Mapping[str, Any]]) -> list[Package]:
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        requirement = waiting.pop()
        entry = packages[requirement["name"]]
        for extra in ("", *requirement.get("extra", ())):
            if (entry["name"], extra) in seen:
                continue
            seen.add((entry["name"], extra))
            more = entry.get("optional-dependencies", {}).get(extra, []) if extra else entry.get("dependencies", [])
            found.setdefault(entry["name"], set()).update(one["name"] for one in more)
            waiting += more
    return sorted(
        Package("pypi", name, packages[name]["version"], tuple(sorted(requires))) for name, requires in found.items()
    )
