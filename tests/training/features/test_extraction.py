"""Filling a store: once per content, whole or not at all, by any number of processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.features.making import Made, options_for, write_video
from vlm3r.errors import UserError
from vlm3r.training.features import EncoderSource, FeatureStore, encoders, extract
from vlm3r.workers import Engine, Outcome, run

ALONE = 1
"""A shard size that every video is above."""


def features(store: Path, videos: Iterable[Path]) -> list[dict[str, torch.Tensor]]:
    reading = FeatureStore.open(store)
    return [reading.read(video).tensors for video in videos]


def assert_same(found: list[dict[str, torch.Tensor]], expected: list[dict[str, torch.Tensor]]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-5)


def shards(store: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.glob("shard-*.safetensors")}


def test_the_same_content_under_two_paths_is_stored_once(made: Made, tmp_path: Path):
    twin = Path(shutil.copy(made.videos[0], tmp_path / "twin.mp4"))
    summary = extract([*made.videos, twin], tmp_path / "store", options_for(made.source))
    assert (summary.videos, summary.made, summary.present) == (3, 2, 0)
    store = FeatureStore.open(tmp_path / "store")
    assert len(store) == 2 and store.read(twin).record == store.read(made.videos[0]).record


def test_a_second_run_encodes_only_what_is_new(made: Made, tmp_path: Path):
    store, options = tmp_path / "store", options_for(made.source)
    extract(made.videos[:1], store, options)
    before = shards(store)
    summary = extract(made.videos, store, options)
    assert (summary.made, summary.present) == (1, 1)
    after = shards(store)
    assert before.items() <= after.items() and len(after) == 2
    assert extract(made.videos, store, options).made == 0 and shards(store) == after


def test_a_part_that_is_added_later_leaves_the_other_as_it_was(made: Made, tmp_path: Path):
    store = tmp_path / "store"
    extract(made.videos, store, options_for(made.source, dtype="float32"))
    before = shards(store)
    summary = extract(made.videos, store, options_for(made.source, dtype="float32", parts=("geometry", "vision")))
    assert summary.made == 2 and before.items() <= shards(store).items()
    assert_same(features(store, made.videos), features(made.store, made.videos))


def test_bfloat16_is_the_rounding_of_what_was_computed(made: Made, tmp_path: Path):
    extract(made.videos, tmp_path / "store", options_for(made.source))
    for half, full in zip(features(tmp_path / "store", made.videos), features(made.store, made.videos), strict=True):
        for name, tensor in half.items():
            assert tensor.dtype == torch.bfloat16
            torch.testing.assert_close(tensor.float(), full[name], rtol=2**-8, atol=1e-5)


def test_a_shard_holds_videos_up_to_its_size(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vlm3r.training.features.extraction.SHARDS_A_WORKER", 1)
    extract(made.videos, tmp_path / "one", options_for(made.source))
    extract(made.videos, tmp_path / "each", options_for(made.source, shard_bytes=ALONE))
    assert (len(shards(tmp_path / "one")), len(shards(tmp_path / "each"))) == (1, 2)
    assert_same(features(tmp_path / "one", made.videos), features(tmp_path / "each", made.videos))


def test_a_run_that_is_killed_is_continued_and_leaves_nothing_half_written(made: Made, tmp_path: Path):
    folder, store = tmp_path / "videos", tmp_path / "store"
    folder.mkdir()
    videos = [write_video(folder / f"{seed}.mp4", 8, seed) for seed in range(40)]
    code = (
        "import sys, pathlib\n"
        "from vlm3r.training.features import EncoderSource, ExtractOptions, extract\n"
        "options = ExtractOptions(source=EncoderSource(sys.argv[1]), device='cpu', workers=1, shard_bytes=1)\n"
        "extract(sorted(pathlib.Path(sys.argv[2]).iterdir()), pathlib.Path(sys.argv[3]), options)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, made.source.checkpoint or "", str(folder), str(store)])
    try:
        deadline = time.monotonic() + 120
        while len(shards(store)) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (store / f".{next(iter(shards(store)))}.1.incomplete").write_bytes(b"half")
    whole = shards(store)
    assert 3 <= len(whole) < len(videos)
    summary = extract(videos, store, options_for(made.source))
    assert (summary.made, summary.present) == (len(videos) - len(whole), len(whole))
    assert whole.items() <= shards(store).items()
    assert not list(store.glob(".*"))
    extract(videos, tmp_path / "unbroken", options_for(made.source))
    assert_same(features(store, videos), features(tmp_path / "unbroken", videos))


@pytest.mark.timeout(600)  # cores that also run other tests start processes slowly
@pytest.mark.parametrize(("engine", "workers"), [("local", 2), ("ray", 1)])
def test_processes_and_a_cluster_make_what_one_process_makes(made: Made, tmp_path: Path, engine: Engine, workers: int):
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'vlm3r[ray]'")
    parts = ("geometry", "vision")
    options = options_for(made.source, dtype="float32", parts=parts, workers=workers, engine=engine, shard_bytes=ALONE)
    summary = extract(made.videos, tmp_path / "store", options)
    assert (summary.made, summary.failures, summary.devices) == (2, {}, {"cpu"})
    assert_same(features(tmp_path / "store", made.videos), features(made.store, made.videos))


def test_unusable_videos_are_listed_with_their_reasons_and_cost_no_other(made: Made, tmp_path: Path):
    broken, absent, store = tmp_path / "broken.mp4", tmp_path / "absent.mp4", tmp_path / "store"
    broken.write_bytes(made.videos[0].read_bytes()[:500])
    twin = Path(shutil.copy(broken, tmp_path / "twin.mp4"))
    summary = extract([broken, made.videos[0], absent, twin], store, options_for(made.source))
    assert summary.made == 1 and len(FeatureStore.open(store)) == 1
    rows = [json.loads(line) for line in (store / "skipped.jsonl").read_text().splitlines()]
    assert {row["video"]: row["reason"] for row in rows} == summary.failures
    assert set(summary.failures) == {str(broken), str(twin), str(absent)}
    assert "no such video" in summary.failures[str(absent)]
    extract([made.videos[0]], store, options_for(made.source))
    assert (store / "skipped.jsonl").read_text() == ""


def test_names_that_are_no_text_and_files_without_end_cost_no_other(made: Made, tmp_path: Path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "odd") + b"\xff.mp4"))
    shutil.copy(made.videos[0], odd)
    os.mkfifo(tmp_path / "pipe.mp4")
    bad = {tmp_path / "pipe.mp4": "is no plain file", tmp_path / "\0.mp4": "is no path of a video"}
    bad |= {tmp_path / "\ud800.mp4": "is no path of a video"}
    store = tmp_path / "store"
    summary = extract([*bad, odd], store, options_for(made.source))
    assert summary.made == 1 and set(summary.failures) == set(map(str, bad))
    assert all(reason in summary.failures[str(path)] for path, reason in bad.items())
    rows = [json.loads(line) for line in (store / "skipped.jsonl").read_text().splitlines()]
    assert {row["video"] for row in rows} == set(map(str, bad))
    assert extract([odd], store, options_for(made.source)).present == 1


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": [Infinity, 1, "x"]}', "[" * 100_000])
def test_a_damaged_table_of_videos_is_named_with_its_remedy(made: Made, copy: Path, text: str):
    (copy / "files.json").write_text(text)
    with pytest.raises(UserError, match=r"files\.json: damaged .*; delete it, the next extraction makes it"):
        extract(made.videos, copy, options_for(made.source, dtype="float32"))


def test_a_video_that_ends_its_process_does_not_take_its_shard_along(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    deadly = write_video(tmp_path / "deadly.mp4", 8, seed=9)

    def dying(function: Callable[[Any], Any], items: Iterable[Any], **_: Any) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            if any(video.path == str(deadly) for video in item.videos):
                yield Outcome(item, None, "its worker process ended by signal 11")
            else:
                yield from run(function, [item], workers=1)

    monkeypatch.setattr("vlm3r.training.features.extraction.run", dying)
    monkeypatch.setattr("vlm3r.training.features.extraction.SHARDS_A_WORKER", 1)
    summary = extract([deadly, *made.videos], tmp_path / "store", options_for(made.source))
    assert summary.made == 2 and list(summary.failures) == [str(deadly)]
    assert "signal 11" in summary.failures[str(deadly)]


def test_a_file_that_grows_while_it_is_read_is_not_stored(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    video = write_video(tmp_path / "growing.mp4", 8, seed=9)
    pixels = encoders.Encoders.pixels

    def writing(self: encoders.Encoders, frames: Any) -> torch.Tensor:
        video.write_bytes(video.read_bytes() + b"more")
        return pixels(self, frames)

    monkeypatch.setattr(encoders.Encoders, "pixels", writing)
    summary = extract([video], tmp_path / "store", options_for(made.source))
    assert summary.made == 0 and "was written to" in summary.failures[str(video)]


def test_what_cannot_work_is_said_before_anything_is_encoded(
    made: Made, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = EncoderSource(made.source.checkpoint, frames=3)
    with pytest.raises(UserError, match="num_frames: 6 there, 3 here"):
        extract(made.videos, copy, options_for(other, dtype="float32"))
    with pytest.raises(UserError, match="--dtype float32"):
        extract(made.videos, copy, options_for(made.source))
    without = EncoderSource(made.source.checkpoint, geometry="none")
    with pytest.raises(UserError, match="no geometry encoder"):
        extract(made.videos, tmp_path / "store", options_for(without))
    always = EncoderSource(None, frames=4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10))
    with pytest.raises(UserError, match="free some space"):
        extract(made.videos, tmp_path / "full", options_for(always))


def test_processes_spread_over_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    chosen = []
    for name in ("MainProcess", "SpawnProcess-1", "SpawnProcess-2", "SpawnProcess-3", "SpawnProcess-4"):
        monkeypatch.setattr(encoders.multiprocessing.current_process(), "name", name)
        chosen.append(encoders.process_device("auto", "local"))
    assert chosen == ["cuda:0", "cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    assert encoders.process_device("cuda:1", "local") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert encoders.process_device("auto", "local") == "auto"
