"""Small clips and data files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from vlm3r.training.recipe import DataRecipe, SourceRecipe


def make_video(path: Path, frames: int = 12, rate: int = 4, seed: int = 0) -> Path:
    """A clip of noise in blocks, as MPEG-4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            image = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode())
    return path


def make_pictures(folder: Path, frames: np.ndarray) -> list[Path]:
    """Frames `(frame, H, W, 3)` as PNG files in a new folder."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:03d}.png" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path)
    return paths


def row(question: str, answer: str = "4", **fields: Any) -> dict[str, Any]:
    """A row in the published form; `fields` name its clip and task."""
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"conversations": said} | fields


def rows_about(video: str, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Different questions about one video, with answers of different lengths."""
    return [
        row(f"<image>\nQuestion {i} about {video}?", "yes " * (i % 4 + 1), video=video, **fields) for i in range(count)
    ]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Rows as a JSON list or, by the suffix, as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def recipe(*paths: Path, **settings: Any) -> DataRecipe:
    """A recipe of these files."""
    return DataRecipe(sources=tuple(SourceRecipe(path=path) for path in paths), **settings)
