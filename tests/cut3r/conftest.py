from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

# The helpers beside the tests; appended, so that a folder's name cannot hide a package.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]


@pytest.fixture(autouse=True)
def _one_thread():
    """Small tensors lose more by a second thread than they gain, on a busy machine most of all."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
