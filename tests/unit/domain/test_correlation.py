"""The id of a publication in logs: the same everywhere, and nothing of what a client has chosen."""

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.correlation import about, correlation_id, is_followed, note, noted, of_frames
from shared.domain.publication import Publication

DOCUMENT: Final = Path(__file__).resolve().parents[3] / "docs" / "observability.md"
HOSTILE: Final = st.text(max_size=64) | st.sampled_from(
    ['"}\n{"level": "ERROR"', "\x1b[2J", "\u2028", "${jndi:x}", "'; --"]
)


@given(user_id=HOSTILE, message_id=HOSTILE)
def test_whatever_a_client_chooses_it_is_sixteen_digits(user_id: str, message_id: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", correlation_id("room:a", user_id, message_id))


@given(one=st.tuples(HOSTILE, HOSTILE), other=st.tuples(HOSTILE, HOSTILE))
def test_two_publications_of_a_channel_have_two(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (correlation_id("room:a", *one) == correlation_id("room:a", *other)) == (one == other)


def test_the_channel_counts() -> None:
    assert correlation_id("room:a", "ann", "m1") != correlation_id("room:b", "ann", "m1")


def test_a_push_has_the_id_of_its_publication() -> None:
    publication = Publication("m1", "said", {}, "ann", "c1", "normal", 0)
    frames = [
        publication.to_event("room:a"),
        {"type": "receipt", "channel": "room:a", "message_id": "m2", "status": "stored"},
        {"type": "command", "command_id": "x", "name": "n", "sender": {"user_id": "ann"}},
        {"type": "typing", "channel": "room:a", "user_id": "ann", "active": True},
    ]
    assert of_frames("room:a", frames) == [correlation_id("room:a", "ann", "m1")]


def test_a_share_of_all_is_followed_and_each_share_holds_the_smaller_ones() -> None:
    ids = [correlation_id("room:a", "ann", str(number)) for number in range(10_000)]
    shares = (0.0, 0.01, 0.5, 1.0)
    followed = [{one for one in ids if is_followed(one, share)} for share in shares]
    assert not followed[0]
    assert 60 <= len(followed[1]) <= 140  # 100 ± 4 standard deviations
    assert 4_800 <= len(followed[2]) <= 5_200
    assert len(followed[3]) == len(ids)
    assert followed[1] <= followed[2]


def test_errors_say_what_they_are_about_once_and_nothing_that_others_noted() -> None:
    error = ValueError("x")
    error.add_note("correlation_id=0123456789abcdef and more\n")
    error.add_note("HUSH")
    with pytest.raises(ValueError, match="x"), about(["0" * 16]), about(["0" * 16, "f" * 16]):
        raise error
    note(error, ["f" * 16])
    assert noted(error) == ["0" * 16, "f" * 16]
    assert noted(ValueError()) == []


@pytest.mark.parametrize("user_id", ["ann", "änn ☃", "event:billing"])
def test_the_documents_shell_line_reckons_it(user_id: str) -> None:
    (line,) = re.findall(r"^printf .*$", DOCUMENT.read_text(), re.MULTILINE)
    told = {"channel": "room:a", "user": user_id, "message": 'm\'1 "$x"'}
    done = subprocess.run(
        ["bash", "-c", line],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **told},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == correlation_id(told["channel"], user_id, told["message"]) + "\n"
