"""Known vulnerabilities of all that the lockfiles name: pip-audit asks PyPI, npm asks its registry.

Who is not reached is told and fails nothing. What is found fails, unless ``ignored.toml`` says why it does not matter;
and what stands there without being found any more fails as well.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tools.supply.locked import NPM_LOCKS, ROOT, everything_python

IGNORED: Final = Path(__file__).with_name("ignored.toml")
_TIMEOUT_S: Final = 120
# What pip-audit says where it does not reach PyPI: its own words, and the names of requests' errors.
_UNREACHED: Final = ("ConnectionError", "Timeout", "Could not connect", "ServiceError", "not redirecting properly")
_NPM_ENDPOINT: Final = "/-/npm/v1/security/"

AuditedEcosystem = Literal["pypi", "npm"]
_AUDITED: Final[tuple[AuditedEcosystem, ...]] = get_args(AuditedEcosystem)


@dataclass(frozen=True, slots=True)
class Advisory:
    """A known vulnerability of a package that we have; ``ids`` are all the names that it goes by."""

    package: str
    ids: frozenset[str]
    told: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of asking: what was found, or why nobody was reached."""

    ecosystem: AuditedEcosystem
    found: Sequence[Advisory] = ()
    unreached: str | None = None


class Ignored(BaseModel):
    """An entry of ``ignored.toml``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ecosystem: AuditedEcosystem
    id: str
    reason: str = Field(min_length=20)
    since: date


class _IgnoredFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ignored: list[Ignored] = []


class AuditFailedError(Exception):
    """An audit said something that nobody understands."""


def ignored(path: Path = IGNORED) -> list[Ignored]:
    """Return what is ignored."""
    return TypeAdapter(_IgnoredFile).validate_python(tomllib.loads(path.read_text())).ignored


def problems(audits: Iterable[Audit], ignoring: Iterable[Ignored]) -> list[str]:
    """Return what fails: advisories that nobody ignores, and entries that ignore nothing."""
    audits, told = list(audits), list[str]()
    entries = {ecosystem: {entry.id for entry in ignoring if entry.ecosystem == ecosystem} for ecosystem in _AUDITED}
    for audit in audits:
        told += [advisory.told for advisory in audit.found if not advisory.ids & entries[audit.ecosystem]]
    for ecosystem, names in entries.items():
        of_it = [audit for audit in audits if audit.ecosystem == ecosystem]
        if all(audit.unreached is None for audit in of_it):
            ids = {name for audit in of_it for advisory in audit.found for name in advisory.ids}
            told += [f"{name} is found no more: take it out of {IGNORED.name}" for name in sorted(names - ids)]
    return told


def audit_python() -> list[Audit]:
    """Ask PyPI of every package of every environment."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_audit_requirements, requirement_files(everything_python())))


def audit_npm() -> list[Audit]:
    """Ask npm's registry of every package of each package-lock.json."""
    command = ["npm", "audit", "--json", "--package-lock-only", "--fetch-retries", "1"]
    return [_asked("npm", [*command, "--prefix", str(lock.parent)]) for lock in NPM_LOCKS]


def requirement_files(packages: Iterable[tuple[str, str]]) -> list[str]:
    """Return requirements in as many files as needed: pip-audit takes one version of a package at a time."""
    versions: defaultdict[str, list[str]] = defaultdict(list)
    for name, version in sorted(packages):
        versions[name].append(version)
    files: defaultdict[int, list[str]] = defaultdict(list)
    for name, ones in versions.items():
        for index, version in enumerate(ones):
            files[index].append(f"{name}=={version}\n")
    return ["".join(lines) for lines in files.values()]


def read_pip_audit(stdout: str, stderr: str) -> Audit:
    """Return what pip-audit says.

    Raises:
        AuditFailedError: It says neither what it found nor that it reached nobody.
    """
    last = (stderr.strip().splitlines() or [""])[-1]
    if not stdout.strip() and any(word in last for word in _UNREACHED):
        return Audit("pypi", unreached="PyPI is not reached")
    asked = _parsed("pip-audit", stdout, last)
    try:
        dependencies = asked["dependencies"]
        skipped = [dependency["name"] for dependency in dependencies if "skip_reason" in dependency]
        advisories = [
            Advisory(dependency["name"], frozenset({one["id"], *one["aliases"]}), _python_told(dependency, one))
            for dependency in dependencies
            if "skip_reason" not in dependency
            for one in dependency["vulns"]
        ]
    except (KeyError, TypeError) as error:
        raise AuditFailedError("pip-audit answers in another shape than it did") from error
    if dependencies and len(skipped) == len(dependencies):
        return Audit("pypi", unreached="PyPI answers for no package: it is a mirror without advisories")
    # A version that PyPI has no more was taken back, which is what is done with malware.
    gone = [Advisory(name, frozenset({name}), f"{name}: PyPI has this version no more") for name in skipped]
    return Audit("pypi", [*advisories, *gone])


def read_npm_audit(stdout: str, stderr: str) -> Audit:
    """Return what npm audit says.

    Raises:
        AuditFailedError: It says neither what it found nor that it reached nobody.
    """
    asked = _parsed("npm audit", stdout, (stderr.strip().splitlines() or [""])[-1])
    told = asked.get("message", "")
    if "error" in asked and _NPM_ENDPOINT in told:
        return Audit("npm", unreached="npm's registry answers no audit")
    if "error" in asked:
        raise AuditFailedError(f"npm audit failed: {asked['error']}")
    try:
        causes = {
            (one["name"], one["url"]): one
            for entry in asked["vulnerabilities"].values()
            for one in entry["via"]
            if isinstance(one, dict)  # else the name of a package that is told of by itself
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise AuditFailedError("npm audit answers in another shape than it did") from error
    return Audit(
        "npm",
        [
            Advisory(name, frozenset({url.rsplit("/", 1)[-1]}), f"{name} {one['range']}: {one['title']} ({url})")
            for (name, url), one in causes.items()
        ],
    )


def _audit_requirements(lines: str) -> Audit:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requirements.txt"
        file.write_text(lines)
        program = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        return _asked("pypi", [*program, "--format", "json", "--requirement", str(file)])


def _asked(ecosystem: AuditedEcosystem, command: list[str]) -> Audit:
    try:
        done = subprocess.run(  # nosec B603 # pip-audit and npm
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Audit(ecosystem, unreached=f"no answer within {_TIMEOUT_S} s")
    read = read_pip_audit if ecosystem == "pypi" else read_npm_audit
    return read(done.stdout, done.stderr)


def _parsed(program: str, stdout: str, otherwise: str) -> dict[str, Any]:
    try:
        asked = json.loads(stdout)
    except ValueError as error:
        raise AuditFailedError(f"{program} failed: {otherwise}") from error
    if not isinstance(asked, dict):
        raise AuditFailedError(f"{program} answers in another shape than it did")
    return asked


def _python_told(dependency: dict[str, Any], one: dict[str, Any]) -> str:
    fixed = ", ".join(one["fix_versions"]) or "nothing"
    return f"{dependency['name']} {dependency['version']}: {one['id']}, mended by {fixed}"
