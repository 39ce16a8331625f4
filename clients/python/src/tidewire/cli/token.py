"""``tidewire token``: a token for a user, signed by a deployment of stage ``local`` or with a stage's secret."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tidewire.cli.deployment import Given, os_user, resolve
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.identity import development_token
from tidewire.cli.options import ProfileOption, UrlOption, guarded
from tidewire.cli.output import Output
from tidewire.cli.signing import secret_of_file, secret_of_stack, sign
from tidewire.cli.values import capabilities, duration_s

_PANEL = "Signed with a stage's secret"
_TTL_S = 3600


@guarded
def token(
    user: Annotated[str | None, typer.Option(help="Whose it is. [default: your name]")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN=CAPABILITY,…",
            help="What it allows; may come again. [default, where the deployment signs: everything but admin]",
        ),
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(parser=duration_s, metavar="DURATION", help="How long it holds. [default: 1h]")
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Has the secret.", rich_help_panel=_PANEL)
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The CloudFormation stack whose secret it is, such as TidewireDev. Needs boto3.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    url: UrlOption = None,
    profile: ProfileOption = None,
) -> None:
    """Print a token.

    A deployment of stage local signs it. Otherwise it is signed here, with the secret of --secret-file, of --stack,
    or of the environment's TIDEWIRE_SECRET; then --allow says what it allows.

    Example: tidewire token --user ann --allow 'room:*=subscribe,publish' --stack TidewireDev
    """
    caps = capabilities(allow) if allow else None
    ttl_s = max(1, round(ttl or _TTL_S))
    secret = _secret(secret_file, stack)
    if secret is None:
        with resolve(Given(url=url, profile=profile, user=user), os.environ) as deployment:
            signed = development_token(deployment.url, deployment.user, deployment.http, caps, ttl_s)
    elif caps is None:
        raise CommandError("say what it allows, such as --allow 'room:*=subscribe,publish'", ExitCode.USAGE)
    else:
        signed = sign(secret, user or os_user(), caps, ttl_s)
    Output().line(signed)


def _secret(file: Path | None, stack: str | None) -> str | None:
    if file is not None and stack is not None:
        raise CommandError("--secret-file or --stack: not both", ExitCode.USAGE)
    if file is not None:
        return secret_of_file(file)
    if stack is not None:
        return secret_of_stack(stack)
    return os.environ.get("TIDEWIRE_SECRET") or None
