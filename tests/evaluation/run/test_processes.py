"""Several processes share a run: each keeps a part of the journal, and no kill loses or repeats anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.evaluation.run.small import FRAMES, write_benchmark
from tests.evaluation.run.test_journal import EXPECTED, FINGERPRINT, records, run_all
from vlm3r.errors import UserError
from vlm3r.evaluation.run.journal import ANSWERS, PART, PARTS, open_journal, open_part
from vlm3r.evaluation.run.processes import Processes, join_processes

ROOT = Path(__file__).parents[3]
REPORTS = ("report.json", "report.md", "report.html", "run.json")


def begin(folder, first=("one",), further=("twö", "three")):
    """A run that ended when its main process had finished some videos and a further one others."""
    with open_journal(folder, FINGERPRINT, EXPECTED) as journal:
        for video in first:
            journal.append(video, records(video))
        with open_part(folder, 1, FINGERPRINT, EXPECTED) as part:
            for video in further:
                part.append(video, records(video))
    return folder / PART.format(1)


def lines(folder):
    return sorted((folder / ANSWERS).read_bytes().splitlines(keepends=True))


def test_shares_hold_every_item_once_and_differ_by_one_at_most():
    items = list(range(11))
    for count in (1, 2, 4, 16):
        shares = [Processes(index, count).share(items) for index in range(count)]
        assert sorted(item for share in shares for item in share) == items
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_part_is_taken_in_when_the_run_is_continued(tmp_path):
    part = begin(tmp_path / "two")
    assert part.exists()
    assert run_all(tmp_path / "two") == []
    assert not list((tmp_path / "two").glob(PARTS))
    run_all(tmp_path / "one")
    assert lines(tmp_path / "two") == lines(tmp_path / "one")


def test_a_part_cut_off_at_any_byte_loses_no_more_than_the_video_it_was_at(tmp_path):
    whole = begin(tmp_path / "first").read_bytes()
    ends = {
        video: whole.index(b"\n", whole.rindex(mark)) for video, mark in (("twö", b"tw\xc3\xb6"), ("three", b"three"))
    }
    for cut in range(len(whole) + 1):
        folder = tmp_path / str(cut)
        begin(folder).write_bytes(whole[:cut])
        assert run_all(folder) == [video for video, end in ends.items() if cut <= end]
        assert len(lines(folder)) == 5


def test_a_kill_while_parts_are_taken_in_doubles_nothing(tmp_path):
    path = begin(tmp_path)
    part = path.read_bytes()
    run_all(tmp_path)
    whole = (tmp_path / ANSWERS).read_bytes()
    for cut in range(len(whole) - len(part), len(whole) + 1):
        (tmp_path / ANSWERS).write_bytes(whole[:cut])
        path.write_bytes(part)
        assert run_all(tmp_path) == []
        assert lines(tmp_path) == sorted(whole.splitlines(keepends=True))
        assert not path.exists()


def test_a_part_that_another_process_still_writes_to_keeps_the_run_closed(tmp_path):
    begin(tmp_path)
    with (
        open_part(tmp_path, 1, FINGERPRINT, EXPECTED),
        pytest.raises(UserError, match="another process is writing"),
        open_journal(tmp_path, FINGERPRINT, EXPECTED),
    ):
        pass
    assert run_all(tmp_path) == []


def test_a_process_that_does_not_see_the_run_or_sees_another_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="that all processes see"), open_part(tmp_path, 1, FINGERPRINT, EXPECTED):
        pass
    run_all(tmp_path)
    other = FINGERPRINT | {"probe": "zero"}
    with pytest.raises(UserError, match="probe: none and zero"), open_part(tmp_path, 1, other, EXPECTED):
        pass


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    alone = join_processes()
    assert (alone.count, alone.is_main, alone.take_device("auto")) == (1, True, "auto")
    assert alone.from_main("value") == "value"
    assert alone.gather("value") == ["value"]


def test_processes_of_one_machine_take_its_gpus_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    taken = [Processes(index, 6, index % 3, 3).take_device("auto") for index in range(6)]
    assert taken == ["cuda:0", "cuda:1", "cuda:0"] * 2
    assert current == [0, 1, 0] * 2
    assert Processes(1, 2, 1, 2).take_device("cpu") == "cpu"


def test_a_run_of_two_processes_of_which_one_is_killed_is_finished_by_one_as_if_it_had_been_alone(tmp_path):
    bench = write_benchmark(tmp_path / "data", 12)
    arguments = ["-m", "tests.evaluation.run.small", "--benchmark", str(bench), "--frames", str(FRAMES)]
    arguments += ["--workers", "1", "--device", "cpu", "--out"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = tmp_path / "said.txt"

    def start(out: Path, *launched: str) -> subprocess.Popen[bytes]:
        with said.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *launched, *arguments, str(out)],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
            )

    shared, alone = tmp_path / "shared", tmp_path / "alone"
    process = start(shared, *launcher)
    part = shared / PART.format(1)
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.002)
    for child in psutil.Process(process.pid).children():
        if child.environ().get("LOCAL_RANK") == "1":
            child.send_signal(signal.SIGKILL)
    assert process.wait() != 0, said.read_text()
    left = [line for path in shared.glob("answers*") for line in path.read_bytes().splitlines(keepends=True)]
    assert 0 < len(left) < 60
    assert start(shared).wait() == 0, said.read_text()
    assert start(alone).wait() == 0, said.read_text()
    assert lines(shared) == lines(alone)
    for name in REPORTS:
        assert (shared / name).read_bytes() == (alone / name).read_bytes()
    finished = [line for line in left if line.endswith(b"\n")]
    assert set(finished) <= set(lines(shared))
    assert not list(shared.glob(PARTS))
