"""A session by HTTP for tests: what it says goes to one origin, whatever serves there."""

from typing import Any, Self

import httpx

from tests.integration.client import DEADLINE_S, Frame, dev_token


class HttpSession:
    """One session.

    Attributes:
        answer: What ``POST /v1/sessions`` said.
        cursor: That of the last poll.
    """

    def __init__(self, answer: Frame) -> None:
        self.answer = answer
        self.cursor: str | None = None

    @classmethod
    def open(cls, origin: str, *, dev: str | None = None, user_id: str = "ann", **body: Any) -> Self:
        """Begin one at the app at ``origin``; the token is from ``dev``, the stack's edge, if that is another."""
        bearer = {"Authorization": f"Bearer {dev_token(dev or origin, user_id)}"}
        json = {"protocol": 1, **body}
        answer = httpx.post(f"{origin}/v1/sessions", json=json, headers=bearer, timeout=DEADLINE_S)
        return cls(answer.raise_for_status().json())

    @property
    def headers(self) -> dict[str, str]:
        """What each call shows."""
        return {"Authorization": f"Bearer {self.answer['session_token']}"}

    @property
    def path(self) -> str:
        """Where frames are."""
        return f"/v1/sessions/{self.answer['session_id']}/frames"

    @property
    def stream(self) -> str:
        """Where its stream is."""
        return f"/v1/stream/sessions/{self.answer['session_id']}"

    def send(self, origin: str, *frames: Frame) -> list[Frame]:
        """Send frames; return the replies."""
        numbered = [{"id": number, **frame} for number, frame in enumerate(frames, 1)]
        answer = httpx.post(origin + self.path, json=numbered, headers=self.headers, timeout=DEADLINE_S)
        replies: list[Frame] = answer.raise_for_status().json()
        return replies

    def poll(self, origin: str, *, wait_s: int = 0) -> list[Frame]:
        """Return what has come since the last poll."""
        parameters: dict[str, Any] = {"wait_s": wait_s} | ({"cursor": self.cursor} if self.cursor else {})
        answer = httpx.get(origin + self.path, params=parameters, headers=self.headers, timeout=DEADLINE_S + wait_s)
        batch = answer.raise_for_status().json()
        self.cursor = batch["cursor"]
        frames: list[Frame] = batch["frames"]
        return frames
