"""`vlm3r features`, and which videos it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.features.making import Made
from vlm3r.commands.features_cli import app
from vlm3r.errors import UserError
from vlm3r.training.features import FeatureStore
from vlm3r.training.features.sources import find_videos


def vlm3r(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_extract_and_check_agree_and_say_so_by_their_exit_status(made: Made, tmp_path: Path):
    store, broken = tmp_path / "store", tmp_path / "broken.mp4"
    broken.write_text("no video")
    common = ("--model", made.checkpoint)
    command = ("extract", "--out", store, *common, "--parts", "all", "--workers", 1, "--videos", made.videos[0])
    done = vlm3r(*command, "--videos", broken)
    assert done.exit_code == 1 and "1 of 2 videos could not be used" in done.output and str(broken) in done.output
    assert "1 encoded on cpu" in done.output
    assert vlm3r(*command).exit_code == 0
    assert FeatureStore.open(store).parts == ("geometry", "vision")
    sound = vlm3r("check", store, *common)
    assert sound.exit_code == 0 and "all sound" in sound.output
    other = vlm3r("check", store, *common, "--frames", 3)
    assert isinstance(other.exception, UserError) and "num_frames: 6 there, 3 here" in str(other.exception)
    shard = next(store.glob("shard-*"))
    damaged = bytearray(shard.read_bytes())
    damaged[-1] ^= 1
    shard.write_bytes(damaged)
    found = vlm3r("check", store, *common)
    assert found.exit_code == 1 and str(shard) in found.output and "1 problems" in found.output


def test_help_is_shown_without_torch():
    code = "import sys, vlm3r.commands.features_cli; assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert vlm3r("extract", "--help").exit_code == 0


def test_videos_come_from_folders_and_from_rows_of_both_kinds(tmp_path: Path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("b.mp4", "a.MKV", "notes.txt", "er/c.webm"):
        (tmp_path / "deep" / name).touch()
    training = tmp_path / "rows.json"
    training.write_text(json.dumps([{"video": "b.mp4"}, {"image": "x.jpg"}, {"video": ["b.mp4", "/else/d.mp4"]}]))
    benchmark = tmp_path / "deep" / "rows.jsonl"
    benchmark.write_text('{"video_path": "b.mp4"}\n\n{"video_path": "e.mp4"}\n')
    deep = tmp_path / "deep"
    found = find_videos([deep], [training, benchmark])
    assert found == [
        *(str(deep / name) for name in ("a.MKV", "b.mp4", "er/c.webm")),
        str(tmp_path / "b.mp4"),
        "/else/d.mp4",
        str(deep / "e.mp4"),
    ]
    assert find_videos([], [benchmark], root=Path("/data")) == ["/data/b.mp4", "/data/e.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "Why?"}', "names a video"),
        ('{"video": 3}', "must be a path"),
        ("[1]", "row 1 is no JSON object"),
        ("{", "cannot be read as rows"),
        ('{"video": "a"}\n{"video', "cannot be read as rows of questions after row 1"),
        ("[" * 100_000, "cannot be read as rows"),
    ],
)
def test_rows_without_usable_videos_are_named(tmp_path: Path, text: str, message: str):
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"rows\.jsonl: .*{message}"):
        find_videos([], [file])


@pytest.mark.parametrize("option", [("--shard-size", "inf"), ("--frames", 10**30)])
def test_numbers_that_nothing_can_have_are_refused_and_leave_no_store(tmp_path: Path, option: tuple[str, object]):
    found = vlm3r("extract", "--out", tmp_path / "store", "--videos", tmp_path / "a.mp4", *option)
    assert found.exit_code == 2 and option[0] in found.output
    assert not (tmp_path / "store").exists()


def test_no_videos_at_all_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="--videos or --data"):
        find_videos([])
    with pytest.raises(UserError, match="no video in this folder"):
        find_videos([tmp_path])
