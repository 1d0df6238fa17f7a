#!/usr/bin/env python
"""CPU seconds, disk and peak memory of `vlm3r scenes prepare`, for each data set at its own picture sizes.

    python benchmarks/prepare_speed.py --json figures.json

A synthetic room is written in each raw layout, once with `--few` frames of video and once with `--many`: the difference
gives what a frame costs, the rest what a scene costs whatever its length (32 annotated frames, the area, the boxes).
The room's mesh is coarser than a real one, and its few pictures repeat, so that its video is smaller than a real one.
CPU seconds are what to compare on a machine that others use too. Memory is the peak of the process that prepares; it is
read from /proc, so this runs on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.scenes.raw import scannet_files
from tests.scenes.raw.room import TestRoom, make_room
from tests.scenes.raw.truth import DATASETS, write_raw
from vlm3r.scenes.raw.capture import Dataset
from vlm3r.scenes.raw.prepare import PrepareSettings, PrepareTask, prepare_scan
from vlm3r.scenes.raw.readers import find_scans
from vlm3r.scenes.schema import Intrinsics

SIZES: dict[Dataset, tuple[int, int]] = {"scannet": (1296, 968), "scannetpp": (1752, 1168), "arkitscenes": (256, 192)}
DISTINCT = 8
"""Pictures that repeat."""
SCANNET_DEPTH = Intrinsics(640, 480, 577.0, 577.0, 320.0, 240.0)


def repeated(room: TestRoom, frames: int) -> TestRoom:
    """The room with its frames over and over again."""
    chosen = [number % len(room.pictures) for number in range(frames)]
    seen = tuple(replace(room.scene.frames[n], frame_id=i) for i, n in enumerate(chosen))
    pictures, depth, masks = (tuple(values[n] for n in chosen) for values in (room.pictures, room.depth, room.masks))
    return replace(room, scene=replace(room.scene, frames=seen), pictures=pictures, depth=depth, masks=masks)


def write_download(raw: Path, dataset: Dataset, room: TestRoom) -> None:
    """The room's raw layout; ScanNet with JPEG pictures and a depth map of its own size, as it ships."""
    if dataset == "scannet":
        scannet_files.write_scan(raw, room, colour_kind="jpeg", depth_camera=SCANNET_DEPTH)
    else:
        write_raw(raw, dataset, room)


def measure(dataset: Dataset, raw: Path, out: Path) -> dict[str, float]:
    """Prepare the only scan of a download in this process."""
    (scan,) = find_scans(dataset, raw, None, None, False, 0)
    began = time.process_time()
    prepare_scan(PrepareTask(scan, out, PrepareSettings()))
    seconds = time.process_time() - began
    sizes = {path.relative_to(out / scan.scene_id).parts[0]: 0.0 for path in (out / scan.scene_id).rglob("*")}
    for path in (out / scan.scene_id).rglob("*"):
        sizes[path.relative_to(out / scan.scene_id).parts[0]] += path.stat().st_size / 1e6 if path.is_file() else 0
    return {
        "cpu_s": seconds,
        "peak_gib": peak_memory(),
        **{f"mb_{name.split('.')[0]}": size for name, size in sizes.items()},
    }


def peak_memory() -> float:
    """GiB; not `getrusage`'s, which begins with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def in_own_process(dataset: Dataset, raw: Path, out: Path) -> dict[str, float]:
    """`measure`, with the memory of nothing else."""
    command = [sys.executable, __file__, "--dataset", dataset, "--raw", str(raw), "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Measure every data set and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=32)
    parser.add_argument("--many", type=int, default=128)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--dataset", choices=DATASETS, help=argparse.SUPPRESS)
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.dataset:
        print(json.dumps(measure(arguments.dataset, arguments.raw, arguments.out)))
        return
    figures = {}
    for dataset, size in SIZES.items():
        room = make_room(DISTINCT, *size)
        found = []
        for frames in (arguments.few, arguments.many):
            with tempfile.TemporaryDirectory() as folder:
                raw = Path(folder) / "raw"
                write_download(raw, dataset, repeated(room, frames))
                found.append(in_own_process(dataset, raw, Path(folder) / "out"))
        few, many = found
        a_frame = (many["cpu_s"] - few["cpu_s"]) / (arguments.many - arguments.few)
        figures[dataset] = {
            "cpu_s_a_frame": round(a_frame, 4),
            "cpu_s_a_scene": round(few["cpu_s"] - arguments.few * a_frame, 2),
            "mb_of_annotated_frames": round(few["mb_depth"] + few["mb_instances"], 2),
            "peak_gib": {arguments.few: round(few["peak_gib"], 2), arguments.many: round(many["peak_gib"], 2)},
        }
        print(dataset, json.dumps(figures[dataset]))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
