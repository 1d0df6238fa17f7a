"""First pass: all tasks on one scene, giving more questions than will be kept, as plain values that fit on a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlm3r.errors import UserError
from vlm3r.qa.items import Item, Task
from vlm3r.qa.rules import Rules
from vlm3r.qa.sources import SceneSource
from vlm3r.qa.splits import Splits, stable_number
from vlm3r.qa.tasks import TASKS, make_tasks
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Scene

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class ProposeSettings:
    """What the first pass depends on."""

    limits: Mapping[str, int]
    """Most questions of each type in one scene, by question type; other types are not asked."""
    seed: int = 0
    splits: Splits | None = None
    part: str | None = None
    """Only scenes of this part of `splits`; all scenes if None."""
    least_frames: int = 0
    """Only scenes with this many frames."""
    rules: Rules = field(default_factory=Rules.strict)
    """Guards against ambiguous questions."""


def propose(settings: ProposeSettings, source: SceneSource) -> dict[str, Any]:
    """A scene's proposals: `key`, `stamp`, `scene`, `dataset`, `video`, `problems` and `questions`.

    A scene of another part of the split, or of too few frames, gives no questions and is marked `skipped`.

    Raises:
        UserError: the scene cannot be used.
    """
    scene = source.open()
    base: dict[str, Any] = {"key": source.key, "stamp": source.stamp, "scene": scene.scene_id}
    elsewhere = settings.splits and settings.part and settings.splits.part(scene.scene_id) != settings.part
    if elsewhere or len(scene.frames) < settings.least_frames:
        return base | {"skipped": True, "problems": [], "questions": []}
    graph = SceneGraph(scene)
    questions = []
    for task in make_tasks(settings.rules).values():
        questions.extend(_ask(task, graph, settings))
    return base | {
        "dataset": scene.dataset,
        "video": video_path(scene, source),
        "problems": _problems(scene, source),
        "questions": questions,
    }


def video_path(scene: Scene, source: SceneSource) -> str:
    """The video relative to the folder of scenes; by the benchmarks' convention where the scene names none."""
    if scene.video is None:
        return f"{scene.dataset}/{scene.scene_id}.mp4"
    return f"{source.root}/{scene.video}" if source.root else scene.video


def _ask(task: Task, graph: SceneGraph, settings: ProposeSettings) -> Iterator[dict[str, Any]]:
    left = {kind: settings.limits.get(kind, 0) for kind in task.question_types}
    if not any(left.values()):
        return
    rng = np.random.default_rng([settings.seed, stable_number(graph.scene.scene_id, task.name)])
    seen = set()
    for item in task.items(graph, rng, max(left.values())):
        identity = (item.question_type, tuple(sorted(item.slots.items())), frozenset(item.options))
        if left[item.question_type] > 0 and identity not in seen:
            seen.add(identity)
            left[item.question_type] -= 1
            yield _record(task.name, item, graph.scene)


def _record(task: str, item: Item, scene: Scene) -> dict[str, Any]:
    if item.options and item.answer not in item.options:
        raise ValueError(f"{item.question_type}: answer {item.answer!r} is not among the options")
    seen = scene.seen_frames
    return {
        "task": task,
        "question_type": item.question_type,
        "slots": dict(item.slots),
        "answer": plain(item.answer),
        "options": list(item.options),
        "objects": [
            {"index": i, "category": scene.objects[i].category, "instance_id": scene.objects[i].instance_id}
            for i in item.objects
        ],
        "frames": [{"place": place, "frame_id": seen[place - 1].frame_id} for place in item.frames],
        "details": plain(item.details),
    }


def _problems(scene: Scene, source: SceneSource) -> list[str]:
    problems = list(scene.problems)
    own = source.content is None
    if own and not scene.frames:
        problems.append("no frames")
    if own and scene.video is not None and not (source.path.parent / scene.video).is_file():
        problems.append(f"video {scene.video} is missing")
    if not scene.objects:
        problems.append("no usable objects")
    return limited(problems)


def limited(problems: list[str]) -> list[str]:
    """The first problems, and how many more there are."""
    if len(problems) <= MAX_PROBLEMS:
        return problems
    return [*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more"]


def plain(value: Any) -> Any:
    """The value as JSON knows it; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [plain(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def question_types(names: Iterable[str]) -> list[str]:
    """The question types that names of tasks or of types stand for, in the registry's order; all if there are none.

    Raises:
        UserError: a name is neither.
    """
    kinds = [kind for task in TASKS.values() for kind in task.question_types]
    wanted = {_versioned(name): name for name in names}
    for versioned, name in wanted.items():
        if versioned not in TASKS and versioned not in kinds:
            raise UserError(f"unknown task {name!r}: give some of {', '.join(TASKS)}, or one of their question types")
    return [
        kind
        for name, task in TASKS.items()
        for kind in task.question_types
        if not wanted or name in wanted or kind in wanted
    ]


def _versioned(name: str) -> str:
    """A type's name with its version, where it names the difficulty as benchmark rows do."""
    for difficulty, version in (("_hard", "_v1"), ("_medium", "_v2"), ("_easy", "_v3")):
        if name.endswith(difficulty):
            return name.removesuffix(difficulty) + version
    return name


def to_line(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON Lines."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
