"""Generated questions against an oracle that shares no code with the engine, and spoilt ones that it must notice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from tests.qa.oracle.count import possible
from tests.qa.oracle.mutants import MUTANTS, Row
from tests.qa.oracle.plain import PlainScene, Solid, read_plain
from tests.qa.oracle.report import judge_all, judge_item
from tests.qa.oracle.rooms import random_room
from tests.qa.oracle.rows import asked_of, plain_kind, read_rows
from tests.qa.oracle.sights import check_scene
from tests.qa.oracle.solids import TOLERANCE, box_distance, point_distance
from vlm3r.qa.engine import GenerateOptions, generate
from vlm3r.qa.rules import Rules
from vlm3r.qa.sources import find_sources
from vlm3r.qa.tasks import TASKS

ROOMS = 3
MUST_ALL = ("other_option", "other_letter", "repeated_option", "number_off", "other_object", "unknown_object")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    for seed in range(ROOMS):
        random_room(folder, seed)
    return folder


@pytest.fixture(scope="module")
def scenes(rooms: Path) -> dict[str, PlainScene]:
    return {s.scene_id: s for s in (read_plain(p) for p in sorted(rooms.rglob("scene.json")))}


@pytest.fixture(scope="module")
def questions(rooms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    generate(find_sources([rooms]), out, GenerateOptions(per_scene=12, balance=False, seed=1))
    return out


@pytest.fixture(scope="module")
def rows(questions: Path) -> list[Row]:
    return [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]


def test_every_task_agrees_with_the_oracle(scenes: dict[str, PlainScene], rows: list[Row]) -> None:
    tallies = judge_all(scenes.values(), map(asked_of, rows))
    wrong = {kind: t.examples["disagree"] for kind, t in tallies.items() if t.verdicts["disagree"]}
    assert not wrong
    undecided = {kind: t.verdicts["borderline"] / t.checked for kind, t in tallies.items()}
    assert max(undecided.values()) <= 0.1, undecided


def test_training_rows_agree_with_the_oracle(rooms: Path, scenes: dict[str, PlainScene], tmp_path: Path) -> None:
    options = GenerateOptions(per_scene=2, format="training", style="vsibench")
    generate(find_sources([rooms]), tmp_path / "training.jsonl", options)
    tallies = judge_all(scenes.values(), read_rows(tmp_path / "training.jsonl"))
    assert sum(t.checked for t in tallies.values()) > 100
    assert not {kind: t.examples["disagree"] for kind, t in tallies.items() if t.verdicts["disagree"]}


def test_every_question_type_is_checked(rows: list[Row]) -> None:
    asked = {row["provenance"]["variant"] for row in few(rows)}
    assert asked == {kind for task in TASKS.values() for kind in task.question_types}


def test_every_valid_question_is_proposed(rooms: Path, scenes: dict[str, PlainScene], tmp_path: Path) -> None:
    expected: Counter[str] = Counter()
    for scene in scenes.values():
        expected += possible(scene)
    tasks = tuple(task for task in TASKS if any(kind.startswith(task) for kind in expected))
    options = GenerateOptions(tasks, per_scene=100_000, balance=False, rules=Rules.published())
    summary = generate(find_sources([rooms]), tmp_path / "all.jsonl", options)
    assert expected == summary.written


def test_the_oracle_shares_no_code_with_the_project() -> None:
    for path in (Path(__file__).parent / "oracle").glob("*.py"):
        assert not re.search(r"^\s*(from|import) vlm3r", path.read_text(encoding="utf-8"), re.MULTILINE), path


def few(rows: list[Row], most: int = 8) -> list[Row]:
    """At most so many rows of each question type, from all over the file."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row["provenance"]["variant"], []).append(row)
    return [row for kind in kinds.values() for row in kind[:: -(-len(kind) // most)]]


def judged(rows: list[Row], scenes: dict[str, PlainScene], mutant: str) -> dict[str, Counter[str]]:
    """Verdicts on spoilt rows by question type."""
    verdicts: dict[str, Counter[str]] = {}
    for row in few(rows):
        scene = scenes[row["scene_name"]]
        if (spoilt := MUTANTS[mutant](row, scene)) is not None:
            verdict = judge_item(scene, asked_of(spoilt)).verdict
            verdicts.setdefault(plain_kind(row["provenance"]["variant"]), Counter())[verdict] += 1
    return verdicts


@pytest.mark.parametrize("mutant", MUTANTS)
def test_spoilt_rows_are_noticed(rows: list[Row], scenes: dict[str, PlainScene], mutant: str) -> None:
    verdicts = judged(rows, scenes, mutant)
    assert verdicts
    for kind, counts in verdicts.items():
        caught = counts["disagree"] / counts.total()
        assert caught == 1 if mutant in MUST_ALL else caught >= 0.7, (kind, counts)


def test_every_question_type_can_be_spoilt(rows: list[Row], scenes: dict[str, PlainScene]) -> None:
    spoilt = {kind for name in ("other_option", "number_off") for kind in judged(rows, scenes, name)}
    assert spoilt == {plain_kind(row["provenance"]["variant"]) for row in rows}


def random_solid(rng: np.random.Generator) -> Solid:
    turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
    return Solid(0, "box", rng.uniform(-2, 2, 3), rng.uniform(0.02, 2, 3), turn)


def test_sampled_box_distances_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        a, b = random_solid(rng), random_solid(rng)
        limit = np.r_[a.size, b.size] / 2
        difference = np.hstack((a.axes.T, -b.axes.T))
        solved = lsq_linear(difference, b.centre - a.centre, (-limit, limit), method="bvls")
        assert abs(box_distance(a, b) - np.sqrt(2 * solved.cost)) < TOLERANCE


def test_point_distances_are_those_of_a_zero_sized_box() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        solid, point = random_solid(rng), rng.uniform(-2, 2, 3)
        speck = Solid(1, "speck", point, np.full(3, 1e-9), np.eye(3))
        assert abs(point_distance(solid, point) - box_distance(speck, solid)) < 1e-6


@pytest.mark.parametrize("shift", [(0.15, 0, 0), (0, 0, 0.15)])
def test_a_moved_box_is_noticed_in_masks_and_depth(scenes: dict[str, PlainScene], shift: Any) -> None:
    scene = next(iter(scenes.values()))
    moved = tuple(replace(s, centre=s.centre + shift) if i == 0 else s for i, s in enumerate(scene.solids))
    assert check_scene(scene)["scene: masks in boxes"].verdict == "agree"
    assert check_scene(replace(scene, solids=moved))["scene: masks in boxes"].verdict == "disagree"


def test_a_wrong_sighting_is_noticed(scenes: dict[str, PlainScene]) -> None:
    scene = next(iter(scenes.values()))
    number = next(i for i in scene.sampled if scene.views[i].boxes)
    view = scene.views[number]
    x, y, z, w = next(iter(view.boxes.values()))
    spoilt = replace(view, boxes=view.boxes | {next(iter(view.boxes)): (x, y, z + 1, w)})
    views = tuple(spoilt if i == number else v for i, v in enumerate(scene.views))
    assert check_scene(replace(scene, views=views))["scene: 2-D boxes"].verdict == "disagree"


@pytest.mark.parametrize("spoil", [False, True])
def test_the_script_fails_exactly_when_a_row_is_wrong(
    rooms: Path, questions: Path, tmp_path: Path, spoil: bool
) -> None:
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()][:30]
    if spoil:
        scene = read_plain(rooms / rows[0]["scene_name"] / "scene.json")
        rows[0] = MUTANTS["number_off"](rows[0], scene) or MUTANTS["other_option"](rows[0], scene)
    file, out = tmp_path / "rows.jsonl", tmp_path / "verdicts.json"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    script = Path(__file__).resolve().parents[2] / "scripts/check/qa_oracle.py"
    command = [sys.executable, str(script), "--scenes", str(rooms), "--questions", str(file), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == int(spoil), done.stdout + done.stderr
    verdicts = json.loads(out.read_text(encoding="utf-8"))
    assert sum(v["disagree"] for v in verdicts.values()) == int(spoil)
