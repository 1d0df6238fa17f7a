from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.running import write_data, write_start


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native folder to train from."""
    return write_start(tmp_path_factory.mktemp("start") / "model")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten questions about two videos."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def mixed_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with questions about a picture and about nothing."""
    return write_data(tmp_path_factory.mktemp("mixed"), extra=True)
