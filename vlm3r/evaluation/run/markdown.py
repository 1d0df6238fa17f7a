"""Reports and comparisons as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    if report["untrained"]:
        lines += ["", "The weights are untrained: these scores show that everything runs, nothing more."]
    for benchmark, rows in _by_benchmark(report["scores"]):
        lines += ["", f"## {TITLES[benchmark]}", ""]
        lines += _table(("", "questions", "published", "robust", "chance", "most frequent"), map(_score_row, rows))
    return "\n".join([*lines, *_problems(report["problems"])]) + "\n"


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
    for benchmark, rows in _by_benchmark(comparison["scores"]):
        lines += ["", f"## {TITLES[benchmark]}", "", *_table(head, map(_difference_row, rows))]
    return "\n".join(lines) + "\n"


def _by_benchmark(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
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
    if row["level"] == "overall":
        return f"**{AVERAGES.get((row['benchmark'], row['name']), MICRO)}**"
    return row["name"] if row["level"] == "task" else f"- {row['name']}"


def _points(value: float | None, interval: Sequence[float] | None = None, sign: str = "") -> str:
    """A fraction in per cent, with its interval."""
    if value is None:
        return "-"
    text = f"{100 * value:{sign}.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:{sign}.1f}, {100 * interval[1]:{sign}.1f}]"


def _problems(problems: Mapping[str, Any]) -> list[str]:
    groups = {
        "Videos that could not be asked about": [
            f"{entry['video']} ({entry['questions']} questions): {entry['reason']}" for entry in problems["videos"]
        ],
        "Lines that hold no question": [f"line {entry['line']}: {entry['reason']}" for entry in problems["bad_lines"]],
        "Answers without text": [f"{problems['empty_answers']} questions"] if problems["empty_answers"] else [],
        **{
            f"Answers that score 0 for a reason, {protocol} protocol": [f"{n}: {why}" for why, n in counts.items()]
            for protocol, counts in problems["answers"].items()
        },
    }
    lines = []
    for title, entries in groups.items():
        if entries:
            more = [f"- ... and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else []
            lines += ["", f"## {title}: {len(entries)}", "", *(f"- {entry}" for entry in entries[:SHOWN]), *more]
    return lines
