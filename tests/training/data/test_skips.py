"""The skip list: whole lines, each item once, over epochs and continued runs, and when a run gives up."""

from __future__ import annotations

import json
import os
import signal

import pytest

from vlm3r.errors import UserError
from vlm3r.training.data import SKIPPED_FILE, SkipList

CLIPS = {f"/v/{i}.mp4": "a.json" for i in range(100)}


def skips(folder, share=0.1, rows=1000) -> SkipList:
    return SkipList(folder / SKIPPED_FILE, CLIPS, rows, share)


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / SKIPPED_FILE).read_text().splitlines()]


def test_every_item_stands_on_the_list_once_with_its_source_and_reason(tmp_path):
    for _ in range(2):  # the second is a continued run
        listed = skips(tmp_path)
        for _ in range(3):
            listed.add("/v/1.mp4", "/v/1.mp4 is empty: größer")
            listed.add("b.jsonl:12", "video is a number, not a path")
        assert len(listed) == 2 and "/v/1.mp4" in listed
    assert lines(tmp_path) == [
        {"source": "a.json", "clip": "/v/1.mp4", "reason": "/v/1.mp4 is empty: größer"},
        {"source": "b.jsonl", "row": "b.jsonl:12", "reason": "video is a number, not a path"},
    ]


def test_a_line_that_was_cut_off_is_written_again(tmp_path):
    skips(tmp_path).add("/v/1.mp4", "gone")
    with (tmp_path / SKIPPED_FILE).open("a") as file:
        file.write('{"source": "a.json", "clip": "/v/2.m')
    listed = skips(tmp_path)
    assert len(listed) == 1
    listed.add("/v/2.mp4", "gone")
    assert [line["clip"] for line in lines(tmp_path)] == ["/v/1.mp4", "/v/2.mp4"]


def test_what_was_listed_survives_a_kill(tmp_path):
    child = os.fork()
    if child == 0:
        listed = skips(tmp_path)
        listed.add("/v/1.mp4", "gone")
        listed.add("a.json:1", "bad")
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert len(lines(tmp_path)) == 2


def test_a_run_stops_when_more_clips_fail_than_may(tmp_path):
    listed = skips(tmp_path, share=0.02)
    listed.add("/v/0.mp4", "/v/0.mp4 is empty: copy it again")
    listed.add("/v/1.mp4", "/v/1.mp4 does not exist: check the path")
    with pytest.raises(UserError) as caught:
        listed.add("/v/2.mp4", "/v/2.mp4 does not exist: check the path")
    message = str(caught.value)
    assert message.startswith("3 of 100 clips cannot be used, more than data.max_failed_share (0.02)")
    assert "2 of them: does not exist: check the path" in message
    assert str(tmp_path / SKIPPED_FILE) in message and "\n" not in message
    assert len(lines(tmp_path)) == 3
    with pytest.raises(UserError, match="3 of 100 clips"):
        skips(tmp_path, share=0.02).check()
    skips(tmp_path, share=0.03).check()


def test_rows_are_counted_apart_from_clips(tmp_path):
    listed = skips(tmp_path, share=0.02, rows=100)
    for i in range(2):
        listed.add(f"/v/{i}.mp4", "gone")
        listed.add(f"a.json:{i}", "bad")
    with pytest.raises(UserError, match="3 of 100 rows"):
        listed.add("a.json:9", "bad")


def test_no_failure_is_allowed_with_a_share_of_zero(tmp_path):
    skips(tmp_path, share=0.0).check()
    with pytest.raises(UserError, match="1 of 100 clips"):
        skips(tmp_path, share=0.0).add("/v/1.mp4", "gone")


def test_a_list_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        SkipList(tmp_path / "no" / SKIPPED_FILE, CLIPS, 9, 1.0).add("/v/1.mp4", "gone")
