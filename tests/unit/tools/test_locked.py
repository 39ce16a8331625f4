"""What the lockfiles name."""

import json
from pathlib import Path

from tools.supply.locked import LAYERS, UV_LOCKS, Package, everything_python, in_layers, in_pages, of_client

_UV_LOCK = """
[[package]]
name = "tidewire-backend"
version = "1"
source = { virtual = "." }
[package.dev-dependencies]
%s
dev = [{ name = "pytest" }]

[[package]]
name = "server"
version = "2"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "loop" }]
[package.optional-dependencies]
fast = [{ name = "c-loop" }]
slow = [{ name = "pytest" }]

[[package]]
name = "loop"
version = "3"
source = { registry = "https://index.example/simple" }
dependencies = [{ name = "server" }]

[[package]]
name = "c-loop"
version = "4"
source = { registry = "https://index.example/simple" }

[[package]]
name = "pytest"
version = "5"
source = { registry = "https://index.example/simple" }
"""


def _lock(tmp_path: Path) -> Path:
    groups = [*(f"{name} = []" for name in LAYERS[1:]), f'{LAYERS[0]} = [{{ name = "server", extra = ["fast"] }}]']
    file = tmp_path / "uv.lock"
    file.write_text(_UV_LOCK % "\n".join(groups))
    return file


def test_layers_have_what_their_groups_need_and_no_more(tmp_path: Path) -> None:
    assert in_layers(_lock(tmp_path)) == [
        Package("pypi", "c-loop", "4"),
        Package("pypi", "loop", "3", ("server",)),
        Package("pypi", "server", "2", ("c-loop", "loop")),
    ]


def test_everything_is_asked_for_but_our_own(tmp_path: Path) -> None:
    assert everything_python([_lock(tmp_path)]) == {("server", "2"), ("loop", "3"), ("c-loop", "4"), ("pytest", "5")}


def test_pages_have_what_they_need_and_nothing_for_development(tmp_path: Path) -> None:
    file = tmp_path / "package-lock.json"
    packages = {
        "web": {"dependencies": {"react": "19", "ours": "1"}, "devDependencies": {"axe": "4"}},
        "node_modules/react": {"version": "19.3.1", "license": "MIT", "dependencies": {"scheduler": "^0"}},
        "node_modules/scheduler": {"version": "0.28.0", "license": "MIT"},
        "node_modules/ours": {"resolved": "clients/js", "link": True},
        "node_modules/axe": {"version": "4.14.0", "license": "MPL-2.0"},
    }
    file.write_text(json.dumps({"packages": packages}))
    assert in_pages(file) == [
        Package("npm", "react", "19.3.1", ("scheduler",), "MIT"),
        Package("npm", "scheduler", "0.28.0", (), "MIT"),
    ]


def test_of_this_repository() -> None:
    assert {lock.parent.name for lock in UV_LOCKS[1:]} >= {"emulator", "peers"}
    names = {package.name for package in in_layers()}
    assert {"pydantic-core", "fastapi", "uvicorn", "cryptography"} <= names
    assert not names & {"pytest", "boto3", "aws-cdk-lib"}
    assert {"httpx", "websockets", "typer", "certifi"} <= {package.name for package in of_client()}
    assert {"react", "react-dom", "uplot"} <= {package.name for package in in_pages()}
    assert {"ministack", "aiobotocore", "pytest"} <= {name for name, _version in everything_python()}
