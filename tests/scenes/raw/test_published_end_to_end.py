"""Published metadata of each data set become questions and training rows without any preparation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vlm3r.cli import app

DATA = Path(__file__).parents[2] / "data" / "qa"
CAMERA_TASKS = {"camera_displacement", "camera_movement_direction"}


def generate(scenes: Path, out: Path, kind: str) -> list[dict]:
    arguments = ["qa", "generate", "--scenes", scenes, "--out", out, "--format", kind, "--rules", "published",
                 "--workers", 1, "--tolerate-problems"]  # fmt: skip
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("name", ["scannet", "scannetpp", "arkitscenes"])
def test_published_scene_metadata_become_questions_and_training_rows(tmp_path: Path, name: str) -> None:
    metadata = DATA / f"{name}_metadata_val.json"
    known = json.loads(metadata.read_text())
    rows = generate(metadata, tmp_path / "bench.jsonl", "benchmark")
    assert {row["scene_name"] for row in rows} <= set(known)
    asked = {row["question_type"] for row in rows}
    assert {"object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation"} <= asked
    has_frames = (DATA / f"{name}_frame_metadata_val.json").is_file()
    assert has_frames == any(kind.startswith("camera_displacement") for kind in asked)
    assert ("obj_appearance_order" in asked) == (name == "scannet")  # the only published set with instance ids
    training = generate(metadata, tmp_path / "training.jsonl", "training")
    assert all([turn["from"] for turn in row["conversations"]] == ["human", "gpt"] and row["video"] for row in training)


def test_scenes_are_checked_from_published_metadata(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["scenes", "check", str(DATA / "scannet_metadata_val.json"), "--report", str(report), "--workers", "1"]
    CliRunner().invoke(app, arguments)
    assert json.loads(report.read_text())
