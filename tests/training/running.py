"""Small data, a small start and small runs for the tests of training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from tests.training.features.making import write_video
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.parts import make_config
from vlm3r.training.history import HISTORY, read_lines
from vlm3r.training.recipe import Recipe
from vlm3r.training.settings import parse_settings

REPOSITORY = Path(__file__).resolve().parents[2]
MEASURED = ("seconds", "questions_per_second", "tokens_per_second", "data_share", "peak_memory", "seconds_left")
"""Fields of a log entry that no two runs have in common."""
COMMAND = """
import sys
from pathlib import Path
from vlm3r.commands.train import run
{before}
sys.exit(run(Path(sys.argv[1]), sys.argv[2:], False))
"""


def write_start(folder: Path, **changes: Any) -> Path:
    """The embedded model in float32, without dropout in its fusion block."""
    parts, _ = read_checkpoint()
    config = make_config(parts.config.to_dict() | {"fusion_dropout": 0.0} | changes, "test")
    tensors = {name: tensor.float() for name, tensor in parts.tensors.items()}
    write_native(replace(parts, config=config, tensors=tensors), folder)
    return folder


def write_data(folder: Path, extra: bool = False) -> Path:
    """Two videos with five questions each and, with `extra`, one question about a picture and two about nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(2):
        write_video(folder / f"{number}.mp4", 8, seed=number)
        for question, answer in enumerate(("2", "left", "1.5 meters", "a chair and a table", "A")):
            task = ("counting", "direction")[(question + number) % 2]
            rows.append(row(f"<image>\nQuestion {question}: what is it?", answer, task, video=f"{number}.mp4"))
    if extra:
        Image.new("RGB", (64, 48), (90, 60, 30)).save(folder / "picture.png")
        rows.insert(0, row("<image>\nWhat is this?", "a wall", "picture", image="picture.png"))
        rows += [row(f"How many is {n}?", "none", "text") for n in ("one", "two")]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    return path


def row(question: str, answer: str, task: str, **about: str) -> dict[str, Any]:
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"question_type": task, "conversations": said, **about}


def recipe_values(start: Path | str, data: Path, out: Path, **changes: Any) -> dict[str, Any]:
    """A small run's recipe; `changes` have dots between levels, written as `__`."""
    values: dict[str, Any] = {
        "model": {"source": str(start), "device": "cpu", "fusion_init": "identity"},
        "data": {"sources": [{"path": str(data)}], "questions_per_pack": 2, "frames": 2, "workers": 0},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "optimiser": {
            "learning_rate": 1e-3,
            "warmup": 0.0,
            "batch_size": 4,
            "steps": 4,
            "gradient_checkpointing": False,
        },
        "run": {"out": str(out), "save_every": 2, "keep": 0, "log_every": 1, "report_to": []},
    }
    for key, value in changes.items():
        section, name = key.split("__")
        values.setdefault(section, {})[name] = value
    return values


def recipe_of(start: Path | str, data: Path, out: Path, **changes: Any) -> Recipe:
    return parse_settings(Recipe, recipe_values(start, data, out, **changes), "test")


def losses_of(run: Path) -> list[dict[str, Any]]:
    """The history without what differs from run to run."""
    return [{k: v for k, v in entry.items() if k not in MEASURED} for entry in read_lines(run / HISTORY)]


def start_process(values: dict[str, Any], folder: Path, ranks: int = 1, before: str = "") -> subprocess.Popen[str]:
    """`vlm3r train` in processes of its own; `before` is run by each of them first."""
    program, recipe = folder / "program.py", folder / "recipe.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text(COMMAND.format(before=before))
    recipe.write_text(yaml.safe_dump(values))
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *launcher, str(program), str(recipe)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
