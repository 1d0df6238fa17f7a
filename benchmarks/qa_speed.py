#!/usr/bin/env python
"""Questions a second for one scene and for many, by processes, and peak memory by number of scenes.

    python benchmarks/qa_speed.py --scenes 1000 --json figures.json

One scene has 25 objects and 32 frames; every task asks at most `--per-scene` questions of each type. Scenes are random
boxes in a room, so that nothing needs rendering. Memory is the peak of the process that generates, in one of its own.
CPU seconds are what to compare on a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.qa.scenes_by_chance import random_scene, write_scenes
from vlm3r.qa.engine import GenerateOptions, generate
from vlm3r.qa.proposals import propose
from vlm3r.qa.sources import SceneSource, find_sources
from vlm3r.qa.tasks import TASKS

REPEATS = 10


def one_scene(per_scene: int) -> dict[str, Any]:
    """Milliseconds of the first pass over one scene, all tasks and each alone."""
    scene = random_scene(0)

    def seconds(tasks: tuple[str, ...]) -> tuple[float, int]:
        settings = GenerateOptions(tasks=tasks, per_scene=per_scene, balance=False).proposals()
        times, questions = [], 0
        for i in range(REPEATS):
            source = SceneSource(f"{i}", Path("memory"), "", content=scene)
            began = time.process_time()
            questions = len(propose(settings, source)["questions"])
            times.append(time.process_time() - began)
        return statistics.median(times), questions

    total, questions = seconds(())
    alone = {name: round(1000 * seconds((name,))[0], 2) for name in TASKS}
    figures = {"questions": questions, "cpu_ms": round(1000 * total, 2), "questions_per_s": round(questions / total)}
    return figures | {"cpu_ms_by_task_alone": alone}


def many_scenes(folder: Path, number: int, workers: int, per_scene: int) -> dict[str, Any]:
    """A whole run over the first scenes of a folder."""
    sources = islice(find_sources([folder]), number)
    began = time.perf_counter()
    summary = generate(
        sources,
        folder.parent / f"questions_{number}_{workers}.jsonl",
        GenerateOptions(per_scene=per_scene),
        workers=workers,
        overwrite=True,
    )
    seconds = time.perf_counter() - began
    questions = sum(summary.written.values())
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "scenes": summary.scenes,
        "workers": workers,
        "questions": questions,
        "proposed": sum(summary.proposed.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in used), 1),
        "questions_per_s": round(questions / seconds),
        "peak_mib": round(used[0].ru_maxrss / 1024),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--per-scene", type=int, default=6)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=3, metavar=("FOLDER", "SCENES", "WORKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        folder, number, workers = arguments.run
        print(json.dumps(many_scenes(Path(folder), int(number), int(workers), arguments.per_scene)))
        return
    figures: dict[str, Any] = {"one scene": one_scene(arguments.per_scene), "many scenes": []}
    print(json.dumps(figures["one scene"], indent=1))
    with tempfile.TemporaryDirectory() as place:
        folder = write_scenes(Path(place) / "scenes", arguments.scenes)
        for number, workers in ((max(1, arguments.scenes // 10), 1), (arguments.scenes, 1), (arguments.scenes, 2)):
            command = [sys.executable, __file__, "--per-scene", arguments.per_scene, "--run", folder, number, workers]
            result = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, check=True, text=True)
            figures["many scenes"].append(json.loads(result.stdout))
            print(result.stdout.strip())
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
