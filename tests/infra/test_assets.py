"""What goes into the functions' zips and into the layers."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.infra.template import CANARY, COMMANDERS, HANDLERS, PUBLISHERS, ROOT, STREAM, Synthesised, text

if TYPE_CHECKING:
    from infra.packaging import LayerName

# The SDK and its needs, which the runtime brings: docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
# botocore takes certifi where there is one, and has certificates of its own.
_RUNTIME: Final = {"boto3", "botocore", "certifi", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"}
# The Python client, which the canary's layer has; and what httpx takes, where it is, for a command line of its own.
_OF_A_CLIENT: Final = {"tidewire", "click", "pygments", "rich"}
_AARCH64: Final = 183  # EM_AARCH64 in elf.h


@pytest.mark.parametrize("name", HANDLERS)
def test_a_functions_zip_has_its_folder_and_what_is_shared_and_nothing_else(stage: Synthesised, name: str) -> None:
    users = [
        *(["processors"] if name in PUBLISHERS else []),
        *(["commands", "documents"] if name in COMMANDERS else []),
    ]
    folders = [name, *users]
    parts = [ROOT / "shared", *(ROOT / "functions" / folder for folder in folders)]
    expected = {path.relative_to(ROOT) for part in parts for path in part.rglob("*.py")}
    expected |= {Path("channels.toml"), Path("functions/__init__.py")}
    expected |= {Path("functions/http_api/run.sh")} if name == "http_api" else set()
    if name == "http_api":  # make test builds the pages first
        pages = [path for path in (ROOT / "web" / "dist").rglob("*") if path.is_file() and path.suffix != ".map"]
        assert pages
        expected |= {path.relative_to(ROOT) for path in pages}
    expected -= {Path("shared/adapters/memory.py")}
    asset = stage.asset(name)
    assert {path.relative_to(asset) for path in asset.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_imports_with_its_zip_alone_and_needs_no_package_but_its_layers(prod: Synthesised, name: str) -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        f"import json, functions.{name}.handler; print(json.dumps([*(set(sys.modules) - before)]))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=prod.asset(name), env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    packages = {module.partition(".")[0] for module in json.loads(line)}
    imported = {
        _normalised(distribution)
        for package, distributions in packages_distributions().items()
        if package in packages
        for distribution in distributions
    }
    layer = text(prod.function(name)["Layers"][0]).removeprefix("${Functions").partition("Layer")[0].lower()
    assert imported - _locked(layer) - _RUNTIME - (_OF_A_CLIENT if name == CANARY else set()) == set()


def test_the_streaming_function_is_the_http_apis_once_more(stage: Synthesised) -> None:
    assert stage.asset(STREAM) == stage.asset("http_api")


def test_a_change_is_a_change_of_the_functions_that_it_concerns(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for part in ("shared", "functions"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "channels.toml", root)
    before = _hashes(root, tmp_path / "before")
    assert len(set(before.values())) == len(HANDLERS)

    _append(root / "functions" / "janitor" / "handler.py")
    _append(root / "shared" / "adapters" / "memory.py")
    (root / "shared" / "__pycache__").mkdir()
    _append(root / "shared" / "__pycache__" / "errors.cpython-313.pyc")
    one = _hashes(root, tmp_path / "one")
    assert {name for name in HANDLERS if one[name] != before[name]} == {"janitor"}

    (root / "functions" / "processors" / "schemas").mkdir()
    (root / "functions" / "processors" / "schemas" / "order.json").write_text("{}")
    publishers = _hashes(root, tmp_path / "publishers")
    assert {name for name in HANDLERS if publishers[name] != one[name]} == set(PUBLISHERS)

    _append(root / "functions" / "commands" / "dice.py")
    commanders = _hashes(root, tmp_path / "commanders")
    assert {name for name in HANDLERS if commanders[name] != publishers[name]} == set(COMMANDERS)

    _append(root / "channels.toml")
    every = _hashes(root, tmp_path / "every")
    assert {name for name in HANDLERS if every[name] != commanders[name]} == set(HANDLERS)


def test_bundling_that_the_context_turns_off_stays_off(stage: Synthesised) -> None:
    assert not list(stage.assembly.rglob("requirements.txt"))


def test_the_emulator_gets_layers_of_its_own(dev: Synthesised, prod: Synthesised, local: Synthesised) -> None:
    on_aws, also_on_aws, emulated = (
        {layer["Content"]["S3Key"] for layer in stage.of_type("AWS::Lambda::LayerVersion").values()}
        for stage in (dev, prod, local)
    )
    assert on_aws < also_on_aws  # which has the canary's as well
    assert not on_aws & emulated


@pytest.mark.parametrize(
    ("name", "has"),
    [
        *((name, "_pydantic_core.cpython-313-") for name in ("functions", "publish", "http", "stream")),
        ("canary", "speedups.cpython-313-"),
        ("issuers", "_rust.abi3."),
    ],
)
def test_a_layer_is_for_arm64_and_python_3_13_and_as_the_lockfile_has_it(
    tmp_path: Path, name: "LayerName", has: str
) -> None:
    python = _built_layer(tmp_path, name) / "python"
    libraries = list(python.rglob("*.so"))
    assert any(library.name.startswith(has) for library in libraries)
    for library in libraries:
        assert ".cpython-313-aarch64-linux-gnu." in library.name or ".abi3." in library.name
        assert int.from_bytes(library.read_bytes()[18:20], "little") == _AARCH64  # e_machine
    installed = {re.sub(r"-[^-]+$", "", path.stem) for path in python.glob("*.dist-info")}
    assert {_normalised(distribution) for distribution in installed} == _locked(name) | (
        {"tidewire"} if name == CANARY else set()
    )


def test_the_canarys_layer_is_another_when_the_client_is(tmp_path: Path) -> None:
    from infra.packaging import CLIENT, project_fingerprint

    shutil.copytree(CLIENT, tmp_path / "client", ignore=shutil.ignore_patterns("__pycache__"))
    assert project_fingerprint(tmp_path / "client") == project_fingerprint(CLIENT)
    _append(tmp_path / "client" / "src" / "tidewire" / "link.py")
    assert project_fingerprint(tmp_path / "client") != project_fingerprint(CLIENT)


def test_a_functions_zip_may_have_the_bytecode_of_all_its_modules(tmp_path: Path) -> None:
    without = _built_function(tmp_path / "without", None)
    with_bytecode = _built_function(tmp_path / "with", sys.executable)
    modules = {path.with_suffix("") for path in without if path.suffix == ".py"}
    compiled = {path for path in with_bytecode if path.suffix == ".pyc"}
    assert with_bytecode - compiled == without
    assert {path.parent.parent / path.name.partition(".")[0] for path in compiled} == modules


def test_bytecode_is_taken_whatever_date_its_source_has(tmp_path: Path) -> None:
    from infra.bytecode import add_bytecode

    module = tmp_path / "package" / "module.py"
    module.parent.mkdir()
    module.write_text("told = 'by the source of then'")
    add_bytecode(sys.executable, tmp_path)
    module.write_text("told = 'by the source of now'")
    program = [sys.executable, "-B", "-c", "from package.module import told; print(told)"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "by the source of then\n"


def test_bytecode_is_made_by_the_runtimes_version_or_not_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    from infra.bytecode import runtime_python

    assert runtime_python(f"{sys.version_info.major}.{sys.version_info.minor}") == sys.executable
    assert runtime_python("2.4") is None
    assert "python2.4 is not on the PATH" in capsys.readouterr().err


def _built_layer(folder: Path, name: "LayerName") -> Path:
    from aws_cdk import App, Stack
    from aws_cdk.aws_lambda import LayerVersion

    from infra.packaging import layer_code

    app = App(outdir=str(folder), builtin_cloud_formation_validation=False)
    stack = Stack(app, "Layers")
    LayerVersion(stack, "Layer", code=layer_code(name, emulated=False, python=None))
    app.synth()
    (asset,) = folder.glob("asset.*")
    return asset


def _built_function(folder: Path, python: str | None) -> set[Path]:
    """Return the files of a function's asset."""
    from aws_cdk import App, Stack

    from infra.packaging import function_code

    stack = Stack(App(outdir=str(folder)), "Function")
    function_code("ws_message", python=python).bind(stack)
    (asset,) = folder.glob("asset.*")
    return {path.relative_to(asset) for path in asset.rglob("*") if path.is_file()}


def _hashes(root: Path, outdir: Path) -> dict[str, str]:
    """Return each function's asset hash in a project that lies elsewhere."""
    from aws_cdk import App, Stack

    from infra.packaging import function_code

    app = App(outdir=str(outdir))
    hashes = {}
    for name in HANDLERS:
        location = function_code(name, root, python=None).bind(Stack(app, name.replace("_", "-"))).s3_location
        assert location
        hashes[name] = location.object_key
    return hashes


def _append(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("\n# changed\n")


def _locked(group: str) -> set[str]:
    """Return the distributions of a dependency group, from the lockfile."""
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "export", "--frozen", "--no-header", "--no-annotate", "--no-hashes", "--only-group", group]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {_normalised(line.partition("==")[0]) for line in lines}


def _normalised(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
