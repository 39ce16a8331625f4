"""Steps over the HTTP API alone."""

from typing import Any, Final
from urllib.parse import urlsplit

from tidewire.cli.doctor.findings import Fault, NotExaminedError, Step
from tidewire.cli.doctor.patient import Patient
from tidewire.cli.exit_codes import CommandError
from tidewire.cli.paths import channel_path
from tidewire.errors import UNSUPPORTED_PROTOCOL, TidewireError
from tidewire.ways import WAYS

_DATA_MAX_BYTES: Final = 24_000


async def alive(patient: Patient) -> str:
    """Tell whether the HTTP API answers."""
    response = await patient.get("/healthz")
    answer = _json(response)
    if response.status_code != 200 or answer.get("status") != "ok":
        raise Fault('200 and {"status": "ok"} of /healthz', f"{response.status_code} {response.text[:100]}")
    return patient.deployment.url


async def ready(patient: Patient) -> str:
    """Tell whether what requests depend on is reached."""
    response = await patient.get("/readyz")
    checks = _json(response).get("checks")
    if not isinstance(checks, dict):
        raise Fault("checks by name of /readyz", f"{response.status_code} {response.text[:100]}")
    if missing := {name: result for name, result in checks.items() if result != "ok"}:
        told = ", ".join(f"{name}: {result}" for name, result in missing.items())
        raise Fault(f"all of {', '.join(checks)} reached", told)
    return f"reached: {', '.join(checks)}"


async def configuration(patient: Patient) -> str:
    """Tell whether it says where clients connect, and whether that makes sense."""
    config = await patient.config()
    secure = urlsplit(patient.deployment.url).scheme == "https"
    schemes = {"websocket_url": ("ws", "wss"), "http_url": ("http", "https"), "stream_url": ("http", "https")}
    for name, of in schemes.items():
        url = urlsplit(str(config.get(name)))
        if url.scheme not in of or not url.hostname:
            raise Fault(f"{name} begins with {of[0]}: or {of[1]}:", str(config.get(name)))
        if secure and url.scheme != of[1]:
            raise Fault(f"{name} begins with {of[1]}:, since this is https", str(config.get(name)))
    offered = config.get("transports")
    if not isinstance(offered, list) or not set(offered) & set(WAYS):
        raise Fault(f"transports of {', '.join(WAYS)}", str(offered))
    return ", ".join(map(str, offered))


async def who(patient: Patient) -> str:
    """Tell whether the credential is taken, and protocol 1 is spoken."""
    patient.known = False
    try:
        if patient.deployment.api_key is not None:
            await patient.call("GET", "/v1/commands")
            who_it_is = "the API key is taken"
        else:
            async with await patient.http_peer() as peer:
                who_it_is = f"{peer.user_id}, protocol 1"
    except CommandError as error:
        raise Fault("a token", str(error), "the options, the environment, the profile") from None
    patient.known = True
    return who_it_is


async def documents(patient: Patient) -> str:
    """Tell whether a document can be written, changed, protected and deleted."""
    path = channel_path(patient.channel("state"), "state", "doctor")
    await patient.call("PUT", path, json={"kept": 1, "gone": 2})
    patched = await patient.ask("PATCH", path, json={"gone": None, "new": 3})
    value = (await patient.call("GET", path)).json()
    if value != {"kept": 1, "new": 3}:
        raise Fault('{"kept": 1, "new": 3} after the merge patch', str(value)[:200])
    refused = await patient.refused("PUT", path, json=1, headers={"If-None-Match": "*"})
    if refused != "version_conflict":
        raise Fault("version_conflict (412) to a write that wants no document there", refused)
    await patient.call("DELETE", path)
    left = await patient.refused("GET", path)
    if left != "not_found":
        raise Fault("not_found (404) once it is deleted", left)
    return f"set, patched (version {patched.get('version')}), protected, deleted"


async def commands(patient: Patient) -> str:
    """Tell which commands the server has for us."""
    offered = (await patient.ask("GET", "/v1/commands")).get("commands")
    if not isinstance(offered, list):
        raise Fault("a list of commands of /v1/commands", str(offered)[:100])
    names = [str(one.get("name")) for one in offered if isinstance(one, dict)]
    return f"offered: {', '.join(names)}" if names else "none is offered to this user"


async def limits_by_http(patient: Patient) -> str:
    """Tell whether what is too large, or unknown, is refused by HTTP."""
    body = {"channel": patient.channel("limits"), "name": "large", "data": too_large()}
    if (refused := await patient.refused("POST", "/v1/publish", json=body)) != "too_large":
        raise Fault("too_large to 24,001 bytes of data", refused)
    async with await patient.http_peer() as peer:
        await expect_unknown_type(peer)
    return "too_large, unknown_type"


async def dead_letters(patient: Patient) -> str:
    """Tell whether dead letters wait."""
    try:
        queues = (await patient.ask("GET", "/v1/dead-letters")).get("queues")
    except TidewireError as error:
        if error.code != UNSUPPORTED_PROTOCOL:
            raise
        raise NotExaminedError("this deployment does not tell of its dead letters") from None
    if not isinstance(queues, list):
        raise Fault("a list of queues of /v1/dead-letters", str(queues)[:100])
    waiting = {str(one.get("queue")): one.get("waiting") for one in queues if isinstance(one, dict)}
    if some := {queue: count for queue, count in waiting.items() if count}:
        raise Fault("no dead letters wait", ", ".join(f"{queue}: {count}" for queue, count in some.items()))
    return f"none wait: {', '.join(waiting)}"


async def expect_unknown_type(peer: Any) -> None:
    """Send a request of a type that there isn't.

    Raises:
        Fault: It is not refused as such.
    """
    try:
        came = str(await peer.ask({"type": "doctor"}))
    except TidewireError as error:
        came = error.kind
    if came != "unknown_type":
        raise Fault("unknown_type to a request of type doctor", came)


def too_large() -> str:
    """Return a value that is one byte too much as JSON."""
    return "x" * (_DATA_MAX_BYTES + 1 - 2)  # and its quotes


def _json(response: Any) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        raise Fault(
            "JSON, as Tidewire answers", f"{response.status_code} {response.headers.get('Content-Type')}"
        ) from None
    return answer if isinstance(answer, dict) else {}


BEFORE: Final = (
    Step("alive", "an answer of /healthz", "the URL; then http_api's log, and what stands before it", alive, False),
    Step("dependencies", "an answer of /readyz", "http_api's log; the named table or queue", ready, False),
    Step("configuration", "an answer of /v1/config", "http_api's WEBSOCKET_URL, HTTP_URL, STREAM_URL", configuration),
    Step("who", "a session", "the token's claims and its end; the token secret; http_api's log", who),
)
AFTER: Final = (
    Step("documents", "the call is granted", "http_api's log; the table state; channels.toml", documents),
    Step("commands", "an answer of /v1/commands", "http_api's log; functions/commands", commands),
    Step(
        "limits by HTTP", "an error that says so", "http_api's log; what stands before it and answers", limits_by_http
    ),
)
LAST: Final = (
    Step(
        "dead letters",
        "an answer of /v1/dead-letters",
        "the logs of publish_worker (lanes) and event_publish (events); then tidewire redrive",
        dead_letters,
    ),
)
