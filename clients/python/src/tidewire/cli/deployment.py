"""Which deployment a command talks to, and how: from options, the environment, a profile."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from tidewire import Tidewire
from tidewire.cli.beside import beside
from tidewire.cli.exit_codes import CommandError, ExitCode, told
from tidewire.cli.identity import (
    DevelopmentToken,
    FixedToken,
    Identity,
    NoToken,
    TokenCommand,
    checked_credential,
    config_of,
    no_tidewire,
)
from tidewire.cli.output import complain
from tidewire.cli.profiles import Profile, Profiles
from tidewire.errors import UNAUTHENTICATED, TidewireError
from tidewire.rest import TIMEOUT_S, Rest
from tidewire.ways import WAYS, Way

DEFAULT_URL: Final = "http://localhost:8080"


@dataclass(frozen=True, slots=True)
class Given:
    """What says which deployment, in one place: the options, the environment."""

    url: str | None = None
    profile: str | None = None
    token: str | None = None
    api_key: str | None = None
    user: str | None = None

    @classmethod
    def by_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return what the environment says; what is empty says nothing."""
        names = ("url", "profile", "token", "api_key")
        return cls(**{name: environment.get(f"TIDEWIRE_{name.upper()}") or None for name in names})


class Deployment:
    """One deployment, as somebody whom it knows.

    Args:
        url: Its origin.
        identity: Whose token; by default what a deployment of stage ``local`` signs for ``user``.
        admin: Whether that token is to be an admin's.
    """

    def __init__(
        self,
        url: str,
        *,
        identity: Identity | None = None,
        api_key: str | None = None,
        user: str | None = None,
        admin: bool = False,
    ) -> None:
        self.url, self.api_key, self.user = url, api_key, user or os_user()
        self.http = httpx.Client(timeout=TIMEOUT_S)
        self.of_stage_local = identity is None
        self.identity = identity or DevelopmentToken(url, self.user, self.http, admin=admin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Return what the server answers, after a second try with another token where one was refused.

        Raises:
            TidewireError: As :meth:`tidewire.rest.Rest.call`.
            CommandError: There is no token to be had.
        """
        try:
            return self.rest(fresh=False).call(method, path, json=json, params=params, headers=headers)
        except TidewireError as error:
            if error.code != UNAUTHENTICATED or not self.identity.renewable:
                raise
        return self.rest(fresh=True).call(method, path, json=json, params=params, headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """As :meth:`call`; return the JSON object that is answered."""
        return object_of(self.url, self.call(method, path, json=json, params=params, headers=headers))

    def delete(self, path: str) -> None:
        """Delete what is there.

        Raises:
            TidewireError: As :meth:`call`.
        """
        if self.call("DELETE", path).status_code != httpx.codes.NO_CONTENT:
            raise no_tidewire(self.url)

    def rest(self, *, fresh: bool = False) -> Rest:
        """Return the HTTP API with our credential."""
        return Rest(self.url, token=self.identity.token(fresh), api_key=self.api_key, http=self.http)

    def check(self) -> None:
        """Find out before a client tries for ever: it is there, it is a Tidewire, and there is a token for it.

        Raises:
            TidewireError: It can't be reached, or is no Tidewire.
            CommandError: There is no token: an API key is for calls by HTTP.
        """
        config_of(Rest(self.url, http=self.http))
        if self.identity.token(fresh=False) is None:
            raise CommandError(
                "this keeps a connection, for which a user's token is needed: an API key is for calls by HTTP",
                ExitCode.USAGE,
            )

    def client(self, way: Way | None = None) -> Tidewire:
        """Return a client that is to be entered and left; it takes that way alone, any unless given."""
        return Tidewire(self.url, self.get_token, transports=WAYS if way is None else (way,), on_error=_report)

    async def get_token(self, fresh: bool) -> str:
        """Return the token, as the client asks for it: beside the event loop, since it may take a while."""
        return await beside(self.identity.token, fresh) or ""


def _report(error: BaseException) -> None:
    complain(told(error) if isinstance(error, TidewireError) else f"{type(error).__name__}: {error}")


def object_of(url: str, response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that was answered.

    Raises:
        TidewireError: ``unsupported_protocol``: it is none.
    """
    try:
        answer = response.json()
    except ValueError:
        raise no_tidewire(url) from None
    if not isinstance(answer, dict):
        raise no_tidewire(url)
    return answer


def resolve(options: Given, environment: Mapping[str, str], *, admin: bool = False) -> Deployment:
    """Return the deployment: each by the option, else the environment, else the profile, else the default.

    A profile's credential is for the profile's URL alone: it is not sent elsewhere.

    Raises:
        CommandError: There is no such profile, or what is given contradicts itself.
    """
    by_environment = Given.by_environment(environment)
    name = options.profile or by_environment.profile
    profile = Profiles.of(environment).get(name) if name else Profile()
    url = checked_url(options.url or by_environment.url or profile.url or DEFAULT_URL)
    user = options.user or profile.user
    for given in (options, by_environment):
        if given.token and given.api_key:
            raise CommandError("a token or an API key: not both", ExitCode.USAGE)
        if given.token or given.api_key:
            return _as(url, given.token, given.api_key, user, admin=admin)
    if profile.url is not None and checked_url(profile.url) != url:
        return Deployment(url, user=options.user, admin=admin)
    return _by_profile(url, profile, user, admin=admin)


def _by_profile(url: str, profile: Profile, user: str | None, *, admin: bool) -> Deployment:
    if sum(value is not None for value in (profile.token, profile.api_key, profile.token_command)) > 1:
        raise CommandError("the profile has more than one credential: leave one", ExitCode.USAGE)
    if profile.token_command is not None:
        return Deployment(url, identity=TokenCommand(profile.token_command), user=user)
    return _as(url, profile.token, profile.api_key, user, admin=admin)


def _as(url: str, token: str | None, api_key: str | None, user: str | None, *, admin: bool) -> Deployment:
    if token:
        return Deployment(url, identity=FixedToken(checked_credential(token)), user=user)
    if api_key:
        return Deployment(url, identity=NoToken(), api_key=checked_credential(api_key), user=user)
    return Deployment(url, user=user, admin=admin)


def checked_url(text: str) -> str:
    """Return the URL without a slash at its end.

    Raises:
        CommandError: It is no URL of a deployment.
    """
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        good = good and not any(map(str.isspace, text)) and parts.username is None
        good = good and parts.port != 0  # raises where it is beyond all
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise CommandError(f"{text!r} is no URL of a deployment, such as {DEFAULT_URL}", ExitCode.USAGE)
    return text


def os_user() -> str:
    """Return the name of whoever runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"  # a container's user may have no name
