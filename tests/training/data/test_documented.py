"""The examples in docs/training_data.md are what they say they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vlm3r.training.data import BadRow, SkipList, parse_row, read_mixture
from vlm3r.training.recipe import read_recipe

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "training_data.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in re.findall(r"```\w+ file=(\S+)\n(.*?)```", TEXT, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    for name in ("walks_a.jsonl", "walks_b.jsonl"):
        (tmp_path / name).write_text((tmp_path / "walks.jsonl").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_recipe_reads_every_source_of_the_examples(folder):
    mixture = read_mixture(read_recipe("recipe.yaml").data, 0)
    assert mixture.bad_rows == ()
    kept = [file["questions"] for file in mixture.record()["files"]]
    assert kept == [2, 1, 1, 1, 2, 1]
    assert {clip.name for clip in mixture.clips} >= {"videos/kitchen.mp4", "pictures/left.png, pictures/right.png"}
    assert set(mixture.tasks) <= {"object_counting", "rooms", "route", "text"}


def test_the_second_source_comes_twice_in_an_epoch(folder):
    mixture = read_mixture(read_recipe("recipe.yaml").data, 0)
    came = [question for pack in mixture.packs(0) for question in pack.questions]
    assert [came.count(question) for question in range(len(mixture))] == [1, 1, 1, 1, 1, 2, 2, 1]


def test_the_skip_list_is_one_that_is_written(folder):
    example = [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]
    listed = SkipList(folder / "written.jsonl", {"videos/kitchen.mp4": "rooms.json"}, 9, 1.0)
    for entry in example:
        listed.add(entry.get("clip") or entry["row"], entry["reason"])
    assert (folder / "written.jsonl").read_text() == (folder / "skipped.jsonl").read_text()
    with pytest.raises(BadRow, match=example[1]["reason"]):
        parse_row({"video": 3}, "walks.jsonl:3", Path("walks.jsonl"), Path())


def test_seventeen_questions_at_sixteen_a_pack_make_nine_and_eight(folder):
    row = json.loads((folder / "walks.jsonl").read_text().splitlines()[0])
    (folder / "many.jsonl").write_text(17 * (json.dumps(row) + "\n"))
    mixture = read_mixture(read_recipe("recipe.yaml", ["data.sources=[{path: many.jsonl}]"]).data, 0)
    assert sorted(len(pack.questions) for pack in mixture.packs(0)) == [8, 9]
