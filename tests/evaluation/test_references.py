"""Published results are complete, have sources, and agree with themselves."""

from __future__ import annotations

import pytest

from vlm3r.evaluation.references import OURS, reference_tables
from vlm3r.evaluation.run.published import BENCHMARKS
from vlm3r.qa.types import VSTI_FIVE_TASKS, types_of

STATED_OTHERWISE = {"Chance, most frequent", "Spatial-MLLM-4B", f"vstibench {OURS}"}
"""Rows whose stated mean is not that of their task scores; the tables' notes say so."""
ROWS = [(name, row) for name, table in reference_tables().items() for row in table.rows]


@pytest.mark.parametrize(("benchmark", "row"), ROWS, ids=[f"{name} {row.system}" for name, row in ROWS])
def test_a_stated_mean_is_that_of_the_task_scores(benchmark, row):
    assert row.source
    every = VSTI_FIVE_TASKS if benchmark == "vstibench" else tuple(dict.fromkeys(k.task for k in types_of("vsibench")))
    assert set(row.tasks) <= set(every)
    assert all(0 <= score <= 1 for score in row.tasks.values())
    if len(row.tasks) == len(every) and not {row.system, f"{benchmark} {row.system}"} & STATED_OTHERWISE:
        assert row.mean == pytest.approx(sum(row.tasks.values()) / len(every), abs=0.001)


def test_tables_belong_to_benchmarks_and_hold_the_published_model():
    assert set(reference_tables()) <= set(BENCHMARKS)
    for name in ("vsibench", "vstibench"):
        assert [row.system for row in reference_tables()[name].rows].count(OURS) == 1
        assert len({row.system for row in reference_tables()[name].rows}) == len(reference_tables()[name].rows)
