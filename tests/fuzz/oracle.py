"""What has to come back: one reply for each request, as the protocol's models say; and a count of all that came."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from shared.errors import TidewireError
from shared.protocol.decode import parse
from shared.protocol.rest import ErrorObject, Problem
from tests.unit.protocol.test_server import PUSH, REPLY, RESULTS, is_all_of

_FINDINGS_KEPT: Final = 200
_MAX_SAFE_INTEGER: Final = 2**53 - 1
_ID_MAX_LENGTH: Final = 64
_ERRORS: Final = {error.code: error for error in TidewireError.__subclasses__()}
_PROBLEM: Final = TypeAdapter(Problem)
_RESULTS: Final = {type_: TypeAdapter[Any](model) for type_, model in RESULTS.items()}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. The case that led to it is had again by seed and index."""

    what: str
    index: int | None
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.what} (index {self.index}): {self.detail}"


@dataclass(slots=True)
class Ledger:
    """What a run has seen.

    Attributes:
        outcomes: How often each kind of answer came.
        losses: Connections that ended, by why: the protocol demanded each of them.
    """

    cases: int = 0
    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    found: int = 0

    def find(self, what: str, index: int | None, detail: object = "") -> None:
        """Note a finding."""
        self.found += 1
        if len(self.findings) < _FINDINGS_KEPT:
            self.findings.append(Finding(what, index, str(detail)[:1_000]))


@dataclass(frozen=True, slots=True)
class Expected:
    """The one answer to a frame.

    Attributes:
        type: The frame's; empty where it can't be read.
        id: What it bears; ``None`` where the frame's own can't be read.
        later: It may be pushed, and takes as long as a peer does.
        by: What the answer may be.
    """

    index: int
    type: str
    id: int | str | None
    later: bool = False
    by: tuple[Literal["reply", "pong"], ...] = ("reply",)

    def fits(self, frame: dict[str, Any]) -> bool:
        """Tell whether the frame may be that answer."""
        answer = frame.get("id")
        return frame["type"] in self.by and type(answer) is type(self.id) and answer == self.id


def expected(index: int, text: str, *, max_bytes: int, gateway: bool) -> list[Expected]:
    """Return what a message is answered by; ``gateway`` if API Gateway reads it before we do."""
    if gateway and _is_ping(text):
        # It has no id to echo: docs/protocol.md 2.1.
        return [Expected(index, "ping", None, by=("pong",))]
    try:
        frames = parse(text, max_bytes=max_bytes)
    except TidewireError:
        return [Expected(index, "", None)]
    return [_answer(index, frame) for frame in frames if not _wants_none(frame)]


def _is_ping(text: str) -> bool:
    """Read as API Gateway does, whose JSON takes more, and is not held to our sizes."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(frame, dict) and frame.get("type") == "ping"


def _answer(index: int, frame: Any) -> Expected:
    if not isinstance(frame, dict):
        return Expected(index, "", None)
    said, type_ = frame.get("id"), frame.get("type")
    id_ = said if _is_id(said) else None
    if type_ == "ping" and said == id_:
        return Expected(index, "ping", id_, by=("reply", "pong"))  # it may be refused with all of its list
    return Expected(index, type_ if isinstance(type_, str) else "", id_, type_ == "command" and "to" in frame)


def _is_id(said: Any) -> bool:
    if isinstance(said, str):
        return len(said) <= _ID_MAX_LENGTH
    return isinstance(said, int) and not isinstance(said, bool) and abs(said) <= _MAX_SAFE_INTEGER


def _wants_none(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.get("type") == "typing" and frame.get("id") is None


class Answers:
    """What one connection is still owed, and what is wrong with what it gets."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._owed: list[Expected] = []

    @property
    def owed(self) -> list[Expected]:
        """What has not been answered; that which is answered later as well."""
        return self._owed

    @property
    def due(self) -> int:
        """How much of it is answered at once."""
        return sum(not one.later for one in self._owed)

    def add(self, expected_: Iterable[Expected]) -> None:
        """Something is sent now."""
        self._owed += expected_

    def drop(self) -> None:
        """Nobody can be answered any more."""
        self._owed = []

    def missing(self) -> None:
        """What is owed by now does not come."""
        for one in self._owed:
            self._ledger.find("no reply", one.index, one)
        self.drop()

    def take(self, text: str | bytes) -> list[dict[str, Any]]:
        """Judge what came; return its frames."""
        message = json.loads(text)
        frames = message if isinstance(message, list) else [message]
        for frame in frames:
            if frame.get("type") in ("reply", "pong"):
                self._reply(frame)
            elif "type" not in frame:
                self._ledger.find("the integration failed", self._owed[0].index if self._owed else None, frame)
                self.drop()  # nobody can tell which of them will still be answered
            else:
                self._ledger.outcomes[f"push {frame['type']}"] += 1
                self._check(PUSH, frame, None)
        return frames

    def _reply(self, frame: dict[str, Any]) -> None:
        # Several may have no id: what can be answered in this one way is taken before what can be in two.
        one = min((one for one in self._owed if one.fits(frame)), key=lambda one: len(one.by), default=None)
        if one is None:
            self._ledger.find("a reply that nothing asked for", None, frame)
            return
        self._owed.remove(one)
        if frame["type"] == "pong":
            self._ledger.outcomes["pong"] += 1
            return
        self._check(REPLY, frame, one.index)
        if "error" in frame:
            judge_error(self._ledger, frame["error"], one.index)
        else:
            self._ledger.outcomes["ok"] += 1
            if (adapter := _RESULTS.get(one.type)) is None:
                self._ledger.find("a result for what has none", one.index, frame)
            else:
                self._check(adapter, frame.get("result"), one.index)

    def _check(self, adapter: TypeAdapter[Any], frame: Any, index: int | None) -> None:
        check(self._ledger, adapter, frame, index)


def check(ledger: Ledger, adapter: TypeAdapter[Any], value: Any, index: int | None) -> None:
    """Hold a value against its model: no field more or less."""
    if problem := _problem(adapter, value):
        ledger.find(problem[0], index, f"{problem[1]} {value}")


def _problem(adapter: TypeAdapter[Any], value: Any) -> tuple[str, str] | None:
    try:
        model = adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        return "not as the protocol says", str(error)
    return None if is_all_of(model, value) else ("a field that the protocol does not have", "")


def judge_error(ledger: Ledger, error: dict[str, Any], index: int | None) -> None:
    """Count an error; ``internal`` is never right, nor is one that the protocol does not know."""
    ledger.outcomes[str(error.get("name"))] += 1
    known = _ERRORS.get(error.get("code", 0))
    if known is None or known.name != error.get("name"):
        ledger.find("an error that is none of the protocol's", index, error)
    elif known.name == "internal":
        ledger.find("internal", index, error)


def judge_problem(ledger: Ledger, body: Any, status: int, index: int) -> None:
    """The same for an answer by HTTP. Routing's own have no code: there is no such path, or no such method."""
    if isinstance(body, dict) and "code" not in body and status in (400, 404, 405, 406, 415):
        ledger.outcomes[f"http {status}"] += 1
        return
    check(ledger, _PROBLEM, body, index)
    if isinstance(body, dict):
        known = _ERRORS.get(body.get("code", 0))
        if known is not None and known.http_status != status:
            ledger.find("a status that is not the error's", index, f"{status} {body}")
        fields = ErrorObject.model_fields
        judge_error(ledger, {name: value for name, value in body.items() if name in fields}, index)
