"""``python -m tools.supply`` checks what comes from others; ``python -m tools.supply sbom`` writes bills of it."""

import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor

from tools.supply import advisories, licences, locked, sbom


def main(arguments: list[str]) -> int:
    """Check, or write; return the exit code."""
    layers, client, pages = (
        licences.with_licences(packages) for packages in (locked.in_layers(), locked.of_client(), locked.in_pages())
    )
    version = tomllib.loads((locked.ROOT / "pyproject.toml").read_text())["project"]["version"]
    bills = {
        "tidewire-layers": [*layers, sbom.WEB_ADAPTER],
        "tidewire-client-python": client,
        "tidewire-pages": pages,
    }
    documents = {name: sbom.document(name, version, packages) for name, packages in bills.items()}
    if arguments == ["sbom"]:
        sbom.write(documents)
        sys.stdout.write(f"{sbom.FOLDER.relative_to(locked.ROOT)}: {', '.join(documents)}\n")
        return 0
    with ThreadPoolExecutor() as pool:
        npm = pool.submit(advisories.audit_npm)
        try:
            audits = [*advisories.audit_python(), *npm.result()]
        except advisories.AuditFailedError as error:
            raise SystemExit(str(error)) from error
    for ecosystem, reason in sorted({(audit.ecosystem, audit.unreached) for audit in audits if audit.unreached}):
        sys.stderr.write(f"{ecosystem}: not asked for advisories: {reason}\n")
    shipped = list({package.name: package for package in (*layers, *client, *pages)}.values())
    told = [*licences.problems(shipped), *advisories.problems(audits, advisories.ignored())]
    for problem in told:
        sys.stderr.write(f"{problem}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
