"""Software bills of materials, CycloneDX 1.6: the same to the byte for the same lockfiles.

npm has one of its own, but leaves out react, since something else needs it for development; and pip's has no licences.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tools.supply.locked import ROOT, Package

FOLDER: Final = ROOT / "dist" / "sbom"
# Deployed beside the layers of pyproject.toml: infra/constructs/http_stream.py.
WEB_ADAPTER: Final = Package("github", "aws/aws-lambda-web-adapter", "v1.1.0", licence="Apache-2.0")
_OWN_LICENCE: Final = "Apache-2.0"


def document(name: str, version: str, packages: Iterable[Package]) -> str:
    """Return the bill of something that consists of the packages, as JSON."""
    packages = list(packages)
    whole = Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=name,
        licenses=[LicenseExpression(_OWN_LICENCE)],
    )
    components = {package.name: _component(package) for package in packages}
    bom = Bom(components=components.values(), metadata=BomMetaData(component=whole))
    for package in packages:
        bom.register_dependency(
            components[package.name], [components[needed] for needed in package.requires if needed in components]
        )
    bom.register_dependency(whole, components.values())
    # Neither the time nor chance: what is the same has the same bill.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid5(NAMESPACE_URL, "\n".join([name, version, *map(repr, sorted(packages))]))
    return checked(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")


def checked(text: str) -> str:
    """Return a bill that is as CycloneDX's schema has it.

    Raises:
        ValueError: It is not.
    """
    if mistake := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"no valid bill: {mistake.data}")
    return text


def write(documents: dict[str, str], folder: Path = FOLDER) -> None:
    """Write the bills, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        (folder / f"{name}.cdx.json").write_text(text)


def _component(package: Package) -> Component:
    namespace, _, name = package.name.rpartition("/")
    purl = PackageURL(type=package.ecosystem, namespace=namespace or None, name=name, version=package.version)
    return Component(
        name=name,
        group=namespace or None,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseExpression(package.licence)] if package.licence else [],
    )
