"""What a run scored: by question type, task and benchmark, under both protocols, with intervals and baselines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm3r.evaluation.aggregate import Aggregate, aggregate, by_benchmark
from vlm3r.evaluation.baselines import fit, random_choice, score_prior
from vlm3r.evaluation.run.benchmark import Benchmark
from vlm3r.evaluation.run.bootstrap import RESAMPLES, Name, belongs, intervals, tabulate
from vlm3r.evaluation.run.fingerprints import short_hash
from vlm3r.evaluation.run.journal import PROTOCOLS, Record
from vlm3r.evaluation.run.markdown import report_markdown
from vlm3r.evaluation.run.runner import RunState
from vlm3r.files import write_text
from vlm3r.qa.types import QUESTION_TYPES, question_type

REPORT_JSON, REPORT_MARKDOWN = "report.json", "report.md"
NUMERIC = frozenset(name for kind in QUESTION_TYPES if kind.kind == "numeric" for name in (kind.name, kind.task))


def make_report(
    benchmark: Benchmark, state: RunState, fingerprint: Mapping[str, Any], seed: int = 0, resamples: int = RESAMPLES
) -> Record:
    """The report of a run as JSON-serialisable values; scores are fractions of 1.

    Raises:
        UserError: no question was answered.
    """
    records = [record for answers in state.answers.values() for record in answers]
    lines = {record["line"] for record in records}
    questions = {question.line: question for group in benchmark.videos for question in group.questions}
    every = [question.row for question in questions.values()]
    asked = [questions[record["line"]].row for record in records]
    columns = {protocol: _scores(records, protocol) for protocol in PROTOCOLS}
    chance = averages_of([*random_choice(asked), *_numbers_at_zero(asked)]) if asked else {}
    frequent = averages_of(score_prior(fit(every, "frequent"), asked))
    bounds = {protocol: intervals(tabulate(records, protocol), seed, resamples) for protocol in PROTOCOLS}
    rows = [
        {
            "benchmark": name[0],
            "level": name[1],
            "name": name[2],
            "questions": sum(belongs(record, name) for record in records),
            **{each: {"score": columns[each][name], "interval": bounds[each][name]} for each in PROTOCOLS},
            "chance": None if name[1] != "overall" and name[2] in NUMERIC else chance[name],
            "most_frequent": frequent[name],
        }
        for name in columns["published"]
    ]
    unasked = {group.video: len(group.questions) for group in benchmark.videos if group.video in state.failures}
    return {
        "benchmark": benchmark.file.name,
        "probe": fingerprint.get("probe"),
        "untrained": fingerprint.get("untrained"),
        "fingerprint": short_hash(fingerprint),
        "questions": {"in_file": len(questions), "chosen": state.total, "scored": len(lines)},
        "videos": {"in_file": len(benchmark.videos), "scored": len(state.answers)},
        "scenes": len({record["scene"] for record in records}),
        "bootstrap": {"resamples": resamples, "clustered_by": "scene", "seed": seed},
        "scores": rows,
        "problems": {
            "bad_lines": [{"line": bad.line, "reason": bad.reason} for bad in benchmark.bad_lines],
            "videos": [
                {"video": video, "questions": unasked[video], "reason": reason}
                for video, reason in state.failures.items()
            ],
            "empty_answers": sum(not record["answer"] for record in records),
            "answers": {protocol: _answer_problems(records, protocol) for protocol in PROTOCOLS},
        },
    }


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write `report.json` and `report.md`."""
    write_text(folder / REPORT_JSON, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / REPORT_MARKDOWN, report_markdown(report))


def averages_of(scored: Sequence[Mapping[str, Any]]) -> dict[Name, float]:
    """Every average that `aggregate` forms of scored rows, under the names that the bootstrap uses."""
    found: dict[Name, float] = {}
    for benchmark, rows in sorted(by_benchmark(scored).items()):
        result: Aggregate = aggregate(rows, benchmark)
        for task, value in result.get("per_task", {}).items():
            found[benchmark, "task", task] = value
            kinds = [kind for kind in result.get("per_type", {}) if question_type(kind).task == task]
            if kinds != [task]:
                found |= {(benchmark, "type", kind): result.get("per_type", {})[kind] for kind in kinds}
        whole = {name: result.get(name) for name in ("overall", "overall_five_tasks", "micro")}
        found |= {(benchmark, "overall", name): value for name, value in whole.items() if value is not None}
    found["", "overall", "micro"] = sum(row["score"] for row in scored) / len(scored)
    return found


def _answer_problems(records: Sequence[Record], protocol: str) -> dict[str, int]:
    """How often each reason for a score of 0 occurs, the most frequent first."""
    reasons = (record.get(f"{protocol}_problem") for record in records)
    return dict(Counter(reason for reason in reasons if reason).most_common())


def _scores(records: Sequence[Record], protocol: str) -> dict[Name, float]:
    return averages_of([{"question_type": r["question_type"], "score": r[protocol]} for r in records])


def _numbers_at_zero(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Numeric questions under chance: a guess says nothing."""
    numeric = [row for row in rows if question_type(row["question_type"]).kind == "numeric"]
    return [{"question_type": row["question_type"], "score": 0.0} for row in numeric]
