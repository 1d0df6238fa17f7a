"""The question tasks, one file each, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable

from vlm3r.qa.items import Task
from vlm3r.qa.rules import Rules
from vlm3r.qa.tasks.appearance_order import AppearanceOrder
from vlm3r.qa.tasks.camera_displacement import CameraDisplacement
from vlm3r.qa.tasks.camera_movement import CameraMovement
from vlm3r.qa.tasks.camera_object_distance import CameraObjectDistance
from vlm3r.qa.tasks.camera_object_distance_change import CameraObjectDistanceChange
from vlm3r.qa.tasks.camera_object_relative_distance import CameraObjectRelativeDistance
from vlm3r.qa.tasks.object_abs_distance import ObjectAbsDistance
from vlm3r.qa.tasks.object_counting import ObjectCounting
from vlm3r.qa.tasks.object_object_position import ObjectObjectPosition
from vlm3r.qa.tasks.object_size import ObjectSize
from vlm3r.qa.tasks.relative_direction import RelativeDirection
from vlm3r.qa.tasks.relative_distance import RelativeDistance
from vlm3r.qa.tasks.room_size import RoomSize
from vlm3r.qa.tasks.route_planning import RoutePlanning

FAMILIES: tuple[Callable[[Rules], Task], ...] = (
    ObjectCounting,
    ObjectAbsDistance,
    ObjectSize,
    RoomSize,
    RelativeDistance,
    RelativeDirection,
    RoutePlanning,
    AppearanceOrder,
    CameraObjectDistance,
    CameraObjectRelativeDistance,
    ObjectObjectPosition,
    CameraDisplacement,
    CameraMovement,
    CameraObjectDistanceChange,
)


def make_tasks(rules: Rules) -> dict[str, Task]:
    """Every task under the given rules, by name."""
    tasks = [family(rules) for family in FAMILIES]
    return {task.name: task for task in tasks}


TASKS: dict[str, Task] = make_tasks(Rules.strict())
