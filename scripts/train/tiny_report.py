"""Write the tables and pictures of docs/tiny.md from the runs that scripts/train/tiny.sh leaves behind.

    python scripts/train/tiny_report.py [RUNS] [DOCUMENT]

RUNS is outputs/tiny unless told otherwise. The text between `<!-- NAME -->` and `<!-- end NAME -->` in the document is
replaced; everything else in it is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vlm3r.errors import UserError
from vlm3r.evaluation.run.compare import compare_runs
from vlm3r.files import replacing, write_text
from vlm3r.training.history import read_lines

MODELS = {"vlm3r": "VLM-3R", "no_geometry": "no geometry", "blind": "blind"}
"""Folders of trained models' scores, and what they are called."""
PROBES = {"zero": "geometry zeroed", "shuffle": "geometry shuffled"}
"""Folders of scores with something taken away at test time."""
COLOURS = {"vlm3r": "#33658a", "no_geometry": "#d1792c", "blind": "#b8c4cc"}
STAGES = {
    "text alone": ("base_text",),
    "single pictures": ("base_pictures", "vlm3r_pictures", "no_geometry_pictures", "published_start"),
    "walks of 32 frames": ("base", "vlm3r", "no_geometry", "blind"),
}
"""Training runs by what they learn from."""
PROTOCOL = "published"
BENCHMARKS = {"vsibench": "VSI-Bench tasks", "vstibench": "VSTI-Bench tasks"}
ERRORS = {
    "depth_abs_rel": "depth, absolute relative error",
    "depth_within_25": "depth within 25 %, share",
    "own_view_m": "point in its own camera, metres",
    "world_m": "point in the first camera's frame, metres",
    "translation_m": "camera position, metres",
    "rotation_degrees": "camera rotation, degrees",
    "step_translation_m": "camera position from frame to frame, metres",
    "step_rotation_degrees": "camera rotation from frame to frame, degrees",
}

Name = tuple[str, str, str]


@dataclass(frozen=True)
class Runs:
    """What the runs' folders hold."""

    folder: Path

    def report(self, name: str) -> dict[str, Any]:
        """The report of one evaluation."""
        return json.loads((self.folder / "scores" / name / "report.json").read_text(encoding="utf-8"))

    def scores(self, name: str) -> dict[Name, dict[str, Any]]:
        """The rows of one evaluation's report by benchmark, level and name."""
        return {(row["benchmark"], row["level"], row["name"]): row for row in self.report(name)["scores"]}

    @property
    def probes(self) -> dict[str, str]:
        """The probes that were run to their end."""
        return {
            name: title for name, title in PROBES.items() if (self.folder / "scores" / name / "report.json").is_file()
        }

    def gain(self, over: str) -> dict[Name, dict[str, Any]]:
        """VLM-3R's score minus another's, question by question the same, with the interval of the difference."""
        compared = compare_runs(self.folder / "scores" / over, self.folder / "scores" / "vlm3r")
        return {(row["benchmark"], row["level"], row["name"]): row[PROTOCOL] for row in compared["scores"]}


def main(folder: Path, document: Path) -> None:
    """Rewrite the document's blocks and its pictures."""
    runs = Runs(folder)
    pictures = document.parent / "images"
    blocks = {
        "scores": _table(_score_rows(runs)),
        "gains": _table(_gain_rows(runs)),
        "geometry": _table(_geometry_rows(folder / "scores" / "geometry.json")),
        "losses": _table(_loss_rows(folder)),
    }
    text = document.read_text(encoding="utf-8")
    for name, block in blocks.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
        text, found = re.subn(pattern, lambda m, block=block: f"{m[1]}\n{block}\n{m[2]}", text, flags=re.DOTALL)
        if found != 1:
            raise UserError(f"{document}: has no single block {name!r}; put `<!-- {name} -->` and its end into it")
    _save(_score_figure(runs), pictures / "tiny_scores.png")
    _save(_gain_figure(runs), pictures / "tiny_gains.png")
    _save(_loss_figure(folder), pictures / "tiny_losses.png")
    write_text(document, text)


def _names(rows: Mapping[Name, Any], benchmark: str) -> list[Name]:
    """Tasks of a benchmark, and its overall score last."""
    tasks = [name for name in rows if name[0] == benchmark and name[1] == "task"]
    return [*tasks, (benchmark, "overall", "overall")]


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def _title(name: Name) -> str:
    return f"**{BENCHMARKS[name[0]]}, mean**" if name[1] == "overall" else name[2].replace("_", " ")


def _score_rows(runs: Runs) -> Iterator[list[str]]:
    columns = {name: runs.scores(name) for name in (*MODELS, *runs.probes)}
    yield ["task", "questions", "chance", "most frequent", *MODELS.values(), *runs.probes.values()]
    for benchmark in BENCHMARKS:
        for name in _names(columns["vlm3r"], benchmark):
            row = columns["vlm3r"][name]
            cells = [_title(name), f"{row['questions']:,}", _points(row["chance"]), _points(row["most_frequent"])]
            for each, rows in columns.items():
                score = rows[name][PROTOCOL]
                cells.append(_points(score["score"]) + (_interval(score["interval"]) if each in MODELS else ""))
            yield cells


