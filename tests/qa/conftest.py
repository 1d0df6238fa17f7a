from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.qa.scenes_by_chance import write_scenes


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve random scenes."""
    return write_scenes(tmp_path_factory.mktemp("scenes") / "rooms", 12, objects=18)


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
