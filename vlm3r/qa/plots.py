"""Plots of what a file of questions holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from vlm3r.qa.balance import PERMUTATIONS
from vlm3r.qa.stats import Statistics, TypeStatistics
from vlm3r.qa.types import question_type

MOST_WORDS = 12
MOST_CATEGORIES = 40
COLUMNS = 4
ROUND_NUMBERS = [digit * 10.0**power for power in range(-2, 4) for digit in (1, 2, 5)]
BLUE, GREY, ORANGE = "#33658a", "#b8c4cc", "#d1792c"


def draw_all(found: Statistics, folder: Path) -> list[Path]:
    """Write every plot that has something to show, and return the paths."""
    options = {name: entry for name, entry in found.types.items() if entry.letters}
    words = {name: entry for name, entry in options.items() if name not in PERMUTATIONS}
    numbers = {name: entry for name, entry in found.types.items() if entry.numbers}
    figures = {
        "types.png": _types(found),
        "letters.png": _grid(options, _letters, "Share of right answers by letter; dashed: equal shares"),
        "words.png": _grid(words, _words, "How often an option is right where it is offered; dashed: chance"),
        "numbers.png": _grid(numbers, _numbers, "Distribution of numeric answers"),
        "categories.png": _categories(found),
        "blind.png": _blind(found),
    }
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            FigureCanvasAgg(figure)
            paths.append(folder / name)
            figure.savefig(paths[-1], dpi=110)
    return paths


def _bars(figure: Figure, names: list[str], title: str) -> Axes:
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _types(found: Statistics) -> Figure:
    figure = Figure(figsize=(9, 0.3 * len(found.types) + 1.2), layout="constrained")
    axes = _bars(figure, list(found.types), "Questions by type")
    axes.barh(range(len(found.types)), [entry.count for entry in found.types.values()], color=BLUE)
    return figure


def _blind(found: Statistics) -> Figure:
    figure = Figure(figsize=(9, 0.36 * len(found.types) + 1.5), layout="constrained")
    axes = _bars(figure, list(found.types), "Score without looking, %")
    places = np.arange(len(found.types))
    entries = list(found.types.values())
    axes.barh(places - 0.2, [100 * entry.frequent for entry in entries], 0.38, color=BLUE, label="best constant")
    axes.barh(places + 0.2, [100 * entry.blind for entry in entries], 0.38, color=ORANGE, label="blind prior")
    for place, entry in zip(places, entries, strict=True):
        if entry.random is not None:
            axes.plot([100 * entry.random] * 2, [place - 0.45, place + 0.45], color="black", lw=1.5)
    axes.plot([], [], color="black", lw=1.5, label="chance")
    axes.set_xlim(0, 100)
    axes.legend(loc="lower right", frameon=False)
    return figure


def _categories(found: Statistics) -> Figure | None:
    shown = found.categories.most_common(MOST_CATEGORIES)
    if not shown:
        return None
    figure = Figure(figsize=(9, 0.24 * len(shown) + 1.2), layout="constrained")
    axes = _bars(figure, [name for name, _ in shown], "Questions by object category (most frequent ones)")
    axes.barh(range(len(shown)), [number for _, number in shown], color=BLUE)
    return figure


def _grid(
    types: Mapping[str, TypeStatistics], draw: Callable[[Axes, str, TypeStatistics], None], title: str
) -> Figure | None:
    if not types:
        return None
    rows = -(-len(types) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.9 * rows + 0.5), layout="constrained")
    figure.suptitle(title)
    cells = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, (name, entry) in zip(cells, types.items(), strict=False):
        axes.set_title(f"{name} ({entry.count:,})", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, name, entry)
    for axes in cells[len(types) :]:
        axes.set_visible(False)
    return figure


def _letters(axes: Axes, name: str, entry: TypeStatistics) -> None:
    letters = sorted(entry.letters)
    axes.bar(letters, [100 * entry.letters[letter] / entry.count for letter in letters], color=BLUE)
    axes.axhline(100 * (entry.random or 0), color="black", ls="--", lw=1)
    axes.set_ylabel("%", fontsize=8)


def _words(axes: Axes, name: str, entry: TypeStatistics) -> None:
    shown = [word for word, _ in sorted(entry.offered.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]]
    rates = [100 * entry.words[word] / entry.offered[word] for word in shown]
    axes.barh([word if len(word) < 28 else f"{word[:25]}..." for word in shown], rates, color=BLUE)
    axes.invert_yaxis()
    axes.axvline(100 * (entry.random or 0), color="black", ls="--", lw=1)
    axes.set_xlabel("% right", fontsize=8)


def _numbers(axes: Axes, name: str, entry: TypeStatistics) -> None:
    values = np.array(entry.numbers)
    positive = values[values > 0]
    whole = question_type(name).unit == ""
    if whole:
        edges = np.arange(values.min() - 0.5, values.max() + 1)
    else:
        edges = np.geomspace(positive.min() * 0.95, positive.max() * 1.05, 25) if len(positive) else np.array([0, 1])
        axes.set_xscale("log")
        ticks = [tick for tick in ROUND_NUMBERS if edges[0] <= tick <= edges[-1]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.hist(values, edges.tolist(), color=BLUE)
    axes.set_xlabel(question_type(name).unit or "count", fontsize=8)