def _gain_rows(runs: Runs) -> Iterator[list[str]]:
    others = {"blind": "blind", "no_geometry": "no geometry", **runs.probes}
    gains = {name: runs.gain(name) for name in others}
    yield ["VLM-3R minus", *others.values()]
    for benchmark in BENCHMARKS:
        for name in _names(gains["blind"], benchmark):
            cells = (gains[each][name] for each in others)
            yield [_title(name), *(f"{100 * c['difference']:+.1f}{_interval(c['interval'])}" for c in cells)]


def _geometry_rows(file: Path) -> Iterator[list[str]]:
    found = json.loads(file.read_text(encoding="utf-8"))
    yield [f"on {found['sequences']} unseen walks", "CUT3R-tiny", "constant", "difference"]
    for name, title in ERRORS.items():
        if name in found["model"]:
            columns = (found[part][name] for part in ("model", "constant", "difference"))
            yield [title, *(f"{c['mean']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in columns)]


def _histories(folder: Path, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    found = {name: read_lines(folder / name / "history.jsonl") for name in names}
    return {name: [line for line in lines if "loss" in line] for name, lines in found.items() if lines}


def _loss_rows(folder: Path) -> Iterator[list[str]]:
    yield ["run", "learns from", "steps", "loss of the last fifth"]
    for kind, names in STAGES.items():
        for name, lines in _histories(folder, names).items():
            tail = [line["loss"] for line in lines[-max(1, len(lines) // 5) :]]
            yield [name.replace("_", " "), kind, f"{lines[-1]['step']:,}", f"{np.mean(tail):.3f}"]


def _score_figure(runs: Runs) -> Figure:
    columns = {name: runs.scores(name) for name in MODELS}
    figure = Figure(figsize=(11, 9), layout="constrained")
    for axes, benchmark in zip(figure.subplots(2, 1), BENCHMARKS, strict=True):
        names = _names(columns["vlm3r"], benchmark)
        for shift, (model, rows) in enumerate(columns.items()):
            scores = np.array([100 * rows[name][PROTOCOL]["score"] for name in names])
            bounds = 100 * np.array([rows[name][PROTOCOL]["interval"] for name in names]).T
            places = np.arange(len(names)) + (shift - 1) * 0.27
            spread = np.abs(bounds - scores)
            axes.bar(places, scores, 0.25, color=COLOURS[model], label=MODELS[model], yerr=spread, ecolor="#333333")
        for place, name in enumerate(names):
            chance = columns["vlm3r"][name]["chance"]
            if chance is not None:
                axes.plot([place - 0.4, place + 0.4], [100 * chance] * 2, color="#333333", linestyle=":")
        labels = ["mean" if name[1] == "overall" else name[2].replace("_", "\n") for name in names]
        axes.set_xticks(range(len(names)), labels, fontsize=8)
        axes.set_ylabel("score")
        axes.set_title(f"{BENCHMARKS[benchmark]}: score and 95 % interval; dotted: chance", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=3)
    return figure


def _gain_figure(runs: Runs) -> Figure:
    others = {
        "blind": "the blind model",
        "no_geometry": "the model without geometry",
        "zero": "itself, geometry zeroed",
    }
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axes, (other, title) in zip(figure.subplots(1, 3, sharey=True), others.items(), strict=True):
        gains = runs.gain(other)
        names = [name for benchmark in BENCHMARKS for name in _names(gains, benchmark)]
        for place, name in enumerate(names):
            colour = COLOURS["no_geometry" if name[1] == "overall" else "vlm3r"]
            bounds = [100 * bound for bound in gains[name]["interval"]]
            axes.plot(bounds, [place, place], color=colour, linewidth=3)
            axes.plot([100 * gains[name]["difference"]], [place], "o", color=colour)
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_yticks(range(len(names)), [_title(name).strip("*") for name in names])
        axes.invert_yaxis()
        axes.set_title(f"VLM-3R minus {title}, points", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _loss_figure(folder: Path) -> Figure:
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, (kind, names) in zip(figure.subplots(1, len(STAGES)), STAGES.items(), strict=True):
        for name, lines in _histories(folder, names).items():
            steps = [line["step"] for line in lines]
            axes.plot(steps, [line["loss"] for line in lines], label=name.replace("_", " "), linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.set_title(kind, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.supylabel("loss of answer tokens, mean over questions", fontsize=9)
    return figure


def _table(rows: Iterator[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(path) as building:
        figure.savefig(building, dpi=100, format="png")


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1]) if len(sys.argv) > 1 else Path("outputs/tiny"),
            Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parents[2] / "docs" / "tiny.md",
        )
    except (UserError, OSError) as error:
        sys.exit(f"tiny_report: error: {error}")
