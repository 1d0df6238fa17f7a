from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.published import Published, size_overrides, write_published
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.parts import Parts


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch):
    """No test may reach a hub, and none may use more than its share of the machine."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("VLM3R_CUT3R", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A published checkpoint that the test may damage."""
    return write_published(tmp_path)


@pytest.fixture(scope="session")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A published checkpoint that no test may change."""
    return write_published(tmp_path_factory.mktemp("published"))


def read(parts: Published, **changes: Any) -> Parts:
    """The published checkpoint in memory, adapter apart."""
    found, fresh = read_checkpoint(**(parts.sources | changes), overrides=size_overrides())
    assert fresh == ()
    return found


@pytest.fixture(scope="session")
def intact_parts(intact: Published) -> Parts:
    return read(intact)
