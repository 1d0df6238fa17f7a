"""Plots of a run's scores and answers, as PNG."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from vlm3r.evaluation.references import OURS
from vlm3r.evaluation.run.journal import Record
from vlm3r.qa.types import question_type

COLUMNS = 4
DPI = 100
ROUND_NUMBERS = [digit * 10.0**power for power in range(-2, 5) for digit in (1, 2, 5)]
BLUE, LIGHT, GREY, ORANGE, GREEN = "#33658a", "#8fb0c6", "#b8c4cc", "#d1792c", "#4f8a5b"
MARKS: Mapping[str, tuple[str, str, str]] = {
    "chance": ("chance", "black", "|"),
    "most_frequent": ("most frequent", "black", "x"),
    "blind": ("blind", ORANGE, "D"),
    "reference": (f"{OURS}, published", GREEN, "*"),
}
"""Scores that stand beside a bar: label, colour and marker."""
NOTHING = "none"


def scores_plot(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bytes:
    """Bars of the published scores, thin for the types of a task, with intervals; the robust ones and others beside.

    Args:
        rows: of a report, of one benchmark.
        names: what to call them, in their order.
    """
    figure = Figure(figsize=(9, 0.42 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(rows)))
    for parts, width, colour, label in ((False, 0.66, BLUE, "published protocol"), (True, 0.4, LIGHT, None)):
        chosen = [place for place in places if (rows[place]["level"] == "type") == parts]
        scores = [100 * rows[place]["published"]["score"] for place in chosen]
        axes.barh(chosen, scores, width, color=colour, label=label)
    for place, row in zip(places, rows, strict=True):
        if row["published"]["interval"] is not None:
            axes.plot([100 * end for end in row["published"]["interval"]], [place] * 2, color=GREY, lw=3.5, zorder=1.5)
    axes.plot([], [], color=GREY, lw=3.5, label="95 % interval")
    axes.plot([100 * row["robust"]["score"] for row in rows], places, "o", color="white", mec="black", label="robust")
    for field, (label, colour, marker) in MARKS.items():
        shown = [
            (100 * row[field], place) for place, row in zip(places, rows, strict=True) if row.get(field) is not None
        ]
        if shown:
            axes.plot(*zip(*shown, strict=True), marker, color=colour, ms=9, mew=1.8, label=label)
    axes.set_yticks(places, list(names))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return _png(figure)


def letters_plot(records: Sequence[Record]) -> bytes | None:
    """By option type, how often each letter was answered and how often it is right; None without such questions."""
    return _grid(_by_type(records, "option"), _letters, "Share of letters: right (grey) and answered (blue)")


def numbers_plot(records: Sequence[Record]) -> bytes | None:
    """By numeric type, answers against true values; None without such questions."""
    return _grid(_by_type(records, "numeric"), _numbers, "Answers (up) against true values (right)")


def _by_type(records: Sequence[Record], kind: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if question_type(record["question_type"]).kind == kind:
            groups[record["question_type"]].append(record)
    return dict(sorted(groups.items()))


def _grid(
    groups: Mapping[str, Sequence[Record]], draw: Callable[[Axes, Sequence[Record]], None], title: str
) -> bytes | None:
    if not groups:
        return None
    rows = -(-len(groups) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.6 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    cells = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (name, records) in zip(cells, groups.items(), strict=False):
        axes.set_title(f"{name} ({len(records):,})", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, records)
    for axes in cells[len(groups) :]:
        axes.set_visible(False)
    return _png(figure)


def _letters(axes: Axes, records: Sequence[Record]) -> None:
    right = Counter(record["target"] for record in records)
    said = Counter(record["parsed"] or NOTHING for record in records)
    letters = sorted({*right, *said} - {NOTHING}) + [NOTHING] * (NOTHING in said)
    places = np.arange(len(letters))
    for shift, counts, colour in ((-0.2, right, GREY), (0.2, said, BLUE)):
        axes.bar(places + shift, [100 * counts[letter] / len(records) for letter in letters], 0.38, color=colour)
    axes.set_xticks(places, letters)
    axes.set_ylabel("%", fontsize=8)


def _numbers(axes: Axes, records: Sequence[Record]) -> None:
    pairs = [(float(record["target"]), record["parsed"]) for record in records if record["parsed"] is not None]
    shown = np.array([pair for pair in pairs if pair[0] > 0 and pair[1] > 0], dtype=np.float64).reshape(-1, 2)
    axes.set_title(f"{axes.get_title()}, {len(shown):,} shown", fontsize=9)
    if not len(shown):
        return
    low, high = shown[:, 0].min() / 2, shown[:, 0].max() * 2
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    ticks = [tick for tick in ROUND_NUMBERS if low <= tick <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    axes.plot([low, high], [low, high], color="black", lw=1)
    axes.plot(shown[:, 0], shown[:, 1].clip(low, high), ".", color=BLUE, alpha=0.4, ms=5)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
