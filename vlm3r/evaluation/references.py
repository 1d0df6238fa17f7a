"""Published results, as data with their sources: what other systems score on the published benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

FILE = "references.yaml"
OURS = "VLM-3R-7B"
"""The published system that this package implements."""


@dataclass(frozen=True)
class Reference:
    """One system's published scores, as fractions of 1."""

    system: str
    """Its name."""
    source: str
    """arXiv id, or where else the numbers come from."""
    mean: float | None
    """Its mean as the source states it."""
    tasks: dict[str, float]
    """By task, those that the source states."""
    checked: bool = True
    """False where the numbers come from a secondary source and could not be compared with the paper's table."""


@dataclass(frozen=True)
class ReferenceTable:
    """The published results of one benchmark."""

    mean: str
    """What the means are of."""
    notes: tuple[str, ...]
    """What has to be known to read the rows, one sentence or two each."""
    rows: tuple[Reference, ...]
    """In the order in which they are shown."""


@cache
def reference_tables() -> dict[str, ReferenceTable]:
    """The published results by benchmark: `vsibench`, `vsibench-debiased`, `vstibench`."""
    found = yaml.safe_load((files("vlm3r.evaluation") / FILE).read_text(encoding="utf-8"))
    return {name: _table(table) for name, table in found.items()}


def _table(table: dict[str, Any]) -> ReferenceTable:
    rows = tuple(_row(row, table["columns"]) for row in table["rows"])
    return ReferenceTable(table["mean"], tuple(table["notes"]), rows)


def _row(row: dict[str, Any], columns: list[str]) -> Reference:
    scores: dict[str, float | None] = dict(zip(columns, row["tasks"] or [None] * len(columns), strict=True))
    tasks: dict[str, float] = {task: score / 100 for task, score in scores.items() if score is not None}
    mean = None if row["mean"] is None else row["mean"] / 100
    return Reference(row["system"], row["source"], mean, tasks, row.get("checked", True))
