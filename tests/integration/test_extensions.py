"""What users put into functions/ and it goes wrong, or says no: in the deployed functions."""

import secrets

import pytest

from localstack.stack import LocalStack
from tests.integration.client import RequestError
from tests.integration.conftest import Connect
from tests.integration.edited import edited

DOCUMENTS = "functions/documents/__init__.py"
NO_SCHEMAS = "_SCHEMAS: Final[Mapping[str, Schema | str]] = {}"
SCHEMAS = NO_SCHEMAS.replace("{}", '{"room:*#cart": {"type": "object", "required": ["items"]}}')
LARGER = "functions/documents/keep_larger.py"
DICE = "functions/commands/dice.py"


async def test_a_document_that_does_not_fit_its_schema_is_refused(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    with edited(stack, "ws_message", DOCUMENTS, NO_SCHEMAS, SCHEMAS):
        ann = await connect("ann")
        await ann.ask("state.set", channel=channel, key="cart", value={"items": []})
        with pytest.raises(RequestError, match="1014 refused") as refused:
            await ann.ask("state.patch", channel=channel, key="cart", patch={"items": None})
        assert refused.value.error["details"]["problems"] == [{"pointer": "/items", "keyword": "required"}]
        await ann.ask("state.set", channel=channel, key="other", value=1)
        document = (await ann.ask("state.get", channel=channel, key="cart"))["documents"]["cart"]
        assert (document["version"], document["value"]) == (1, {"items": []})


@pytest.mark.parametrize(
    ("new", "name"),
    [
        ('return Reject("closed", {"since": 5})', "1014 refused"),
        ('raise RuntimeError("of no concern to clients")', "2000 internal"),
        ("return {1, 2}", "2000 internal"),
    ],
)
async def test_a_resolver_that_says_no_or_fails_harms_nothing(
    stack: LocalStack, connect: Connect, new: str, name: str
) -> None:
    channel = f"score:{secrets.token_hex(6)}"
    with edited(stack, "ws_message", LARGER, "del base, conflicts", new):
        ann = await connect("ann")
        await ann.ask("state.set", channel=channel, key="k", value={"a": 1})
        await ann.ask("state.set", channel=channel, key="k", value={"a": 2}, base_version=1)
        with pytest.raises(RequestError, match=name) as refused:
            await ann.ask("state.set", channel=channel, key="k", value={"a": 3}, base_version=1)
        assert "concern" not in str(refused.value.error)
        document = (await ann.ask("state.get", channel=channel, key="k"))["documents"]["k"]
        assert (document["version"], document["value"]) == (2, {"a": 2})


@pytest.mark.parametrize(
    ("new", "name"),
    [
        ("import threading; threading.Event().wait()", "2002 timeout"),
        ('raise RuntimeError("of no concern to clients")', "2000 internal"),
        ('raise CommandError("no dice", {"left": 0})', "1013 command_failed"),
    ],
)
async def test_a_handler_that_never_answers_or_fails_harms_nobody(
    stack: LocalStack, connect: Connect, channel: str, new: str, name: str
) -> None:
    old = "    context.may_publish(request.channel)\n"
    raising = f"    from shared.domain.commands import CommandError\n    {new}\n"
    with edited(stack, "ws_message", DICE, old, raising):
        ann = await connect("ann")
        with pytest.raises(RequestError, match=name) as refused:
            await ann.ask("command", name="dice.roll", data={"channel": channel}, timeout_ms=1_000)
        assert "concern" not in str(refused.value.error)
        assert await ann.publish(channel, 1, priority="express")
