"""``tidewire profile``: deployments by name."""

import os
from typing import Annotated

import typer

from tidewire.cli.deployment import checked_url
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.options import JsonOption, complete_profile, guarded
from tidewire.cli.output import Output, note
from tidewire.cli.profiles import CREDENTIALS, Profile, Profiles

app = typer.Typer(no_args_is_help=True, help="Deployments by name, for --profile.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="As --profile has it.", autocompletion=complete_profile)]


@app.command("list")
@guarded
def list_(as_json: JsonOption = False) -> None:
    """List the profiles; their secrets are not shown.

    Columns: name, URL, user, which credential.

    Example: tidewire profile list
    """
    profiles = Profiles.of(os.environ)
    output = Output(as_json=as_json)
    found = sorted(profiles.all().items())
    if as_json:
        for name, one in found:
            output.json({"name": name, "url": one.url, "user": one.user, "credential": one.credential or None})
    elif found:
        rows = [[name, one.url or "", one.user or "", one.credential] for name, one in found]
        output.table(["name", "url", "user", "credential"], rows)
    elif output.for_people:
        note(f"there are none in {profiles.path}")


@app.command("set")
@guarded
def set_(
    name: _Name,
    url: Annotated[str | None, typer.Option(help="The deployment's origin.")] = None,
    token: Annotated[str | None, typer.Option(help="A user's token.")] = None,
    api_key: Annotated[str | None, typer.Option(help="A server's key.")] = None,
    token_command: Annotated[
        str | None, typer.Option(help="A shell command that prints a token; run anew when one was refused.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who to be where no credential is needed (stage local).")] = None,
) -> None:
    """Write a profile, in place of the one of that name.

    The file is its owner's alone (mode 0600). A credential is sent to the profile's URL, and nowhere else.

    Example: tidewire profile set prod --url https://rt.example.com --token-command 'pass show tidewire'
    """
    profile = Profile(url=url, token=token, api_key=api_key, token_command=token_command, user=user)
    if sum(getattr(profile, kind) is not None for kind in CREDENTIALS) > 1:
        raise CommandError("one of --token, --api-key and --token-command", ExitCode.USAGE)
    if url is not None:
        checked_url(url)
    profiles = Profiles.of(os.environ)
    profiles.set(name, profile)
    note(f"profile {name} is in {profiles.path}")


@app.command()
@guarded
def remove(name: _Name) -> None:
    """Remove a profile.

    Example: tidewire profile remove prod
    """
    Profiles.of(os.environ).remove(name)
    note(f"profile {name} is removed")
