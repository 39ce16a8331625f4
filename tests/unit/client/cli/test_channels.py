"""Channels by HTTP: publish, history, presence, documents; over a whole Tidewire."""

import json
from pathlib import Path

from tests.unit.client.cli.conftest import Run
from tests.unit.stack import MemoryStack
from tidewire.cli.profiles import Profile, Profiles


def test_what_is_published_is_in_the_history(served: MemoryStack, run: Run) -> None:
    assert run("pub", "room:a", '{"text": "hi"}', "--name", "said", "--message-id", "m1").out == "accepted\tm1\n"
    ended = run("history", "room:a")
    time, place, sender, name, data = ended.out.rstrip("\n").split("\t")
    assert (ended.code, sender, name, json.loads(data)) == (0, "ann", "said", {"text": "hi"})
    assert place.endswith(":1")
    assert time[:2] == "20"


def test_what_is_no_json_is_a_text(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "hello world")
    run("pub", "room:a", "NaN")
    run("pub", "room:a", '"quoted"')
    assert [line.split("\t")[-1] for line in run("history", "room:a").lines] == ['"hello world"', '"NaN"', '"quoted"']


def test_express_is_told_its_place_at_once(served: MemoryStack, run: Run) -> None:
    place, message_id = run("pub", "room:a", "1", "--priority", "express", "--message-id", "m1").out.split()
    assert (place.rpartition(":")[2], message_id) == ("1", "m1")


def test_lines_of_standard_input_are_published_in_their_order(served: MemoryStack, run: Run) -> None:
    ended = run("pub", "room:a", "-", stdin='{"n": 1}\n\nsecond\r\n3')
    assert (ended.code, ended.out, ended.err) == (0, "", "tidewire: 3 published\n")
    assert [line.split("\t")[-1] for line in run("history", "room:a").lines] == ['{"n":1}', '"second"', "3"]


def test_a_line_that_is_not_utf_8_is_told_and_the_others_go_on(served: MemoryStack, run: Run) -> None:
    ended = run("pub", "room:a", "-", stdin=b"1\n\xff\xfe\n3\n")
    assert (ended.code, ended.err.splitlines()) == (
        1,
        ["tidewire: line 2: it is not UTF-8", "tidewire: 2 published, 1 refused"],
    )
    assert [line.split("\t")[-1] for line in run("history", "room:a").lines] == ["1", "3"]


def test_a_line_that_is_refused_is_told_and_the_others_go_on(served: MemoryStack, run: Run) -> None:
    ended = run("pub", "room:a", "-", stdin="1\n" + "x" * 25_000 + "\n3\n")
    assert (ended.code, ended.err.splitlines()[-1]) == (1, "tidewire: 2 published, 1 refused")
    assert ended.err.startswith("tidewire: line 2: ") and "too_large" in ended.err
    assert len(run("history", "room:a").lines) == 2


def test_a_line_that_cannot_be_sent_is_told_as_well(served: MemoryStack, run: Run) -> None:
    ended = run("pub", "room:a", "-", "--json", stdin="1e999\n2\n")
    assert (ended.code, ended.err.splitlines()[-1]) == (1, "tidewire: 1 published, 1 refused")
    [result] = map(json.loads, ended.lines)
    assert result["status"] == "accepted"


def test_lines_that_may_not_be_published_end_it(served: MemoryStack, run: Run) -> None:
    ended = run("pub", "room:a", "-", "--token", served.token("ann", {"room:a": ["history"]}), stdin="1\n2\n")
    assert (ended.code, ended.err.splitlines()[0]) == (4, "tidewire: 0 published")
    assert "forbidden" in ended.err.splitlines()[1]


def test_lines_are_published_with_another_token_where_one_has_ended(
    served: MemoryStack, run: Run, surroundings: Path, tmp_path: Path
) -> None:
    used = tmp_path / "used"
    good = served.token("ann")
    command = f"if [ -e {used} ]; then echo {good}; else touch {used}; echo a.b.c; fi"
    Profiles(surroundings).set("prod", Profile(token_command=command))
    ended = run("pub", "room:a", "-", "-p", "prod", stdin="1\n2\n3\n")
    assert (ended.code, ended.err) == (0, "tidewire: 3 published\n")
    assert [line.split("\t")[-1] for line in run("history", "room:a").lines] == ["1", "2", "3"]


def test_history_goes_on_over_pages(served: MemoryStack, run: Run) -> None:
    served.connect("c1", "ann")
    for n in range(320):
        served.ask("c1", {"type": "publish", "channel": "room:a", "name": "said", "data": n})
    served.drain()
    assert [line.split("\t")[-1] for line in run("history", "room:a", "--all").lines] == [str(n) for n in range(320)]
    assert len(run("history", "room:a").lines) == 50
    assert len(run("history", "room:a", "-n", "310").lines) == 310
    latest = run("history", "room:a", "--reverse", "-n", "2").lines
    assert [line.split("\t")[-1] for line in latest] == ["319", "318"]
    place = latest[1].split("\t")[1]
    assert [line.split("\t")[-1] for line in run("history", "room:a", "--since", place).lines] == ["319"]


