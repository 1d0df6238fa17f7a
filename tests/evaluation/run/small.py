"""A small benchmark about invented pictures, good and bad."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm3r.commands import eval_cli

FRAMES = 4
OPTIONS = ["A. left", "B. right"]
NUMBERS = (("object_counting", "How many chairs?", "3"), ("object_abs_distance", "How far is the lamp?", "2.5"))


def write_video(folder: Path, seed: int, frames: int = FRAMES) -> None:
    """A video as a folder of noise pictures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(frames):
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(folder / f"{number:03}.png")


def rows_about(scene: str, number: int = 0) -> list[dict[str, Any]]:
    """Five questions of both benchmarks about one scene."""
    common = {"dataset": "invented", "scene_name": scene, "video_path": f"{scene}/video"}
    rows = [
        {"question_type": kind, "question": text, "options": None, "ground_truth": truth}
        for kind, text, truth in NUMBERS
    ]
    rows += [
        {
            "question_type": "object_rel_direction_easy",
            "question": "Where is it?",
            "options": OPTIONS,
            "ground_truth": "A",
        },
        {"question_type": "obj_obj_relative_pos_lr", "question": "Which side?", "options": OPTIONS, "mc_answer": "B"},
        {"question_type": "camera_displacement", "question": "How far did it move?", "ground_truth": "1.5"},
    ]
    return [{"id": f"{scene}-{number}-{i}"} | common | row for i, row in enumerate(rows)]


def write_benchmark(folder: Path, scenes: int = 4, extra: Sequence[str] = ()) -> Path:
    """A file of five questions a scene, their videos beside it, and extra lines at its end."""
    lines = []
    for number in range(scenes):
        write_video(folder / f"scene{number}" / "video", number)
        lines += [json.dumps(row) for row in rows_about(f"scene{number}")]
    file = folder / "bench.jsonl"
    file.write_text("\n".join([*lines, *extra]) + "\n")
    return file


def main() -> None:
    """The evaluation command as a program of its own, for runs that are killed."""
    import typer

    app = typer.Typer()
    app.command()(eval_cli.evaluate)
    app()


if __name__ == "__main__":
    main()
