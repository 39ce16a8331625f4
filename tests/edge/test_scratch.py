"""The emulator's scratch: in memory where there is room, and nothing of it is left, however its owner ended."""

from pathlib import Path

import pytest

from localstack.scratch import Scratch


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    memory = tmp_path / "memory"
    memory.mkdir()
    return memory


def scratch(tmp_path: Path, memory: Path, name: str = "stack") -> Scratch:
    return Scratch(tmp_path / name, memory=memory, min_bytes=1)


def test_it_is_in_memory_and_leaves_nothing(tmp_path: Path, memory: Path) -> None:
    one = scratch(tmp_path, memory)
    one.make()
    assert one.path.parent == memory
    (one.path / "worker").mkdir()
    one.remove()
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize(("name", "min_bytes"), [("memory", 2**62), ("missing", 1)])
def test_without_room_it_is_in_the_folder(tmp_path: Path, memory: Path, name: str, min_bytes: int) -> None:
    one = Scratch(tmp_path / "stack", memory=tmp_path / name, min_bytes=min_bytes)
    assert one.path == tmp_path / "stack" / "emulator"
    one.make()
    assert one.path.is_dir()
    one.remove()
    assert not one.path.exists()


def test_it_is_empty_when_it_begins(tmp_path: Path, memory: Path) -> None:
    one = scratch(tmp_path, memory)
    one.path.mkdir()
    (one.path / "left").touch()
    one.make()
    assert list(one.path.iterdir()) == []
    one.remove()


def test_the_next_one_removes_what_a_killed_one_has_left(tmp_path: Path, memory: Path) -> None:
    killed = memory / "tidewire-killed"
    killed.mkdir()
    killed.with_suffix(".lock").touch()
    one = scratch(tmp_path, memory)
    one.make()
    assert not killed.exists()
    one.remove()
    assert list(memory.iterdir()) == []


def test_those_that_live_are_left_alone(tmp_path: Path, memory: Path) -> None:
    one, other = scratch(tmp_path, memory, "one"), scratch(tmp_path, memory, "other")
    one.make()
    other.make()
    assert one.path.is_dir()
    one.remove()
    assert other.path.is_dir()
    other.remove()
