"""What commands have in common: the options that say which deployment, and how they end."""

import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from tidewire.cli.deployment import DEFAULT_URL, Deployment, Given, resolve
from tidewire.cli.exit_codes import CommandError, ExitCode, exit_code_of, told
from tidewire.cli.output import complain, let_go
from tidewire.cli.profiles import Profiles
from tidewire.errors import TidewireError
from tidewire.frames import Priority
from tidewire.ways import Way

P = ParamSpec("P")
_PANEL = "Which deployment, and who"


def complete_profile(incomplete: str) -> list[str]:
    """Return the profiles whose name begins so."""
    try:
        return [name for name in sorted(Profiles.of(os.environ).all()) if name.startswith(incomplete)]
    except CommandError:
        return []


PriorityOption = Annotated[Priority | None, typer.Option(help="[default: the channel's]")]
TransportOption = Annotated[
    Way | None, typer.Option("--transport", help="That way alone. [default: the best that works]")
]
ChannelArgument = Annotated[str, typer.Argument(metavar="CHANNEL", help="Such as room:lobby.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The document's name in its channel.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, one value a line.")]

UrlOption = Annotated[
    str | None,
    typer.Option(help=f"The deployment's origin. [env: TIDEWIRE_URL] [default: {DEFAULT_URL}]", rich_help_panel=_PANEL),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="A profile that has it; see 'tidewire profile'. [env: TIDEWIRE_PROFILE]",
        autocompletion=complete_profile,
        rich_help_panel=_PANEL,
    ),
]
TokenOption = Annotated[str | None, typer.Option(help="A user's token. [env: TIDEWIRE_TOKEN]", rich_help_panel=_PANEL)]
ApiKeyOption = Annotated[
    str | None, typer.Option(help="A server's key. [env: TIDEWIRE_API_KEY]", rich_help_panel=_PANEL)
]
UserOption = Annotated[
    str | None,
    typer.Option(
        help="Who to be where no credential is needed (stage local). [default: your name]", rich_help_panel=_PANEL
    ),
]
_COMMON = {
    "url": UrlOption,
    "profile": ProfileOption,
    "token": TokenOption,
    "api_key": ApiKeyOption,
    "user": UserOption,
}


def guarded(function: Callable[P, None]) -> Callable[P, None]:
    """Have the command end as it should, whatever happens: one line, and the exit code that fits."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
            sys.stdout.flush()  # not at the interpreter's end, where nobody could say anything
        except CommandError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except TidewireError as error:
            complain(told(error))
            raise typer.Exit(exit_code_of(error)) from None
        except BrokenPipeError:
            let_go()
            raise typer.Exit(ExitCode.CLOSED_PIPE) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    return run


def for_deployment(
    *, admin: bool = False, with_user: bool = True
) -> Callable[[Callable[Concatenate[Deployment, P], None]], Callable[..., None]]:
    """Give a command the options that say which deployment and who, and as its first argument the deployment.

    Args:
        admin: Where the deployment itself gives the token, it is to be an admin's.
        with_user: With ``--user``; without it the command may have one that means something else.
    """
    common = {name: option for name, option in _COMMON.items() if with_user or name != "user"}

    def decorate(function: Callable[Concatenate[Deployment, P], None]) -> Callable[..., None]:
        @guarded
        def run(
            url: str | None,
            profile: str | None,
            token: str | None,
            api_key: str | None,
            user: str | None = None,
            **rest: Any,
        ) -> None:
            with resolve(Given(url, profile, token, api_key, user), os.environ, admin=admin) as deployment:
                function(deployment, **rest)  # type: ignore[call-arg]

        return _with_options(run, function, common)

    return decorate


def _with_options(
    run: Callable[..., None], function: Callable[..., None], common: dict[str, Any]
) -> Callable[..., None]:
    """Return ``run``, which for Typer has the parameters of ``function`` without the first, and the common ones."""
    own = list(inspect.signature(function).parameters.values())[1:]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in common.items()
    ]
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]

    @wraps(function)
    def command(**kwargs: Any) -> None:
        run(**kwargs)

    signature = inspect.Signature([*keywords, *options])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    return command
