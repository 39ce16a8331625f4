"""Who one is for a deployment, and the token that says so."""

import subprocess
from collections.abc import Sequence
from typing import Any, Final, Protocol

import httpx

from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.errors import UNSUPPORTED_PROTOCOL, TidewireError
from tidewire.rest import Rest

EVERYTHING: Final = ("subscribe", "publish", "history", "presence", "state.read", "state.write", "send", "command")
"""Every capability but ``admin``."""

_COMMAND_TIMEOUT_S: Final = 120  # it may ask somebody for a code


class Identity(Protocol):
    """Where a token comes from."""

    renewable: bool
    """Whether another token may be had when one was refused."""

    def token(self, fresh: bool) -> str | None:
        """Return the token, a new one with ``fresh``; ``None``: there is an API key in its place.

        Raises:
            CommandError: There is none to be had.
            TidewireError: The server gives none.
        """
        ...


class FixedToken:
    """A token that was given."""

    renewable = False

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self, fresh: bool) -> str | None:
        """Return it; a fresh one is not to be had."""
        return self._token


class NoToken:
    """An API key says who it is: by HTTP alone."""

    renewable = False

    def token(self, fresh: bool) -> str | None:
        """Return ``None``."""
        return None


class TokenCommand:
    """A shell command that prints a token."""

    renewable = True

    def __init__(self, command: str) -> None:
        self._command = command
        self._token: str | None = None

    def token(self, fresh: bool) -> str | None:
        """Return what the command prints; it is run once, and again with ``fresh``."""
        if fresh or self._token is None:
            self._token = self._run()
        return self._token

    def _run(self) -> str:
        try:
            done = subprocess.run(
                self._command,
                shell=True,  # nosec B602 # the user's own, from their profile, written for the shell
                stdout=subprocess.PIPE,
                text=True,
                timeout=_COMMAND_TIMEOUT_S,
                check=True,
            )
        except (subprocess.SubprocessError, OSError, UnicodeDecodeError) as error:
            code = getattr(error, "returncode", None)
            why = f"it ended with {code}" if code is not None else str(error) or type(error).__name__
            raise CommandError(f"token_command gave no token: {why}", ExitCode.NOT_ALLOWED) from None
        if len(done.stdout.split()) != 1:
            raise CommandError("token_command printed no token, or more than one", ExitCode.NOT_ALLOWED)
        return checked_credential(done.stdout)


class DevelopmentToken:
    """What a deployment of stage ``local`` signs for anybody who asks."""

    renewable = True

    def __init__(self, url: str, user: str, http: httpx.Client, *, admin: bool) -> None:
        self._url, self._user, self._http, self._admin = url, user, http, admin
        self._token: str | None = None

    def token(self, fresh: bool) -> str | None:
        """Return a token for the user: everything, and ``admin`` where that is needed."""
        if fresh or self._token is None:
            caps = {"*": [*EVERYTHING, "admin"]} if self._admin else None
            self._token = development_token(self._url, self._user, self._http, caps)
        return self._token


def development_token(
    url: str, user: str, http: httpx.Client, caps: dict[str, list[str]] | None, ttl_s: int | None = None
) -> str:
    """Return a token that the deployment signs, which only one of stage ``local`` does.

    Raises:
        CommandError: It is of another stage: a credential is needed.
        TidewireError: It refuses, can't be reached, or is no Tidewire.
    """
    rest = Rest(url, http=http)
    body = {"user_id": user, "caps": caps, "ttl_s": ttl_s}
    try:
        answer = rest.call("POST", "/v1/dev/token", json={name: one for name, one in body.items() if one is not None})
        return str(answer.json()["token"])
    except (ValueError, KeyError, TypeError):
        raise no_tidewire(url) from None
    except TidewireError as error:
        if error.code != UNSUPPORTED_PROTOCOL:
            raise
    # There is no such call: another stage, or no Tidewire at all?
    config_of(rest)
    raise CommandError(
        f"{url} asks who you are: give --token or --api-key, or a profile that has one", ExitCode.NOT_ALLOWED
    )


def checked_credential(credential: str) -> str:
    """Return the credential as a header can have it.

    Raises:
        CommandError: No header can.
    """
    credential = credential.strip()
    if not credential.isascii() or not credential.isprintable() or " " in credential:
        raise CommandError("the credential has characters that none has", ExitCode.USAGE)
    return credential


def config_of(rest: Rest) -> dict[str, Any]:
    """Return where clients connect, as the deployment says.

    Raises:
        TidewireError: It can't be reached, or is no Tidewire.
    """
    try:
        config = rest.call("GET", "/v1/config").json()
    except ValueError:
        raise no_tidewire(rest.url) from None
    if not isinstance(config, dict) or not _has(config, ("http_url", "websocket_url", "transports")):
        raise no_tidewire(rest.url)
    return config


def no_tidewire(url: str) -> TidewireError:
    """Return the error that says so."""
    return TidewireError(UNSUPPORTED_PROTOCOL, "unsupported_protocol", f"{url} answers, but not as Tidewire does")


def _has(config: dict[str, Any], names: Sequence[str]) -> bool:
    return all(name in config for name in names)
