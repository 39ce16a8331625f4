"""The pages as the app serves them, and the tokens of the demo's guests."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from functions.http_api.app import create_app
from tests.unit.functions.conftest import services_of
from tests.unit.stack import MemoryStack

SCRIPT = "let x;" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    files = {"demo/index.html": "<h1>Demo", "demo/main.js": SCRIPT, "console/index.html": "<h1>Console", "icon.svg": ""}
    for name, text in files.items():
        path = tmp_path / "dist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "dist"


def client_of(folder: Path | None, **environment: str) -> httpx.AsyncClient:
    app = create_app(services_of(MemoryStack(), **environment), pages=folder)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire")


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(folder, DEMO="1") as client:
        yield client


class TestPages:
    @pytest.mark.parametrize(
        ("path", "kind", "text"),
        [
            ("/", "text/html", "<h1>Demo"),
            ("/console", "text/html", "<h1>Console"),
            ("/demo/main.js", "text/javascript", SCRIPT),
            ("/icon.svg", "image/svg+xml", ""),
        ],
    )
    async def test_files_are_served(self, http: httpx.AsyncClient, path: str, kind: str, text: str) -> None:
        answer = await http.get(path)
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"].startswith(kind)

    @pytest.mark.parametrize("path", ["/demo/none.js", "/demo/%2e%2e", "/demo/%00", "/demo/" + "x" * 300])
    async def test_what_is_no_file_is_not_found(self, http: httpx.AsyncClient, path: str) -> None:
        assert (await http.get(path)).status_code == 404

    @pytest.mark.parametrize("path", ["/", "/console", "/console/index.html", "/demo/main.js", "/icon.svg"])
    async def test_a_page_loads_and_runs_what_is_its_own_and_is_in_no_frame(
        self, http: httpx.AsyncClient, path: str
    ) -> None:
        headers = (await http.get(path)).headers
        policy = dict(one.split(" ", 1) for one in headers["content-security-policy"].split("; "))
        assert {name: policy[name] for name in ("default-src", "base-uri", "frame-ancestors")} == {
            "default-src": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        assert {policy[name] for name in ("script-src", "style-src", "img-src", "form-action")} == {"'self'"}
        assert headers["strict-transport-security"] == "max-age=63072000"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=()" in headers["permissions-policy"]

    async def test_a_page_connects_to_its_stage_and_nowhere_else(self, folder: Path) -> None:
        urls = {
            "WEBSOCKET_URL": "wss://a.example/v1",
            "HTTP_URL": "https://b.example",
            "STREAM_URL": "https://c.example",
        }
        async with client_of(folder, DEMO="1", **urls) as http:
            policy = (await http.get("/")).headers["content-security-policy"]
        assert "connect-src 'self' https://b.example https://c.example wss://a.example;" in policy

    async def test_what_is_known_is_not_sent_again(self, http: httpx.AsyncClient, folder: Path) -> None:
        tag = (await http.get("/demo/main.js")).headers["etag"]
        assert (await http.get("/demo/main.js", headers={"If-None-Match": tag})).status_code == 304
        (folder / "demo" / "main.js").write_text(SCRIPT.replace("x", "y"))
        assert (await http.get("/demo/main.js", headers={"If-None-Match": tag})).status_code == 200

    async def test_files_are_compressed(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/demo/main.js")).headers["content-encoding"] == "gzip"

    async def test_of_one_that_is_known_there_is_nothing_to_compress(self, http: httpx.AsyncClient) -> None:
        tag = (await http.get("/demo/main.js")).headers["etag"]
        known = await http.get("/demo/main.js", headers={"If-None-Match": tag})
        assert (known.status_code, known.content, "content-encoding" in known.headers) == (304, b"", False)

    @pytest.mark.parametrize(
        "path",
        ["/nothing", "/demo/", "/demo/%2e%2e", "/demo/..%2f..%2fsecret.txt", "/demo/%00", "/secret.txt"],
    )
    async def test_every_other_path_is_a_problem(self, http: httpx.AsyncClient, path: str) -> None:
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

    @pytest.mark.parametrize("path", ["/healthz", "/v1/config", "/v1/nothing", "/openapi.json"])
    async def test_answers_to_calls_are_kept_by_nobody_and_taken_for_nothing_else(
        self, http: httpx.AsyncClient, path: str
    ) -> None:
        headers = (await http.get(path)).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")

    async def test_calls_stay_calls(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/healthz")).json()["status"] == "ok"
        assert (await http.post("/")).status_code == 405

    async def test_a_stage_without_the_demo_has_the_console_alone(self, folder: Path) -> None:
        async with client_of(folder, DEMO="0") as http:
            assert [(await http.get(path)).status_code for path in ("/", "/demo/main.js", "/console")] == [
                404,
                404,
                200,
            ]

    async def test_what_was_not_built_is_not_there(self, tmp_path: Path) -> None:
        async with client_of(tmp_path / "nothing", DEMO="1") as http:
            assert [(await http.get(path)).status_code for path in ("/", "/console")] == [404, 404]


class TestGuests:
    async def test_a_guest_may_be_in_rooms_and_nowhere_else(self) -> None:
        stack = MemoryStack()
        app = create_app(services_of(stack, DEMO="1"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire") as http:
            token = (await http.post("/v1/demo/token", json={"user_id": "guest.ann~1"})).json()["token"]
        guest = stack.tokens.verify(token)
        assert guest.user_id == "guest.ann~1"
        assert guest.may("publish", "room:lobby")
        assert not guest.may("publish", "orders:1")
        assert not guest.may("admin", "room:lobby")

    @pytest.mark.parametrize("user_id", ["ann", "guest.", "guest.a b", "guest." + "a" * 61, "guest.ann\n", 7])
    async def test_nobody_becomes_somebody_else(self, http: httpx.AsyncClient, user_id: object) -> None:
        answer = await http.post("/v1/demo/token", json={"user_id": user_id})
        assert (answer.status_code, answer.json()["name"]) == (422, "invalid_field")

    @pytest.mark.parametrize("demo", ["0", ""])
    async def test_there_are_none_without_the_demo(self, folder: Path, demo: str) -> None:
        async with client_of(folder, DEMO=demo) as http:
            assert (await http.post("/v1/demo/token", json={"user_id": "guest.ann"})).status_code == 404
