"""The examples of docs/metrics.md are true, and docs/evaluation.md leaves no choice out."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from vlm3r.evaluation.lmms import TASKS
from vlm3r.evaluation.metrics import score
from vlm3r.evaluation.run.presets import PRESETS
from vlm3r.evaluation.run.probes import PROBES
from vlm3r.evaluation.run.published import BENCHMARKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| ([01]) \| ([01]) \|", re.M)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_the_examples_run():
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert result.attempted >= 10 and result.failed == 0


@pytest.mark.parametrize(("answer", "target", "published", "robust"), ROWS)
def test_each_row_of_the_table_scores_as_it_says(answer: str, target: str, published: str, robust: str):
    kind = "object_rel_distance" if target.isalpha() else "object_abs_distance"
    options = ["A. table", "B. chair", "C. lamp"]
    assert score(answer, target, kind, "published", options) == int(published)
    assert score(answer, target, kind, "robust", options) == int(robust)


def test_every_benchmark_preset_and_probe_is_described():
    text = PAGE.with_name("evaluation.md").read_text(encoding="utf-8")
    for name in (*BENCHMARKS, *PRESETS, *PROBES):
        assert f"`{name}`" in text or name == "none"


def test_every_published_benchmark_has_a_task_file_for_lmms_eval():
    named = {
        line.split()[1]
        for file in TASKS.glob("*.yaml")
        for line in file.read_text().splitlines()
        if "benchmark:" in line
    }
    assert named == set(BENCHMARKS)


def test_the_table_is_found():
    assert len(ROWS) == 23
