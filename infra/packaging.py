"""What goes into each function's zip and into the layers. No Docker: wheels are installed for the target by uv."""

import hashlib
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import jsii
from aws_cdk import AssetHashType, BundlingOptions, CopyOptions, DockerImage, FileSystem, IgnoreMode, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from infra.bytecode import RUNTIME, add_bytecode

ROOT: Final = Path(__file__).resolve().parent.parent
# Dependency groups of pyproject.toml.
LayerName = Literal["functions", "publish", "http", "stream", "canary", "issuers"]
# Folders of functions/ that are the user's, and the functions that have them.
_USERS_FOLDERS: Final = {
    "processors": ("ws_message", "http_api", "event_publish"),
    "documents": ("ws_message", "http_api"),
    "commands": ("ws_message", "http_api"),
}


# Whoever serves the pages has what web/ was built into.
_PAGES_OF: Final = "http_api"
# The canary is a client: its layer has the Python client as well.
_CLIENT_IN: Final[LayerName] = "canary"
CLIENT: Final = ROOT / "clients" / "python"
_NO_IMAGE: Final = DockerImage.from_registry("local-bundling-only")


def function_code(name: str, root: Path = ROOT, *, python: str | None) -> lambda_.Code:
    """Return the asset of ``functions/<name>``: its folder, the user's, ``shared/``, channels.toml, the pages.

    What of these it has, at their places here, and ``python``'s bytecode, if there is one. A change in another function
    does not change its hash.
    """
    folders = [name, *(folder for folder, users in _USERS_FOLDERS.items() if name in users)]
    exclude = [
        "/*",
        "!/shared/",
        "!/channels.toml",
        "!/functions/",
        "/functions/*",
        "!/functions/__init__.py",
        *(f"!/functions/{folder}/" for folder in folders),
        *(["!/web/", "/web/*", "!/web/dist/", "*.map"] if name == _PAGES_OF else []),
        "/shared/adapters/memory.py",
        "__pycache__/",
    ]
    if python is None:
        return lambda_.Code.from_asset(str(root), ignore_mode=IgnoreMode.GIT, exclude=exclude)
    fingerprint = FileSystem.fingerprint(str(root), ignore_mode=IgnoreMode.GIT, exclude=exclude, extra_hash="bytecode")
    return lambda_.Code.from_asset(
        str(root),
        ignore_mode=IgnoreMode.GIT,
        exclude=exclude,
        asset_hash_type=AssetHashType.CUSTOM,
        asset_hash=fingerprint,
        bundling=BundlingOptions(image=_NO_IMAGE, local=_CompiledBundling(root, exclude, python)),
    )


def layer_code(name: LayerName, *, emulated: bool, python: str | None) -> lambda_.Code:
    """Return the asset of a layer with a dependency group, as uv.lock has it; of the canary's with the client as well.

    On AWS for arm64 and Python 3.13; for the emulator, which runs functions as processes of this machine, for it. With
    ``python``'s bytecode, if there is one.
    """
    # Lambda's Python 3.13 runs on Amazon Linux 2023 (docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html), whose
    # glibc is 2.34.
    target = _host_target() if emulated else ("aarch64-manylinux_2_28", RUNTIME)
    requirements = _requirements(name)
    client = CLIENT if name == _CLIENT_IN else None
    # Hashed by what goes in, not by what comes out: the installed tree is not the same to the byte each time.
    parts = (
        *target,
        requirements,
        *(["bytecode"] if python else []),
        *([project_fingerprint(client)] if client else []),
    )
    asset_hash = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return lambda_.Code.from_asset(
        str(ROOT),
        exclude=["*"],
        asset_hash_type=AssetHashType.CUSTOM,
        asset_hash=asset_hash,
        bundling=BundlingOptions(image=_NO_IMAGE, local=_UvBundling(requirements, target, python, client)),
    )


def project_fingerprint(project: Path) -> str:
    """Return a hash of what a project is built from."""
    return FileSystem.fingerprint(str(project), ignore_mode=IgnoreMode.GIT, exclude=["__pycache__/"])


def _host_target() -> tuple[str, str]:
    # The emulator's environment has the Python that this one has (Makefile).
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{platform.machine()}-{platform.system().lower()}", version


def _uv(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # nosec B603 # uv
    if done.returncode:
        raise SystemExit(f"uv {arguments[0]} failed:\n{done.stderr}")
    return done.stdout


def _requirements(group: LayerName) -> str:
    return _uv("export", "--quiet", "--frozen", "--no-header", "--no-annotate", "--only-group", group)


@jsii.implements(ILocalBundling)
class _UvBundling:
    """Installs locked requirements, and a project of ours, into ``python/``, where Lambda looks for modules."""

    def __init__(self, requirements: str, target: tuple[str, str], python: str | None, project: Path | None) -> None:
        self._requirements = requirements
        self._target = target
        self._python = python
        self._project = project

    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        """Fill ``output_dir``; there is no other way to bundle, so a failure ends the synthesis."""
        listed = Path(output_dir) / "requirements.txt"
        listed.write_text(self._requirements)
        system, version = self._target
        flags = [] if system == _host_target()[0] else ["--python-platform", system, "--python-version", version]
        _uv(
            *("pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", *flags),
            *("--python", sys.executable, "--target", str(Path(output_dir) / "python"), "-r", str(listed)),
        )
        if self._project:
            # Its cache goes by the date of pyproject.toml alone: docs.astral.sh/uv/concepts/cache
            flags = ["--quiet", "--no-deps", "--no-cache", "--python", sys.executable]
            _uv("pip", "install", *flags, "--target", str(Path(output_dir) / "python"), str(self._project))
        if self._python:
            add_bytecode(self._python, Path(output_dir))
        return True


@jsii.implements(ILocalBundling)
class _CompiledBundling:
    """Copies files, and puts their bytecode beside them."""

    def __init__(self, root: Path, exclude: Sequence[str], python: str) -> None:
        self._root = root
        self._exclude = list(exclude)
        self._python = python

    def try_bundle(self, output_dir: str, *_options: object, **_more: object) -> bool:
        """Fill ``output_dir``."""
        options = CopyOptions(ignore_mode=IgnoreMode.GIT, exclude=self._exclude)
        FileSystem.copy_directory(str(self._root), output_dir, options)
        add_bytecode(self._python, Path(output_dir))
        return True
