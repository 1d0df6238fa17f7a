"""Confidence intervals of a benchmark's averages, by drawing scenes again.

Questions about one scene share its video and its oddities, so scenes are drawn, with replacement, and not questions.
Repeated scans of one ScanNet room count as one scene.
Every average follows from the sums and counts of scores by scene and question type; a resample is a weight per scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.qa.splits import room_of
from vlm3r.qa.types import QUESTION_TYPES, VSTI_FIVE_TASKS, QuestionType, question_type

RESAMPLES = 10_000
CHUNK = 1_000
LEVEL = 0.95

Array = NDArray[np.float64]
Name = tuple[str, str, str]
"""What an average is of: benchmark ("" for all), level (type, task or overall), and name."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Table:
    """Scores added up by scene and question type."""

    scenes: tuple[str, ...]
    """In order of appearance."""
    types: tuple[QuestionType, ...]
    """Those present, in the order of the published tables."""
    sums: Array
    """(scene, type)"""
    counts: Array
    """(scene, type)"""

    def averages(self, weights: Array) -> dict[Name, Array]:
        """Each average `(resample,)` under weights `(resample, scene)`; NaN where no question is left."""
        return averages(weights @ self.sums, weights @ self.counts, self.types)


def tabulate(records: Sequence[Mapping[str, Any]], field: str, like: Table | None = None) -> Table:
    """The table of records with `scene`, `question_type` and a score under `field`.

    Args:
        records: one per question.
        field: such as `published`.
        like: a table whose scenes and types are to be used, in its order; None takes those of the records.
    """
    kinds = [question_type(record["question_type"]) for record in records]
    rooms = [room_of(record["scene"]) for record in records]
    scenes = tuple(dict.fromkeys(rooms)) if like is None else like.scenes
    types = tuple(kind for kind in QUESTION_TYPES if kind in set(kinds)) if like is None else like.types
    place_of_scene = {scene: place for place, scene in enumerate(scenes)}
    place_of_type = {kind.name: place for place, kind in enumerate(types)}
    rows = np.array([place_of_scene[room] for room in rooms], dtype=int)
    columns = np.array([place_of_type[kind.name] for kind in kinds], dtype=int)
    sums, counts = np.zeros((len(scenes), len(types))), np.zeros((len(scenes), len(types)))
    np.add.at(sums, (rows, columns), [float(record[field]) for record in records])
    np.add.at(counts, (rows, columns), 1.0)
    return Table(scenes, types, sums, counts)


def averages(sums: Array, counts: Array, types: Sequence[QuestionType]) -> dict[Name, Array]:
    """The averages that `vlm3r.evaluation.aggregate` forms, for many sums and counts `(resample, type)` at once."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts  # (resample, type), NaN for a type that was not drawn
        found: dict[Name, Array] = {}
        for benchmark in dict.fromkeys(kind.benchmark for kind in types):
            own = [place for place, kind in enumerate(types) if kind.benchmark == benchmark]
            tasks = {}
            for task in dict.fromkeys(types[place].task for place in own):
                members = [place for place in own if types[place].task == task]
                tasks[task] = _mean_present(means[:, members])
                found[benchmark, "task", task] = tasks[task]
                if len(members) > 1 or types[members[0]].name != task:
                    found |= {(benchmark, "type", types[place].name): means[:, place] for place in members}
            parts = means[:, own] if benchmark == "vstibench" else np.stack(list(tasks.values()), axis=1)
            found[benchmark, "overall", "overall"] = _mean_present(parts)
            five = [values for task, values in tasks.items() if task in VSTI_FIVE_TASKS]
            if five:
                found[benchmark, "overall", "overall_five_tasks"] = _mean_present(np.stack(five, axis=1))
            found[benchmark, "overall", "micro"] = sums[:, own].sum(axis=1) / counts[:, own].sum(axis=1)
        found["", "overall", "micro"] = sums.sum(axis=1) / counts.sum(axis=1)
    return found


def belongs(record: Mapping[str, Any], name: Name) -> bool:
    """Whether a question, by its `question_type`, counts for an average."""
    kind, (benchmark, level, what) = question_type(record["question_type"]), name
    if benchmark not in ("", kind.benchmark):
        return False
    if level == "overall":
        return what != "overall_five_tasks" or kind.task in VSTI_FIVE_TASKS
    return what == (kind.name if level == "type" else kind.task)


def intervals(table: Table, seed: int = 0, resamples: int = RESAMPLES) -> dict[Name, Interval | None]:
    """The 95 % percentile interval of every average; None where fewer than two scenes have its questions."""
    return _percentiles((table.averages(weights) for weights in _draws(len(table.scenes), seed, resamples)), table)


def difference_intervals(
    first: Table, second: Table, seed: int = 0, resamples: int = RESAMPLES
) -> dict[Name, Interval | None]:
    """As `intervals`, of second minus first, both under the same draws; the tables' scenes and types must agree."""

    def chunks() -> Iterator[dict[Name, Array]]:
        for weights in _draws(len(first.scenes), seed, resamples):
            before, after = first.averages(weights), second.averages(weights)
            yield {name: after[name] - before[name] for name in before}

    return _percentiles(chunks(), first)


def _draws(scenes: int, seed: int, resamples: int) -> Iterator[Array]:
    """Weights `(resample, scene)`, in chunks: how often each scene is drawn."""
    rng = np.random.default_rng([seed, 11])
    for begin in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - begin)
        yield rng.multinomial(scenes, np.full(scenes, 1 / scenes), size=size).astype(np.float64)


def _percentiles(chunks: Iterator[dict[Name, Array]], table: Table) -> dict[Name, Interval | None]:
    collected = list(chunks)
    tail = 100 * (1 - LEVEL) / 2
    found: dict[Name, Interval | None] = {}
    for name, alone in table.averages(np.eye(len(table.scenes))).items():  # (scene,), NaN without such questions
        if np.isfinite(alone).sum() < 2:
            found[name] = None
            continue
        low, high = np.nanpercentile(np.concatenate([chunk[name] for chunk in collected]), [tail, 100 - tail])
        found[name] = (float(low), float(high))
    return found


def _mean_present(values: Array) -> Array:
    """Mean `(resample,)` over the columns that are not NaN; NaN where all are."""
    present = ~np.isnan(values)
    return np.where(present, values, 0.0).sum(axis=1) / present.sum(axis=1)
