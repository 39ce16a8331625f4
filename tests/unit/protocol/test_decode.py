"""Bytes to requests: whatever comes in, the result is a list of frames or a TidewireError, never anything else."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from shared.errors import BadFrameError, InvalidFieldError, TidewireError, TooLargeError
from shared.protocol.decode import check_data, parse, request_id, validate
from shared.protocol.encode import to_json
from shared.protocol.requests import Publish
from tests.unit.protocol.golden import REQUESTS

MAX_BYTES = 32_000
MARK = "HUSH"  # in everything that the client of these tests says

keys = st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(), max_size=12)
)  # with NaN, infinities and lone surrogates: json.dumps writes them all
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
marked: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | keys.map(lambda text: MARK + text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys.map(lambda text: MARK + text), inner, max_size=3),
    max_leaves=8,
)


def attempt(body: str | bytes) -> list[BaseModel | TidewireError]:
    """Return what becomes of each frame, or of the body as a whole."""
    try:
        frames = parse(body, max_bytes=MAX_BYTES)
    except TidewireError as error:
        return [error]
    assert 0 < len(frames) <= 100
    outcomes: list[BaseModel | TidewireError] = []
    for frame in frames:
        request_id(frame)
        try:
            outcomes.append(validate(frame))
        except TidewireError as error:
            outcomes.append(error)
    return outcomes


class TestWhateverComesIn:
    @given(body=st.binary() | st.text(alphabet=st.characters()))
    def test_bytes(self, body: bytes | str) -> None:
        assert attempt(body)

    @pytest.mark.parametrize(
        "body", ["\ud800", '{"type":"ping","pad":"\udfff"}', b'{"type":"ping","pad":"\xed\xa0\x80"}']
    )
    def test_what_is_no_utf8(self, body: str | bytes) -> None:
        (error,) = attempt(body)
        assert isinstance(error, BadFrameError)

    @given(value=json_values)
    def test_json(self, value: Any) -> None:
        assert attempt(json.dumps(value))

    @given(frame=st.sampled_from(REQUESTS), changes=st.dictionaries(keys, json_values, max_size=3), data=st.data())
    def test_requests_with_anything_in_any_field(self, frame: Any, changes: Any, data: st.DataObject) -> None:
        field = data.draw(st.sampled_from(sorted(frame)))
        assert attempt(json.dumps(frame | changes | {field: data.draw(json_values)}))

    @given(frame=st.sampled_from(REQUESTS), cut=st.integers(0, 200))
    def test_requests_cut_short(self, frame: Any, cut: int) -> None:
        whole = to_json(frame)
        outcomes = attempt(whole[:cut])
        assert len(outcomes) == 1
        assert isinstance(outcomes[0], BadFrameError) is (cut < len(whole))


class TestErrors:
    @given(data=st.data(), frame=st.sampled_from(REQUESTS))
    def test_never_repeat_what_the_client_sent(self, data: st.DataObject, frame: dict[str, Any]) -> None:
        """Not its values, and not the keys of its mappings: an error goes into logs of others."""
        changed = copy.deepcopy(frame)
        place: Any = changed
        field = data.draw(st.sampled_from(sorted(place)))
        while isinstance(place[field], dict) and place[field] and data.draw(st.booleans()):
            place, field = place[field], data.draw(st.sampled_from(sorted(place[field])))
        place[field] = data.draw(marked)
        for outcome in attempt(json.dumps(changed)):
            if isinstance(outcome, TidewireError):
                assert MARK not in json.dumps(outcome.to_wire())

    def test_leave_out_the_keys_of_a_mapping(self) -> None:
        positions = {"HUSH": {"epoch": "e", "offset": 1}, "room:a": {"epoch": "e", "offset": "x"}}
        with pytest.raises(InvalidFieldError) as caught:
            validate({"type": "sync", "id": 1, "positions": positions})
        assert [field["field"] for field in (caught.value.details or {})["fields"]] == ["positions", "positions.offset"]
        assert "HUSH" not in str(caught.value)

    def test_name_the_field_by_its_path(self) -> None:
        subscribe = [{"channel": "room:a"}, {"channel": "room:b", "since": {"epoch": "e"}}]
        with pytest.raises(InvalidFieldError) as caught:
            validate({"type": "hello", "id": 1, "protocol": 1, "subscribe": subscribe})
        assert caught.value.details == {"fields": [{"field": "subscribe.1.since.offset", "problem": "Field required"}]}
        assert str(caught.value) == "subscribe.1.since.offset: Field required"

    def test_name_a_field_that_is_called_like_a_type(self) -> None:
        with pytest.raises(InvalidFieldError) as caught:
            validate({"type": "subscribe", "id": 1, "channel": "room:a", "history": "x"})
        assert str(caught.value).startswith("history: ")

    def test_stay_small_however_much_is_wrong(self) -> None:
        positions = {f"{n}{'x' * 200}": n for n in range(100)}
        (error,) = attempt(json.dumps({"type": "sync", "id": 1, "positions": positions}))
        assert isinstance(error, InvalidFieldError)
        assert len(to_json(error.to_wire())) < 3000


class TestSizes:
    def test_a_frame_has_max_bytes_and_no_more(self) -> None:
        frame = '{"type":"ping","pad":""}'
        pad = "x" * (MAX_BYTES - len(frame))
        assert parse(frame.replace('""', f'"{pad}"'), max_bytes=MAX_BYTES)
        with pytest.raises(TooLargeError) as caught:
            parse(frame.replace('""', f'"{pad}x"'), max_bytes=MAX_BYTES)
        assert caught.value.details == {"max_bytes": MAX_BYTES}

    def test_bytes_count_and_not_characters(self) -> None:
        with pytest.raises(TooLargeError):
            parse('{"type":"ping","pad":"' + "ü" * 16_000 + '"}', max_bytes=MAX_BYTES)

    def test_a_large_frame_is_not_even_read(self) -> None:
        with pytest.raises(TooLargeError):
            parse(b"\xff" * (MAX_BYTES + 1), max_bytes=MAX_BYTES)

    def test_a_batch_has_one_to_a_hundred_frames(self) -> None:
        assert len(parse(json.dumps([{"type": "ping"}] * 100), max_bytes=MAX_BYTES)) == 100
        for count in (0, 101):
            with pytest.raises(BadFrameError):
                parse(json.dumps([{"type": "ping"}] * count), max_bytes=MAX_BYTES)

    @pytest.mark.parametrize("character", ["x", "ü", "\\"])
    def test_data_has_24000_bytes_as_they_are_sent_on(self, character: str) -> None:
        each = len(to_json(character)) - 2
        fits = character * ((24_000 - 2) // each)
        check_data(fits)
        with pytest.raises(TooLargeError) as caught:
            check_data(fits + character)
        assert caught.value.details == {"max_bytes": 24_000}


class TestNesting:
    @staticmethod
    def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
        return (
            '{"type":"publish","id":1,"channel":"room:a","name":"n","data":' + opening * depth + closing * depth + "}"
        )

    def test_200_levels_are_read(self) -> None:
        (frame,) = parse(self.nested(200), max_bytes=MAX_BYTES)
        validate(frame)

    @pytest.mark.parametrize("depth", [201, 1_000, 10_000])
    def test_more_are_refused(self, depth: int) -> None:
        with pytest.raises(BadFrameError):
            parse(self.nested(depth), max_bytes=MAX_BYTES)

    @pytest.mark.parametrize("text", ["[" * 10_000, '{"a":' * 5_000, nested(2_000, '{"a":', "}")])
    def test_of_every_shape(self, text: str) -> None:
        with pytest.raises(BadFrameError):
            parse(text, max_bytes=MAX_BYTES)


class TestNumbers:
    @pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400 + ".5", "1" + "0" * 5_000])
    def test_what_no_reader_holds_is_refused(self, number: str) -> None:
        (error,) = attempt('{"type":"publish","id":1,"channel":"room:a","name":"n","data":[' + number + "]}")
        assert isinstance(error, BadFrameError)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_what_is_no_json_is_refused_even_in_fields_that_nobody_reads(self, number: str) -> None:
        (error,) = attempt('{"type":"ping","later":' + number + "}")
        assert isinstance(error, BadFrameError)

    @pytest.mark.parametrize("field", ["id", "limit"])
    def test_also_where_a_whole_number_is_asked_for(self, field: str) -> None:
        (error,) = attempt('{"type":"history","id":1,"channel":"room:a","' + field + '":1e999}')
        assert isinstance(error, InvalidFieldError)


class TestRequestId:
    @pytest.mark.parametrize("value", [0, 1, -1, 2**53 - 1, 1 - 2**53, "", "x" * 64, "ü"])
    def test_a_good_id_is_read_from_a_frame_that_is_wrong_otherwise(self, value: int | str) -> None:
        assert request_id({"id": value, "type": 5}) == value

    @pytest.mark.parametrize("value", [None, True, False, 1.0, 2**53, -(2**53), "x" * 65, [], {}, 10**400])
    def test_a_bad_id_is_none(self, value: Any) -> None:
        assert request_id({"id": value}) is None

    @given(frame=json_values)
    def test_whatever_comes_in(self, frame: Any) -> None:
        found = request_id(frame)
        assert found is None or found == frame["id"]

    @given(frame=st.sampled_from(REQUESTS), id_=json_values)
    def test_it_is_the_id_of_every_request_that_is_good(self, frame: dict[str, Any], id_: Any) -> None:
        try:
            request = validate(frame | {"id": id_})
        except InvalidFieldError:
            return
        assert request_id(frame | {"id": id_}) == request.id


def publish(data: str) -> str:
    return '{"type":"publish","id":1,"channel":"room:a","name":"said","data":' + data + "}"


class TestOddJson:
    @pytest.mark.parametrize(
        ("data", "value"),
        [
            ('1,"data":2', 2),  # of a key that comes twice the last counts: everywhere, since it is read once
            ('"\\u0000"', "\x00"),
            ('{"\\u0000":1}', {"\x00": 1}),
            ('"\\ud83d\\ude00"', "😀"),
            ('{"__proto__":{"a":1}}', {"__proto__": {"a": 1}}),
            ('"\\r\\n\\u001b[1m\\u202e"', "\r\n\x1b[1m\u202e"),
            (json.dumps({"k" * 23_000: 1}), {"k" * 23_000: 1}),
            ("1e308", 1e308),
            ("1e-999", 0.0),
            ("9" * 308, int("9" * 308)),
            ('"' + "9" * 5_000 + '"', "9" * 5_000),
        ],
    )
    def test_what_is_taken_as_it_is(self, data: str, value: Any) -> None:
        (frame,) = parse(publish(data), max_bytes=32_000)
        request = validate(frame)
        assert isinstance(request, Publish)
        assert request.data == value

    @pytest.mark.parametrize(
        "data",
        [
            "NaN",
            "-Infinity",
            '"\\udc00"',
            '"\\ud800x"',
            '"\x00"',
            '"\n"',
            "1 /* x */",
            "01",
            "+1",
            "0x1",
            "'x'",
            "[1,]",
            "1}x",
            "9" * 310,
            "-" + "9" * 310,
            '[[[{"a":' + "9" * 4_000 + "}]]]",
            "9" * 5_000,
        ],
    )
    def test_what_is_refused(self, data: str) -> None:
        with pytest.raises(BadFrameError):
            parse(publish(data), max_bytes=32_000)

    @pytest.mark.parametrize(
        "body",
        [b'{"type":"ping","id":"\xc0\xaf"}', b'{"type":"ping","id":"\xed\xa0\x80"}', publish("1").encode("utf-16")],
    )
    def test_what_is_no_utf8_by_any_trick(self, body: bytes) -> None:
        with pytest.raises(BadFrameError):
            parse(body, max_bytes=32_000)

    def test_a_byte_order_mark_is_no_json(self) -> None:
        with pytest.raises(BadFrameError):
            parse("\ufeff" + publish("1"), max_bytes=32_000)
