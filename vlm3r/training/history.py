"""The metric history of a run: one JSON line per log entry, and the picture of the losses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm3r.files import replacing, write_text

HISTORY = "history.jsonl"
PICTURE = "loss.png"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON Lines file; a last line that a killed run left unfinished is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record in one write, so that a reader sees whole lines."""
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def cut_back(path: Path, step: int) -> None:
    """Drop records after `step`, which a run that continues there writes again."""
    if path.exists():
        kept = [record for record in read_lines(path) if record.get("step", 0) <= step]
        write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept))


def plot_losses(run: Path) -> None:
    """Draw `loss.png` from `history.jsonl`: the loss over all questions, and each task's."""
    records = [record for record in read_lines(run / HISTORY) if record.get("loss") is not None]
    if not records:
        return
    from matplotlib.figure import Figure

    tasks = sorted({task for record in records for task in record["tasks"]})
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    whole, single = figure.subplots(1, 2)
    whole.plot([r["step"] for r in records], [r["loss"] for r in records], color="black")
    whole.set(title="all questions", xlabel="step", ylabel="mean loss")
    for task in tasks:
        own = [(r["step"], r["tasks"][task]) for r in records if task in r["tasks"]]
        single.plot(*zip(*own, strict=True), label=task, linewidth=1)
    single.set(title="by task", xlabel="step")
    if tasks:
        single.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))
    for axes in (whole, single):
        axes.grid(alpha=0.3)
    with replacing(run / PICTURE) as building:
        figure.savefig(building, format="png", dpi=120)
