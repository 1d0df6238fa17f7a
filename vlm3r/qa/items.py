"""What a task hands to the engine: one question with its true answer, before wording, letters and caps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vlm3r.scenes.graph import SceneGraph


@dataclass(frozen=True)
class Item:
    """One question about one scene."""

    question_type: str
    """A name of `vlm3r.qa.types`, difficulty included."""
    slots: Mapping[str, str]
    """What the wording fills in: category names, frame numbers, lists."""
    answer: str | float | int
    """The right option's text, or the number, rounded as the benchmark rounds it."""
    options: tuple[str, ...] = ()
    """All options in any order, the right one among them; empty for numeric questions."""
    objects: tuple[int, ...] = ()
    """Positions in `Scene.objects` of the objects asked about."""
    frames: tuple[int, ...] = ()
    """1-based places among the frames that the model sees."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Raw values behind the answer (angle, distances, path), for audit."""


class Task(Protocol):
    """One family of questions."""

    @property
    def name(self) -> str:
        """Key of the task in `vlm3r.qa.tasks.TASKS`."""
        ...

    @property
    def question_types(self) -> tuple[str, ...]:
        """Every `Item.question_type` that the task yields."""
        ...

    def candidates(self, graph: SceneGraph) -> Iterable[Mapping[str, Any]]:
        """Every candidate with its true values and verdict, before options, sampling and caps."""
        ...

    def items(self, graph: SceneGraph, rng: np.random.Generator, limit: int) -> Iterator[Item]:
        """At most `limit` valid questions per question type, sampled evenly from all valid ones."""
        ...
