"""Every question type once: its names, how it is answered, the benchmark and the task that it counts for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from vlm3r.errors import UserError

Kind = Literal["option", "numeric"]
Benchmark = Literal["vsibench", "vstibench"]
Unit = Literal["", "m", "cm", "m2"]


@dataclass(frozen=True)
class QuestionType:
    """One question type under the name that the benchmark's rows carry."""

    name: str
    kind: Kind
    benchmark: Benchmark
    task: str
    """Row of the published tables; the types of a task are averaged before the tasks are."""
    unit: Unit = ""
    """Unit of a numeric answer; empty for a count and for options."""
    options: tuple[int, ...] = ()
    """Possible numbers of options."""
    training_name: str = ""
    """Name in training rows, where it differs."""
    aliases: tuple[str, ...] = ()
    """Further names that are understood."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the type is understood, its own first."""
        return tuple(dict.fromkeys(filter(None, (self.name, self.training_name, *self.aliases))))


def _option(
    name: str, benchmark: Benchmark, task: str, options: tuple[int, ...], training_name: str = "", *aliases: str
) -> QuestionType:
    return QuestionType(
        name, "option", benchmark, task, options=options, training_name=training_name, aliases=tuple(aliases)
    )


VSI, VSTI = "vsibench", "vstibench"
DIRECTION, DISTANCE = "object_rel_direction", "object_rel_distance"
CAMERA_DISTANCE, POSITION, MOVEMENT = "camera_obj_rel_dist", "obj_obj_relative_pos", "camera_movement_direction"

QUESTION_TYPES: tuple[QuestionType, ...] = (
    QuestionType("object_counting", "numeric", VSI, "object_counting"),
    QuestionType("object_abs_distance", "numeric", VSI, "object_abs_distance", "m"),
    QuestionType("object_size_estimation", "numeric", VSI, "object_size_estimation", "cm"),
    QuestionType("room_size_estimation", "numeric", VSI, "room_size_estimation", "m2"),
    _option(DISTANCE, VSI, DISTANCE, (4,), "object_rel_distance_v1", "object_rel_distance_hard"),
    _option("object_rel_distance_v2", VSI, DISTANCE, (3,), "", "object_rel_distance_medium"),
    _option("object_rel_distance_v3", VSI, DISTANCE, (2,), "", "object_rel_distance_easy"),
    _option("object_rel_direction_easy", VSI, DIRECTION, (2,), "object_rel_direction_v3"),
    _option("object_rel_direction_medium", VSI, DIRECTION, (3,), "object_rel_direction_v2"),
    _option("object_rel_direction_hard", VSI, DIRECTION, (4,), "object_rel_direction_v1"),
    _option("route_planning", VSI, "route_planning", (3, 4)),
    _option("obj_appearance_order", VSI, "obj_appearance_order", (4,)),
    QuestionType("camera_obj_abs_dist", "numeric", VSTI, "camera_obj_abs_dist", "m"),
    QuestionType("camera_displacement", "numeric", VSTI, "camera_displacement", "m"),
    _option(
        MOVEMENT,
        VSTI,
        MOVEMENT,
        (2, 3, 4),
        "",
        *(f"{MOVEMENT}_{end}" for end in ("v1", "v2", "v3", "hard", "medium", "easy")),
    ),
    _option("obj_obj_relative_pos_nf", VSTI, POSITION, (2,)),
    _option("obj_obj_relative_pos_lr", VSTI, POSITION, (2,)),
    _option("obj_obj_relative_pos_ud", VSTI, POSITION, (2,)),
    _option("camera_obj_rel_dist_v1", VSTI, CAMERA_DISTANCE, (4,), "", "camera_obj_rel_dist_hard"),
    _option("camera_obj_rel_dist_v2", VSTI, CAMERA_DISTANCE, (3,), "", "camera_obj_rel_dist_medium"),
    _option("camera_obj_rel_dist_v3", VSTI, CAMERA_DISTANCE, (2,), "", "camera_obj_rel_dist_easy"),
    QuestionType("camera_obj_dist_change", "numeric", VSTI, "camera_obj_dist_change", "m"),
)
"""All types, those of a benchmark in the order of its published table."""

VSTI_FIVE_TASKS = ("camera_obj_abs_dist", "camera_displacement", MOVEMENT, POSITION, CAMERA_DISTANCE)
"""The tasks of the papers' VSTI-Bench mean; the distance change is scored but published nowhere."""


@cache
def _by_name() -> dict[str, QuestionType]:
    return {name: entry for entry in QUESTION_TYPES for name in entry.names}


def question_type(name: str) -> QuestionType:
    """The type that a row's `question_type` names, by any of its names.

    Raises:
        UserError: No type has that name; the message names the nearest one.
    """
    known = _by_name()
    if name in known:
        return known[name]
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
    raise UserError(f"unknown question type {name!r}; the nearest known one is {nearest!r}")


def types_of(benchmark: str) -> tuple[QuestionType, ...]:
    """The types of "vsibench" or "vstibench", in table order.

    Raises:
        UserError: Another benchmark.
    """
    if benchmark not in (VSI, VSTI):
        raise UserError(f"unknown benchmark {benchmark!r}: give vsibench or vstibench")
    return tuple(entry for entry in QUESTION_TYPES if entry.benchmark == benchmark)
