"""Reports and comparisons as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm3r.evaluation.references import OURS
from vlm3r.evaluation.run.problems import listed

TITLES = {"vsibench": "VSI-Bench", "vstibench": "VSTI-Bench", "": "All questions"}
AVERAGES = {
    ("vsibench", "overall"): "mean of the tasks",
    ("vstibench", "overall"): "mean of the question types",
    ("vstibench", "overall_five_tasks"): "mean of the papers' five tasks",
}
MICRO = "mean of the questions"
SHOWN = 20
"""Problems of one kind that are listed; report.json has all."""
CHANCE = (
    "Scores in per cent; in brackets the 95 % bootstrap interval, drawing scenes. Chance: a random letter; numbers "
    "have none, and count 0 in its means. Most frequent: the answer per question type that does best on the whole file."
)
COLUMNS: Mapping[str, str] = {"blind": "blind", "reference": f"{OURS}, published"}
"""Scores that a report has only sometimes."""


def report_markdown(report: Mapping[str, Any]) -> str:
    """The report as one page."""
    asked, videos = report["questions"], report["videos"]
    lines = [
        f"# {report['benchmark']}",
        "",
        f"{asked['scored']:,} of {asked['in_file']:,} questions, {videos['scored']:,} of {videos['in_file']:,} videos, "
        f"{report['scenes']:,} scenes; probe: {report['probe']}; fingerprint {report['fingerprint']}.",
        CHANCE,
    ]
    sentences = remarks(report)
    lines += ["", *(f"- {sentence}" for sentence in sentences)] if sentences else []
    for benchmark, rows in by_benchmark(report["scores"]):
        head, cells = score_table(rows)
        lines += ["", f"## {TITLES[benchmark]}", "", *_table(head, cells)]
    return "\n".join([*lines, *_problems(report["problems"])]) + "\n"


def remarks(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the scores has to know besides, a sentence or two each."""
    settings = "; ".join(f"{name}: {value}" for name, value in report["settings"].items())
    found = [f"{settings[:1].upper()}{settings[1:]}."] if settings else []
    if report["untrained"]:
        found.append("The weights are untrained: these scores show that everything runs, nothing more.")
    if report["probe"] == "permute-options":
        found.append("Options were put in another order; letters are scored against the order that was shown.")
    blind = report["blind"]
    if blind is not None:
        found.append(
            f"Blind: published scores of {blind['run']} (probe {blind['probe']}, fingerprint {blind['fingerprint']}), "
            f"which has {blind['questions']:,} of these {report['questions']['scored']:,} questions."
        )
    return [*found, *_release_remarks(report)]


def _release_remarks(report: Mapping[str, Any]) -> list[str]:
    """How the file compares with the published benchmark that it is said to be."""
    if report["published"] is None:
        return []
    name, releases = report["published"]["name"], report["published"]["releases"]
    rows = report["questions"]["in_file"] + len(report["problems"]["bad_lines"])
    if rows not in releases:
        sizes = " or ".join(f"{size:,}" for size in releases)
        return [f"The file has {rows:,} questions and {name} has {sizes}: published scores are not comparable."]
    if rows != releases[0]:
        return [
            f"This is the corrected release of {rows:,} questions; published scores are on the first one, of "
            f"{releases[0]:,} with other labels, and not comparable."
        ]
    return []


def comparison_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison of two runs as one page."""
    lines = [
        f"# {comparison['second']} against {comparison['first']}",
        "",
        f"{comparison['questions']:,} questions of {comparison['scenes']:,} scenes in both; only in the first: "
        f"{comparison['only_first']:,}, only in the second: {comparison['only_second']:,}.",
        "Differences in points, second minus first; in brackets the 95 % paired bootstrap interval, drawing scenes. "
        "Better and worse: questions whose published score rose and fell.",
        "",
        *(f"- {line}" for line in comparison["fingerprint_differences"] or ["The fingerprints are the same."]),
    ]
    head = ("", "questions", "first", "second", "published", "robust", "better", "worse")
    for benchmark, rows in by_benchmark(comparison["scores"]):
        lines += ["", f"## {TITLES[benchmark]}", "", *_table(head, map(_difference_row, rows))]
    return "\n".join(lines) + "\n"


def score_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the scores of one benchmark, with the columns that have something to show."""
    extra = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    head = ["", "questions", "published", "robust", "chance", "most frequent", *(COLUMNS[name] for name in extra)]
    return head, [[*_score_row(row), *(_points(row[name]) for name in extra)] for row in rows]


def by_benchmark(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Rows by benchmark; that of all questions only where there are several benchmarks."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["benchmark"], []).append(row)
    if len(groups) == 2:
        groups.pop("", None)
    return list(groups.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def _score_row(row: Mapping[str, Any]) -> list[str]:
    scores = [_points(row[protocol]["score"], row[protocol]["interval"]) for protocol in ("published", "robust")]
    return [_name(row), f"{row['questions']:,}", *scores, _points(row["chance"]), _points(row["most_frequent"])]


def _difference_row(row: Mapping[str, Any]) -> list[str]:
    change = [
        _points(row[protocol]["difference"], row[protocol]["interval"], "+") for protocol in ("published", "robust")
    ]
    both = [_points(row["published"][which]) for which in ("first", "second")]
    return [_name(row), f"{row['questions']:,}", *both, *change, f"{row['better']:,}", f"{row['worse']:,}"]


def _name(row: Mapping[str, Any]) -> str:
    name = row_name(row)
    return f"**{name}**" if row["level"] == "overall" else name if row["level"] == "task" else f"- {name}"


def row_name(row: Mapping[str, Any]) -> str:
    """What a row's average is called."""
    if row["level"] == "overall":
        return AVERAGES.get((row["benchmark"], row["name"]), MICRO)
    return row["name"]


def _points(value: float | None, interval: Sequence[float] | None = None, sign: str = "") -> str:
    """A fraction in per cent, with its interval."""
    if value is None:
        return "-"
    text = f"{100 * value:{sign}.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:{sign}.1f}, {100 * interval[1]:{sign}.1f}]"


def _problems(problems: Mapping[str, Any]) -> list[str]:
    lines = []
    for title, count, entries in listed(problems):
        more = [f"- ... and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
        lines += ["", f"## {title}: {count:,}", "", *(f"- {entry}" for entry in entries[:SHOWN]), *more]
    return lines
