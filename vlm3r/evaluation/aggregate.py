"""Averages of scores over question types and tasks, as the published tables form them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from vlm3r.errors import UserError
from vlm3r.qa.types import VSTI_FIVE_TASKS, question_type, types_of


class Aggregate(TypedDict, total=False):
    """Averages of one benchmark, all fractions of 1."""

    overall: float
    """VSI-Bench: mean of the tasks present. VSTI-Bench: mean of the question types present, as the published code."""
    overall_five_tasks: float
    """VSTI-Bench only: mean of the papers' five tasks, those present."""
    micro: float
    """Mean over all rows."""
    per_task: dict[str, float]
    """Mean of the task's question types, in table order."""
    per_type: dict[str, float]
    """Mean of the rows of each question type, in table order."""
    counts: dict[str, int]
    """Rows of each question type."""
    problems: dict[str, int]
    """How often each `problem` occurs in the rows."""


def aggregate(rows: Iterable[Mapping[str, Any]], benchmark: str) -> Aggregate:
    """Averages over scored rows of one benchmark.

    Args:
        rows: Mappings with `question_type` and `score` in [0, 1], and perhaps `problem`.
        benchmark: "vsibench" or "vstibench".

    Raises:
        UserError: No rows; an unknown type, or one of the other benchmark; a score outside [0, 1].
    """
    scores: dict[str, list[float]] = defaultdict(list)
    problems: Counter[str] = Counter()
    known = types_of(benchmark)
    for row in rows:
        kind = question_type(row["question_type"])
        if kind.benchmark != benchmark:
            raise UserError(f"question type {kind.name} belongs to {kind.benchmark}, not {benchmark}: split the rows")
        if not 0 <= row["score"] <= 1:
            raise UserError(f"a row of type {kind.name} has the score {row['score']}: it must lie between 0 and 1")
        scores[kind.name].append(float(row["score"]))
        if row.get("problem"):
            problems[row["problem"]] += 1
    if not scores:
        raise UserError(f"no rows of {benchmark} to average")
    present = [kind for kind in known if kind.name in scores]
    per_type = {kind.name: _mean(scores[kind.name]) for kind in present}
    tasks = dict.fromkeys(kind.task for kind in present)
    per_task = {task: _mean([per_type[kind.name] for kind in present if kind.task == task]) for task in tasks}
    result = Aggregate(
        overall=_mean(per_task.values() if benchmark == "vsibench" else per_type.values()),
        micro=_mean([value for values in scores.values() for value in values]),
        per_task=per_task,
        per_type=per_type,
        counts={kind.name: len(scores[kind.name]) for kind in present},
        problems=dict(sorted(problems.items())),
    )
    five = [per_task[task] for task in VSTI_FIVE_TASKS if task in per_task]
    if five:
        result["overall_five_tasks"] = _mean(five)
    return result


def by_benchmark(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each benchmark that occurs, in order.

    Raises:
        UserError: An unknown question type.
    """
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[question_type(row["question_type"]).benchmark].append(row)
    return dict(groups)


def _mean(values: Iterable[float]) -> float:
    collected = list(values)
    return math.fsum(collected) / len(collected)