def test_history_as_json_is_what_the_protocol_has(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "1", "--message-id", "m1")
    [event] = map(json.loads, run("history", "room:a", "--json").lines)
    assert (event["channel"], event["message_id"], event["offset"], event["data"]) == ("room:a", "m1", 1, 1)
    assert event["sender"] == {"user_id": "ann", "connection_id": None}


def test_a_place_in_another_stream_is_told(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "1")
    ended = run("history", "room:a", "--since", "other:1")
    assert (ended.code, ended.out) == (0, "")
    assert "started over" in ended.err


def test_what_others_sent_cannot_move_the_cursor(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "one\ttwo\x1b[2J\u202e\x9b", "--name", "said")
    [line] = run("history", "room:a").lines
    assert line.split("\t")[-1] == '"one\\ttwo\\u001b[2J\\u202e\\u009b"'
    [event] = map(json.loads, run("history", "room:a", "--json").lines)
    assert event["data"] == "one\ttwo\x1b[2J\u202e\x9b"


def test_presence_lists_all_members(served: MemoryStack, run: Run) -> None:
    for user in ("ann", "bob"):
        served.connect(f"c-{user}", user)
        served.ask(f"c-{user}", {"type": "subscribe", "channel": "room:a", "presence": True})
    served.ask("c-bob", {"type": "presence.update", "channel": "room:a", "status": "busy", "data": {"mood": "fine"}})
    rows = [line.split("\t") for line in run("presence", "room:a").lines]
    assert [(row[0], row[1], row[5]) for row in rows] == [("ann", "online", ""), ("bob", "busy", '{"mood":"fine"}')]
    members = [json.loads(line) for line in run("presence", "room:a", "--json").lines]
    assert [member["user_id"] for member in members] == ["ann", "bob"]


def test_nobody_present_is_nothing(served: MemoryStack, run: Run) -> None:
    assert run("presence", "room:a").out == ""


def test_documents_are_set_patched_read_and_deleted(served: MemoryStack, run: Run) -> None:
    assert run("state", "set", "room:a", "board", '{"title": "Plans"}').out == "1\tapplied\n"
    assert run("state", "patch", "room:a", "board", '{"open": true}').out == "2\tapplied\n"
    assert json.loads(run("state", "get", "room:a", "board").out) == {"title": "Plans", "open": True}
    assert json.loads(run("state", "get", "room:a", "board", "--json").out)["version"] == 2
    run("state", "set", "room:a", "other", "7")
    rows = [line.split("\t") for line in run("state", "get", "room:a").lines]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("board", "2", "ann", '{"title":"Plans","open":true}'),
        ("other", "1", "ann", "7"),
    ]
    assert run("state", "delete", "room:a", "board").out == "3\tapplied\n"
    assert [line.split("\t")[0] for line in run("state", "get", "room:a").lines] == ["other"]
    gone = run("state", "get", "room:a", "board")
    assert (gone.code, "not_found" in gone.err) == (1, True)


def test_a_document_is_read_from_standard_input(served: MemoryStack, run: Run) -> None:
    run("state", "set", "room:a", "board", "-", stdin='{"title":\n "Plans"}\n')
    assert run("state", "get", "room:a", "board").out == '{"title":"Plans"}\n'


def test_a_write_upon_another_version_is_refused(served: MemoryStack, run: Run) -> None:
    assert run("state", "set", "room:a", "board", "1", "--if-version", "0").code == 0
    ended = run("state", "set", "room:a", "board", "2", "--if-version", "0")
    assert (ended.code, "version_conflict" in ended.err) == (1, True)
    assert run("state", "set", "room:a", "board", "2", "--if-version", "1").code == 0
    assert run("state", "delete", "room:a", "board", "--if-version", "9").code == 1


def test_a_large_document_is_in_the_list_as_well(served: MemoryStack, run: Run) -> None:
    run("state", "set", "room:a", "board", "-", stdin=json.dumps("x" * 30_000))
    [row] = run("state", "get", "room:a").lines
    assert json.loads(row.split("\t")[4]) == "x" * 30_000


def test_a_purged_channel_is_empty(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "1")
    ended = run("purge", "--channel", "room:a", "--yes")
    assert (ended.code, ended.out) == (0, "")
    assert "is gone" in ended.err
    assert run("history", "room:a").out == ""


def test_names_are_encoded_in_paths(served: MemoryStack, run: Run) -> None:
    channel = "user:a%2Fb"
    assert run("state", "set", channel, "k~1%", "1").code == 0
    assert run("state", "get", channel, "k~1%").out == "1\n"
