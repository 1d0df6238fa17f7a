"""Scores that `vlm3r publish --scores` takes from an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import SCORES, Model
from vlm3r.errors import UserError
from vlm3r.hub.contents import Contents, PublishOptions, collect


def gathered(run: Path, folder: Path, scores: Path) -> Contents:
    folder.mkdir()
    return collect(run, PublishOptions(repo="someone/rooms", scores=scores), folder)


def report_of(**changes: Any) -> dict[str, Any]:
    """A report as `vlm3r eval` writes it, as far as a card needs it."""
    row = {"benchmark": "vsibench", "questions": 200, "robust": {"score": 0.0, "interval": [0.0, 0.0]}}
    shown = {"score": 0.7315, "interval": [0.6914, 0.77]}
    return {
        "benchmark": "rooms.jsonl",
        "probe": "none",
        "fingerprint": "f64abe13e721",
        "settings": {"preset": "native", "frames": 32},
        "questions": {"scored": 4308},
        "scenes": 200,
        "scores": [
            row | {"level": "task", "name": "object_size_estimation", "published": shown, "chance": None},
            row | {"level": "type", "name": "object_rel_distance_v2", "published": shown, "chance": 0.3333},
            row | {"level": "overall", "name": "overall", "published": shown, "chance": 0.16085},
        ],
    } | changes


def test_scores_of_an_evaluation_replace_those_of_the_run(own: Model, tmp_path: Path) -> None:
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    (evaluation / "report.json").write_text(json.dumps(report_of()))
    contents = gathered(own.run, tmp_path / "gathered", evaluation)
    held = json.loads((contents.folder / "scores.json").read_text())
    assert held["rows"] == [
        {"task": "vsibench: object_size_estimation", "score": 73.2, "low": 69.1, "high": 77.0},
        {"task": "vsibench: mean of the tasks", "score": 73.2, "low": 69.1, "high": 77.0, "chance": 16.1},
    ]
    assert "4,308 questions about 200 scenes" in contents.card and "f64abe13e721" in contents.card
    assert json.loads((own.run / "scores.json").read_text()) == SCORES


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (None, "is not there; give a folder of a finished"),
        (report_of(probe="zero"), "is of the probe 'zero'"),
        (report_of(scores=[{"level": "task"}]), "is no report"),
        ([], "holds list, not a JSON object"),
    ],
)
def test_scores_that_are_no_evaluation_s_are_refused(own: Model, tmp_path: Path, report: Any, said: str) -> None:
    if report is not None:
        (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=f"report.json: ({said})"):
        gathered(own.run, tmp_path / "gathered", tmp_path)
