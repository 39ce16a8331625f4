"""What audits answer, and what fails by it."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tools.supply.advisories import (
    Advisory,
    Audit,
    AuditFailedError,
    Ignored,
    ignored,
    problems,
    read_npm_audit,
    read_pip_audit,
    requirement_files,
)

_FOUND = {"id": "PYSEC-2026-7", "aliases": ["CVE-2026-1", "GHSA-aaaa"], "fix_versions": ["1.3"], "description": "…"}
_NPM_FOUND = {
    "source": 1,
    "name": "lodash",
    "title": "Prototype pollution",
    "url": "https://github.com/advisories/GHSA-bbbb",
    "range": "<4.17.21",
}


def _python(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def _sound(name: str) -> dict[str, Any]:
    return {"name": name, "version": "1.2", "vulns": []}


def _npm(vulnerabilities: dict[str, Any]) -> str:
    return json.dumps({"auditReportVersion": 2, "vulnerabilities": vulnerabilities})


def _ignoring(advisory: str, ecosystem: Any = "pypi") -> Ignored:
    return Ignored(ecosystem=ecosystem, id=advisory, reason="we do not call that part of it", since=date(2026, 11, 26))


def test_what_is_sound_is_no_problem() -> None:
    assert problems([read_pip_audit(_python(_sound("httpx")), ""), read_npm_audit(_npm({}), "")], []) == []


def test_a_vulnerability_of_a_python_package_is_a_problem() -> None:
    audit = read_pip_audit(_python(_sound("httpx"), {"name": "jinja2", "version": "1.2", "vulns": [_FOUND]}), "Found 1")
    assert problems([audit], []) == ["jinja2 1.2: PYSEC-2026-7, mended by 1.3"]


def test_a_vulnerability_of_an_npm_package_is_told_once_by_its_cause() -> None:
    vulnerabilities = {"lodash": {"via": [_NPM_FOUND]}, "upper": {"via": ["lodash"]}, "twin": {"via": [_NPM_FOUND]}}
    assert problems([read_npm_audit(_npm(vulnerabilities), "")], []) == [
        "lodash <4.17.21: Prototype pollution (https://github.com/advisories/GHSA-bbbb)"
    ]


@pytest.mark.parametrize("name", ["PYSEC-2026-7", "CVE-2026-1", "GHSA-aaaa"])
def test_an_advisory_is_ignored_by_any_of_its_names(name: str) -> None:
    audit = read_pip_audit(_python({"name": "jinja2", "version": "1.2", "vulns": [_FOUND]}), "")
    assert problems([audit], [_ignoring(name)]) == []


def test_to_ignore_what_is_found_no_more_is_a_problem() -> None:
    audits = [Audit("pypi", [Advisory("a", frozenset({"GHSA-a"}), "a")]), Audit("npm")]
    told = problems(audits, [_ignoring("GHSA-a"), _ignoring("GHSA-a", "npm"), _ignoring("GHSA-c")])
    assert told == [f"{name} is found no more: take it out of ignored.toml" for name in ("GHSA-c", "GHSA-a")]


def test_what_one_of_several_lockfiles_has_is_found() -> None:
    audits = [Audit("npm"), Audit("npm", [Advisory("a", frozenset({"GHSA-a"}), "a")])]
    assert problems(audits, [_ignoring("GHSA-a", "npm")]) == []


def test_who_was_not_asked_shows_nothing_of_what_is_ignored() -> None:
    assert problems([Audit("pypi", unreached="no network")], [_ignoring("GHSA-a")]) == []


@pytest.mark.parametrize(
    "last",
    [
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='i.example', port=443): Max retries exceeded",
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='index.example', port=443): Read timed out.",
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
        "pip_audit._service.interface.ServiceError",
    ],
)
def test_without_a_network_pypi_is_not_reached(last: str) -> None:
    assert read_pip_audit("", f"Traceback\n  somewhere\n{last}\n").unreached == "PyPI is not reached"


def test_a_mirror_without_advisories_is_not_reached_either() -> None:
    skipped = {"name": "httpx", "skip_reason": "Dependency not found on PyPI and could not be audited: httpx (0.28.1)"}
    assert read_pip_audit(_python(skipped), "").unreached


def test_one_version_that_pypi_has_no_more_is_a_problem() -> None:
    gone = {"name": "evil", "skip_reason": "Dependency not found on PyPI and could not be audited: evil (6.6)"}
    audit = read_pip_audit(_python(_sound("httpx"), gone), "")
    assert problems([audit], []) == ["evil: PyPI has this version no more"]


@pytest.mark.parametrize(
    "message",
    [
        "405 Method Not Allowed - POST https://registry.example/-/npm/v1/security/advisories/bulk",
        "request to https://registry.example/-/npm/v1/security/advisories/bulk failed, reason: getaddrinfo ENOTFOUND",
    ],
)
def test_npm_s_registry_is_not_reached(message: str) -> None:
    answer = json.dumps({"message": message, "error": {"summary": "", "detail": ""}})
    assert read_npm_audit(answer, "npm error audit endpoint returned an error").unreached


@pytest.mark.parametrize(
    "stdout", ["", "{", "[]", "null", "{}", '{"dependencies": {"a": 1}}', '{"dependencies": [{}]}']
)
def test_what_pip_audit_never_said_fails(stdout: str) -> None:
    with pytest.raises(AuditFailedError):
        read_pip_audit(stdout, "ERROR:pip_audit._cli:package boto3 has duplicate requirements")


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "<html>",
        "[]",
        "{}",
        '{"error": {"code": "ENOLOCK", "summary": "This command requires an existing lockfile."}}',
        '{"vulnerabilities": []}',
        '{"vulnerabilities": {"a": {"via": [{}]}}}',
    ],
)
def test_what_npm_never_said_fails(stdout: str) -> None:
    with pytest.raises(AuditFailedError):
        read_npm_audit(stdout, "npm error code ENOLOCK")


def test_two_versions_of_a_package_are_asked_for_apart() -> None:
    assert requirement_files({("numpy", "2.3"), ("numpy", "2.5"), ("httpx", "0.28.1")}) == [
        "httpx==0.28.1\nnumpy==2.3\n",
        "numpy==2.5\n",
    ]


def test_what_is_ignored_has_a_reason_and_a_date(tmp_path: Path) -> None:
    file = tmp_path / "ignored.toml"
    entry = '[[ignored]]\necosystem = "npm"\nid = "GHSA-a"\n'
    file.write_text(entry + 'reason = "we do not call that part of it"\nsince = 2026-11-26\n')
    assert ignored(file) == [_ignoring("GHSA-a", "npm")]
    for missing in (
        "since = 2026-11-26",
        'reason = "we do not call that part of it"',
        'reason = ""\nsince = 2026-11-26',
    ):
        file.write_text(entry + missing)
        with pytest.raises(ValidationError):
            ignored(file)


def test_the_file_itself_can_be_read() -> None:
    assert all(entry.since <= date.today() for entry in ignored())
