"""The frames that Python and TypeScript both hold their code against."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parents[2] / "golden"


def _read(name: str) -> list[dict[str, Any]]:
    examples: list[dict[str, Any]] = json.loads((_FOLDER / name).read_text())
    return examples


FRAMES = _read("frames.json")  # name, kind (request, reply, push), frame
BAD_FRAMES = _read("bad_frames.json")  # name, text (what comes in), error (its wire name)
REQUESTS = [example["frame"] for example in FRAMES if example["kind"] == "request"]
