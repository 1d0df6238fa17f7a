"""Scores for the model card, out of a run of `vlm3r eval`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm3r.checkpoints.files import read_json
from vlm3r.errors import UserError
from vlm3r.evaluation.run.report import REPORT_JSON

LEVELS = ("task", "overall")
"""Rows of a report that go into a card: tasks and means, not the types that a task is the mean of."""
MEANS = {
    "overall": "mean of the tasks",
    "overall_five_tasks": "mean of the papers' five tasks",
    "micro": "mean of the questions",
}
NO_PROBE = "none"


def read_scores(folder: Path) -> dict[str, Any]:
    """What `scores.json` says of an evaluation: tasks and means in per cent, under the published protocol.

    Args:
        folder: of a finished `vlm3r eval`.

    Raises:
        UserError: the folder holds no report, or one of a probe.
    """
    path = folder / REPORT_JSON
    if not path.is_file():
        raise UserError(f"{path}: is not there; give a folder of a finished `vlm3r eval` as --scores")
    report = read_json(path)
    try:
        if report["probe"] != NO_PROBE:
            raise UserError(f"{path}: is of the probe {report['probe']!r}; give a run without --probe as --scores")
        rows = [_row(row) for row in report["scores"] if row["level"] in LEVELS]
        return {"benchmark": report["benchmark"], "protocol": _protocol(report), "rows": rows}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is no report of `vlm3r eval` ({error!r}); run it again") from error


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    name = MEANS.get(row["name"], row["name"])
    low, high = row["published"]["interval"]
    values = {"score": row["published"]["score"], "low": low, "high": high, "chance": row["chance"]}
    task = f"{row['benchmark']}: {name}" if row["benchmark"] else name
    return {"task": task} | {key: round(100 * value, 1) for key, value in values.items() if value is not None}


def _protocol(report: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    return (
        f"{report['questions']['scored']:,} questions about {report['scenes']:,} scenes, per cent, published scoring, "
        f"greedy; {settings}; fingerprint {report['fingerprint']}"
    )
