"""``tidewire state``: the documents that a channel has in common."""

from typing import Annotated, Any

import httpx
import typer
from rich.text import Text

from tidewire.cli.deployment import Deployment, object_of
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.identity import no_tidewire
from tidewire.cli.lines import read_all
from tidewire.cli.options import ChannelArgument, JsonOption, KeyArgument, for_deployment
from tidewire.cli.output import Output, data
from tidewire.cli.paths import channel_path
from tidewire.cli.values import json_object, json_or_text

app = typer.Typer(no_args_is_help=True, help="Read, write and watch a channel's documents.")

_IfVersion = Annotated[
    int | None, typer.Option(min=0, help="Only upon this version of it; 0: only where there is none yet.")
]


@app.command()
@for_deployment()
def get(
    deployment: Deployment,
    channel: ChannelArgument,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="All documents, if it is left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a document, or all of a channel.

    Columns, of all: key, version, when and by whom it was written, value.

    Example: tidewire state get room:lobby board
    """
    output = Output(as_json=as_json)
    if key is not None:
        value = _value(deployment, deployment.call("GET", channel_path(channel, "state", key)))
        if as_json:
            output.json(value)
        else:
            output.line(data(value["value"]))
        return
    documents = _documents(deployment, channel)
    if as_json:
        for name, document in documents.items():
            output.json({"key": name, **document})
    elif documents:
        output.table(
            ["key", "version", "written", "by", "value"],
            [_row(output, deployment, channel, name, document) for name, document in documents.items()],
        )


@app.command("set")
@for_deployment()
def set_(
    deployment: Deployment,
    channel: ChannelArgument,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON, else it is a text; - reads standard input.")],
    if_version: _IfVersion = None,
    as_json: JsonOption = False,
) -> None:
    """Set a document, whatever it is now.

    Example: tidewire state set room:lobby board '{"title": "Plans"}' --if-version 0
    """
    parsed = json_or_text(read_all() if value == "-" else value)
    if parsed is None:
        raise CommandError("a document is anything but null: 'tidewire state delete' takes it away", ExitCode.USAGE)
    _write(deployment, "PUT", channel, key, parsed, if_version, as_json=as_json)


@app.command()
@for_deployment()
def patch(
    deployment: Deployment,
    channel: ChannelArgument,
    key: KeyArgument,
    changes: Annotated[
        str, typer.Argument(metavar="PATCH", help="A merge patch (RFC 7396): null takes a member away; - reads it.")
    ],
    if_version: _IfVersion = None,
    as_json: JsonOption = False,
) -> None:
    """Change members of a document.

    Example: tidewire state patch room:lobby board '{"open": true, "draft": null}'
    """
    parsed = json_object(read_all() if changes == "-" else changes)
    _write(deployment, "PATCH", channel, key, parsed, if_version, as_json=as_json)


@app.command()
@for_deployment()
def delete(
    deployment: Deployment,
    channel: ChannelArgument,
    key: KeyArgument,
    if_version: _IfVersion = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a document.

    Example: tidewire state delete room:lobby board --if-version 7
    """
    _write(deployment, "DELETE", channel, key, None, if_version, as_json=as_json)


def _write(
    deployment: Deployment, method: str, channel: str, key: str, body: Any, if_version: int | None, *, as_json: bool
) -> None:
    """Write; tell which version it is now, and whether others had written as well."""
    headers = {} if if_version is None else {"If-Match": f'"{if_version}"'} if if_version else {"If-None-Match": "*"}
    answer = deployment.ask(method, channel_path(channel, "state", key), json=body, headers=headers)
    output = Output(as_json=as_json)
    if as_json:
        output.json(answer)
    else:
        output.line(str(answer.get("version")), str(answer.get("resolution")))


def _value(deployment: Deployment, response: httpx.Response) -> dict[str, Any]:
    try:
        return {"version": int(response.headers["ETag"].removeprefix("W/").strip('"')), "value": response.json()}
    except (KeyError, ValueError):
        raise no_tidewire(deployment.url) from None


def _documents(deployment: Deployment, channel: str) -> dict[str, dict[str, Any]]:
    """Return all documents by key: page by page."""
    documents: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        params = {"after": after} if after else None
        page = object_of(deployment.url, deployment.call("GET", channel_path(channel, "state"), params=params))
        found = page.get("documents")
        if not isinstance(found, dict) or not all(isinstance(document, dict) for document in found.values()):
            raise no_tidewire(deployment.url)
        documents |= {key: document for key, document in found.items() if not document.get("deleted")}
        if not page.get("more") or not found:
            return documents
        after = max(found)


def _row(output: Output, deployment: Deployment, channel: str, key: str, document: dict[str, Any]) -> list[str | Text]:
    # One that is too large for a list has no value there.
    if "value" in document:
        value = document["value"]
    else:
        value = _value(deployment, deployment.call("GET", channel_path(channel, "state", key)))["value"]
    return [
        key,
        str(document.get("version")),
        output.moment(document.get("updated_at_ms")),
        str(document.get("updated_by", "")),
        data(value),
    ]
