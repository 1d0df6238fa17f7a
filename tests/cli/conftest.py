from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vlm3r import cli


@dataclass(frozen=True)
class Run:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of standard error that report an error."""
        return [line for line in self.err.splitlines() if line.startswith("vlm3r: error:")]


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 frames at 4 a second."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_video(path, 12)
    return path


def write_video(path: Path, frames: int) -> None:
    ramp = np.linspace(0, 200, 96, dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(frames):
            picture = np.broadcast_to(ramp[None, :, None] + np.uint8(4 * index), (64, 96, 3)).copy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three images of different sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, size in enumerate([(60, 40), (40, 60), (50, 50)]):
        Image.new("RGB", size, (80 * index, 30, 90)).save(folder / f"{index + 1}.png")
    return folder


@pytest.fixture
def vlm3r(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """The command line in this process: arguments in, status and both streams out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("VLM3R_CUT3R", raising=False)

    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["vlm3r", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        out, err = capfd.readouterr()
        assert isinstance(leaving.value.code, int)
        return Run(leaving.value.code, out, err)

    environment = dict(os.environ)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(threads)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
