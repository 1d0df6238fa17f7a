"""What went wrong in a run, counted and named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vlm3r.evaluation.run.benchmark import Benchmark, Question
from vlm3r.evaluation.run.journal import Record
from vlm3r.qa.types import question_type

SHOWN_LINES = 12


def find_problems(
    benchmark: Benchmark, failures: Mapping[str, str], records: Sequence[Record], protocols: Sequence[str]
) -> Record:
    """The problems of a run as JSON-serialisable values.

    Args:
        benchmark: what was asked.
        failures: by video that could not be asked about, why.
        records: the answers.
        protocols: those under which answers were scored.
    """
    unasked = {group.video: len(group.questions) for group in benchmark.videos if group.video in failures}
    empty = [record["line"] for record in records if not record["answer"]]
    zero = [question.line for group in benchmark.videos for question in group.questions if _is_zero(question)]
    return {
        "bad_lines": [{"line": bad.line, "reason": bad.reason} for bad in benchmark.bad_lines],
        "videos": [
            {"video": video, "questions": unasked[video], "reason": reason} for video, reason in failures.items()
        ],
        "empty_answers": len(empty),
        "empty_lines": sorted(empty),
        "zero_targets": sorted(zero),
        "answers": {protocol: _reasons(records, protocol) for protocol in protocols},
    }


def listed(problems: Mapping[str, Any]) -> list[tuple[str, int, list[str]]]:
    """The problems as headings, each with its count and its entries, one line each; without those that have none."""
    bad = problems["bad_lines"]
    empty, zero = problems.get("empty_lines", []), problems.get("zero_targets", [])
    videos = [f"{entry['video']} ({entry['questions']} questions): {entry['reason']}" for entry in problems["videos"]]
    groups = [
        ("Videos that could not be asked about", len(videos), videos),
        ("Lines that hold no question", len(bad), _by_reason(bad)),
        ("Answers without text", problems["empty_answers"], [_lines(empty)] if empty else []),
        (
            "Right answers of 0, for which the published protocol has no score",
            len(zero),
            [_lines(zero)] if zero else [],
        ),
        *(
            (f"Answers that score 0 for a reason, {protocol} protocol", sum(counts.values()), _counted(counts))
            for protocol, counts in problems["answers"].items()
        ),
    ]
    return [(title, count, [" ".join(entry.split()) for entry in entries]) for title, count, entries in groups if count]


def _is_zero(question: Question) -> bool:
    return question_type(question.row["question_type"]).kind == "numeric" and float(question.target) == 0


def _reasons(records: Iterable[Record], protocol: str) -> dict[str, int]:
    """How often each reason for a score of 0 occurs, the most frequent first."""
    reasons = (record.get(f"{protocol}_problem") for record in records)
    return dict(Counter(reason for reason in reasons if reason).most_common())


def _by_reason(bad: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines that are bad for the same reason together, the most frequent reason first."""
    lines: dict[str, list[int]] = defaultdict(list)
    for entry in bad:
        lines[entry["reason"]].append(entry["line"])
    ordered = sorted(lines.items(), key=lambda item: -len(item[1]))
    return [f"{_lines(numbers)}: {reason}" for reason, numbers in ordered]


def _counted(counts: Mapping[str, int]) -> list[str]:
    return [f"{number}: {reason}" for reason, number in counts.items()]


def _lines(numbers: Sequence[int]) -> str:
    """Line numbers, the first of them where there are many."""
    shown = ", ".join(str(number) for number in numbers[:SHOWN_LINES])
    if len(numbers) > SHOWN_LINES:
        return f"lines {shown} and {len(numbers) - SHOWN_LINES} more"
    return f"{'line' if len(numbers) == 1 else 'lines'} {shown}"
