"""`vlm3r scenes`: many scenes or clips in parallel, with progress and a summary."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from vlm3r.commands.console import say
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.cut import CutTask, cut_scene
from vlm3r.scenes.storage import find_scenes, folder_name
from vlm3r.scenes.synthetic.generate import RoomTask, make_scene
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.workers import default_workers, run

SHOWN_FAILURES = 10


def generate(
    rooms: int,
    seed: int,
    out: Path,
    settings: SceneSettings,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> int:
    """Make the scenes `0 .. rooms - 1` of a seed below `out`; the exit status, 1 where a scene failed.

    Raises:
        UserError: `out` cannot be made.
    """
    out = made_folder(out)
    tasks = (RoomTask(out, seed, index, settings) for index in range(rooms))
    began = time.perf_counter()
    made = kept = objects = 0
    failures: list[str] = []
    backends: set[str] = set()
    progress = tqdm(total=rooms, unit="room", desc="rooms", dynamic_ncols=True, mininterval=0.5)
    with progress:
        for outcome in run(make_scene, tasks, workers=workers or default_workers(), engine=engine):
            progress.update()
            if outcome.value is None:
                failures.append(f"{outcome.item.scene_id}: {outcome.error}")
                continue
            made, kept = made + (not outcome.value.kept), kept + outcome.value.kept
            objects += outcome.value.objects
            backends.add(outcome.value.backend)
    minutes = (time.perf_counter() - began) / 60
    show_failures(failures)
    done = made + kept
    print(
        f"{done} of {rooms} rooms in {out}: {made} made, {kept} were there; "
        f"{objects / max(done, 1):.0f} objects a room, renderer {', '.join(sorted(backends)) or 'none'}, "
        f"{made / minutes:.1f} rooms/minute"
    )
    return 1 if failures else 0


def cut(scenes: Sequence[Path], out: Path, frames: int, clips: int, seed: int, workers: int | None = None) -> int:
    """Cut clips from all scenes below some folders; the exit status, 1 where a scene failed or there is no clip.

    Raises:
        UserError: a folder holds no scenes, two scenes share their name, or `out` cannot be made.
    """
    files = [file for folder in scenes for file in find_scenes(folder)]
    twice = [name for name, count in Counter(map(folder_name, files)).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]}: is in two of the folders, and clips are named by it; give one of them")
    out = made_folder(out)
    tasks = [CutTask(file, out, frames, clips, seed) for file in files]
    made = kept = 0
    failures: list[str] = []
    progress = tqdm(total=len(tasks), unit="scene", desc="cutting", dynamic_ncols=True, mininterval=0.5)
    with progress:
        for outcome in run(cut_scene, tasks, workers=workers or default_workers()):
            progress.update()
            if outcome.value is None:
                failures.append(_named(outcome.item.scene, outcome.error or "no reason given"))
                continue
            made, kept = made + outcome.value.made, kept + outcome.value.kept
    show_failures(failures)
    print(f"{made + kept} clips of {frames} frames from {len(tasks)} scenes in {out}: {made} made, {kept} were there")
    if not failures and not made + kept:
        say(f"no scene has {frames} frames that a model sees; give a smaller --frames")
    return 1 if failures or not made + kept else 0


def made_folder(out: Path) -> Path:
    """The folder, made if it is not there."""
    out = out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({first_line(error)}); choose another --out") from error
    return out


def _named(file: Path, reason: str) -> str:
    """The reason, behind the file's name unless it has it."""
    return reason if str(file) in reason else f"{file}: {reason}"


def show_failures(failures: Sequence[str]) -> None:
    """Say the first reasons, and how many more there are."""
    for failure in failures[:SHOWN_FAILURES]:
        say(failure)
    if len(failures) > SHOWN_FAILURES:
        say(f"... and {len(failures) - SHOWN_FAILURES} more")
