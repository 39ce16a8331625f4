"""``tidewire keys``: the API keys of servers."""

from typing import Annotated, Any

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.identity import no_tidewire
from tidewire.cli.options import JsonOption, for_deployment
from tidewire.cli.output import Output, note
from tidewire.cli.paths import name_in_path
from tidewire.cli.printable import json_line
from tidewire.cli.values import capabilities

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of servers. For admins.")


@app.command()
@for_deployment(admin=True)
def create(
    deployment: Deployment,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, such as billing.")],
    allow: Annotated[list[str], typer.Option(metavar="PATTERN=CAPABILITY,…", help="What it allows; may come again.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key, and print it: it is shown this once.

    Example: tidewire keys create billing --allow 'room:*=publish,history'
    """
    made = deployment.ask("POST", "/v1/keys", json={"name": name, "caps": capabilities(allow)})
    output = Output(as_json=as_json)
    if as_json:
        return output.json(made)
    if not isinstance(made.get("key"), str):
        raise no_tidewire(deployment.url)
    note(f"key {made.get('key_id')} for {name}: keep it, it is not shown again")
    output.line(made["key"])


@app.command("list")
@for_deployment(admin=True)
def list_(deployment: Deployment, as_json: JsonOption = False) -> None:
    """List the keys.

    Columns: id, name, when it was made, what it allows.

    Example: tidewire keys list
    """
    output = Output(as_json=as_json)
    keys: list[dict[str, Any]] = []
    more = True
    while more:
        page = deployment.ask("GET", "/v1/keys", params={"after": keys[-1].get("key_id")} if keys else None)
        found = page.get("keys")
        if not isinstance(found, list) or not all(isinstance(key, dict) for key in found):
            raise no_tidewire(deployment.url)
        keys += found
        more = bool(page.get("more") and found)
    if as_json:
        for key in keys:
            output.json(key)
    elif keys:
        output.table(["id", "name", "made", "allows"], [_row(output, key) for key in keys])


@app.command()
@for_deployment(admin=True)
def revoke(
    deployment: Deployment,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Of 'tidewire keys list': not the key itself.")],
) -> None:
    """Revoke a key: it holds no longer.

    Example: tidewire keys revoke 5f0c91d2a7b3e864
    """
    deployment.delete(f"/v1/keys/{name_in_path(key_id)}")
    note(f"key {key_id} is revoked")


def _row(output: Output, key: dict[str, Any]) -> list[str]:
    return [
        str(key.get("key_id")),
        str(key.get("name")),
        output.moment(key.get("created_at_ms")),
        json_line(key.get("caps")),
    ]
