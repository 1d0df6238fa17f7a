"""Every candidate question of a task with its true values, for comparison with other implementations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from vlm3r.errors import UserError
from vlm3r.qa.rules import Rules
from vlm3r.qa.tasks import make_tasks
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Scene


def candidates(scene: Scene, task: str) -> Iterable[Mapping[str, Any]]:
    """Every candidate of a task in a scene under the published rules, before options, sampling and caps.

    Args:
        scene: any scene.
        task: a name in `vlm3r.qa.tasks.TASKS`; the columns are described in the task's own `candidates`.

    Raises:
        UserError: there is no such task.
    """
    tasks = make_tasks(Rules.published())
    if task not in tasks:
        close = get_close_matches(task, tasks, 1) or sorted(tasks)
        raise UserError(f"{task}: no such question task; did you mean {close[0]}?")
    return tasks[task].candidates(SceneGraph(scene))
