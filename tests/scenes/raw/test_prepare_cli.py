"""`vlm3r scenes prepare`, and the whole way from a download to a trained step and an evaluated question."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.scenes.raw import arkitscenes_files, scannet_files
from tests.scenes.raw.room import make_room
from tests.scenes.raw.truth import DATASETS, write_raw
from vlm3r.cli import app
from vlm3r.scenes.raw.capture import Dataset
from vlm3r.scenes.storage import find_scenes, read_scene

ROOM = make_room()
REPOSITORY = Path(__file__).resolve().parents[3]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def prepare(tmp: Path, dataset: Dataset, *more: object) -> Result:
    where = ("--raw", tmp / "raw", "--out", tmp / "out", "--workers", 1, "--frames", 4)
    return call("scenes", "prepare", dataset, *where, *more)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.timeout(300)
def test_a_download_becomes_a_trained_step_and_an_evaluated_question(tmp_path: Path, dataset: Dataset) -> None:
    write_raw(tmp_path / "raw", dataset, ROOM)
    assert prepare(tmp_path, dataset).exit_code == 0
    scenes, training, bench = tmp_path / "out", tmp_path / "training.jsonl", tmp_path / "bench.jsonl"
    for out, kind in ((training, "training"), (bench, "benchmark")):
        made = call("qa", "generate", "--scenes", scenes, "--out", out, "--format", kind, "--per-scene", 1,
                    "--workers", 1, "--tolerate-problems")  # fmt: skip
        assert made.exit_code == 0, made.output
    rows = [json.loads(line) for line in training.read_text().splitlines()]
    assert len(rows) > 8 and all((scenes / row["video"]).is_file() for row in rows)
    recipe = {"path": str(training), "root": str(scenes)}
    vlm3r("train", REPOSITORY / "configs/recipes/tiny/smoke.yaml", f"data.sources=[{json.dumps(recipe)}]",
          "data.frames=2", "optimiser.steps=1", "optimiser.batch_size=4", f"run.out={tmp_path / 'run'}")  # fmt: skip
    (step,) = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert step["questions"] > 0 and step["loss"] > 0
    vlm3r("eval", "--benchmark", bench, "--scenes", scenes, "--model", tmp_path / "run" / "model", "--frames", 2,
          "--out", tmp_path / "eval")  # fmt: skip
    asked = [json.loads(line) for line in bench.read_text().splitlines()]
    answered = [json.loads(line) for line in next((tmp_path / "eval").glob("answers*.jsonl")).read_text().splitlines()]
    assert len(answered) == len(asked) > 8


def vlm3r(*arguments: object) -> None:
    """Run a command in a process of its own, since it changes torch's settings."""
    command = [sys.executable, "-m", "vlm3r.cli", *(str(a) for a in arguments)]
    run = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]


def test_one_bad_scan_stops_nothing_and_is_named(tmp_path: Path) -> None:
    for number in range(3):
        arkitscenes_files.write_scan(tmp_path / "raw", ROOM, f"4104819{number}")
    (tmp_path / "raw" / "41048191" / "41048191_3dod_annotation.json").write_text('{"data": [')
    result = prepare(tmp_path, "arkitscenes")
    assert result.exit_code == 1
    assert "2 of 3 scans" in result.stdout and "2 made, 0 were there, 1 failed" in result.stdout
    assert "41048191_3dod_annotation.json" in result.stderr
    assert [read_scene(path).scene_id for path in find_scenes(tmp_path / "out")] == ["41048190", "41048192"]
    again = prepare(tmp_path, "arkitscenes")
    assert "0 made, 2 were there, 1 failed" in again.stdout


def test_splits_of_the_data_set_become_lists_beside_the_scenes(tmp_path: Path) -> None:
    for number, split in ((1, "train"), (2, "val"), (3, "train")):
        scene_id = f"scene000{number}_00"
        scannet_files.write_scan(tmp_path / "raw", ROOM, scene_id)
        with (tmp_path / "raw" / f"scannetv2_{split}.txt").open("a") as file:
            file.write(f"{scene_id}\n")
    assert prepare(tmp_path, "scannet").exit_code == 0
    splits = tmp_path / "out" / "splits"
    assert (splits / "train.txt").read_text().split() == ["scene0001_00", "scene0003_00"]
    assert (splits / "val.txt").read_text().split() == ["scene0002_00"]
    assert {read_scene(path).split for path in find_scenes(tmp_path / "out")} == {"train", "val"}


def test_only_the_chosen_split_or_the_first_scans_are_prepared(tmp_path: Path) -> None:
    for fold, number in (("Training", 0), ("Training", 1), ("Validation", 2)):
        arkitscenes_files.write_scan(tmp_path / "raw" / "3dod" / fold, ROOM, f"4104819{number}")
    assert prepare(tmp_path, "arkitscenes", "--split", "val").exit_code == 0
    assert [path.parent.name for path in find_scenes(tmp_path / "out")] == ["41048192"]
    assert prepare(tmp_path, "arkitscenes", "--limit", 1).exit_code == 0
    assert [path.parent.name for path in find_scenes(tmp_path / "out")] == ["41048190", "41048192"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--route", "iphone"), "--route iphone: ARKitScenes has auto, mov, lowres; give one of them"),
        (("--split", "test"), "--split test: ARKitScenes has Training and Validation; give one of them"),
        (("--partial",), "--partial: only recordings of ScanNet are used in part; leave it out"),
        (("--raw", "nowhere"), "nowhere: no such folder; give the folder that ARKitScenes was downloaded to"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, more, said: str) -> None:
    write_raw(tmp_path / "raw", "arkitscenes", ROOM)
    result = prepare(tmp_path, "arkitscenes", *more)
    assert result.exit_code == 1
    (line,) = result.stderr.strip().splitlines() if result.stderr else [str(result.exception)]
    assert line.endswith(said)
    assert not (tmp_path / "out").exists()


def test_a_prepared_folder_passes_the_check(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", "scannetpp", ROOM)
    assert prepare(tmp_path, "scannetpp").exit_code == 0
    result = call("scenes", "check", tmp_path / "out", "--workers", 1)
    assert result.exit_code == 0, result.output
