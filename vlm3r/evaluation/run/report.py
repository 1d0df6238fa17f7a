"""What a run scored: by question type, task and benchmark, under both protocols, with intervals and baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.aggregate import Aggregate, aggregate, by_benchmark
from vlm3r.evaluation.baselines import fit, random_choice, score_prior
from vlm3r.evaluation.metrics import PROTOCOLS
from vlm3r.evaluation.references import OURS, reference_tables
from vlm3r.evaluation.run.benchmark import Benchmark
from vlm3r.evaluation.run.bootstrap import RESAMPLES, Name, belongs, intervals, tabulate
from vlm3r.evaluation.run.control import BlindRun
from vlm3r.evaluation.run.fingerprints import short_hash
from vlm3r.evaluation.run.journal import Record
from vlm3r.evaluation.run.markdown import report_markdown
from vlm3r.evaluation.run.page import report_page
from vlm3r.evaluation.run.problems import find_problems
from vlm3r.evaluation.run.published import BENCHMARKS
from vlm3r.evaluation.run.runner import RunState, as_asked
from vlm3r.files import write_text
from vlm3r.qa.types import QUESTION_TYPES, question_type

REPORT_JSON, REPORT_MARKDOWN, REPORT_PAGE = "report.json", "report.md", "report.html"
NUMERIC = frozenset(name for kind in QUESTION_TYPES if kind.kind == "numeric" for name in (kind.name, kind.task))
MEAN_OF: Mapping[str, str] = {"vsibench": "overall", "vstibench": "overall_five_tasks"}
"""Which of our means the published one of a benchmark is."""


def make_report(
    benchmark: Benchmark,
    state: RunState,
    fingerprint: Mapping[str, Any],
    seed: int = 0,
    resamples: int = RESAMPLES,
    blind: BlindRun | None = None,
) -> Record:
    """The report of a run as JSON-serialisable values; scores are fractions of 1.

    Args:
        benchmark: as read; the probe's changes to its questions are made here again.
        state: the answers.
        fingerprint: what they depend on.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        blind: a run without the videos, whose scores stand beside.

    Raises:
        UserError: no question was answered.
    """
    benchmark = as_asked(benchmark, fingerprint.get("probe"), fingerprint.get("seed", 0))
    records = [record for answers in state.answers.values() for record in answers]
    if not records:
        raise UserError("no question was answered, so that there is nothing to report")
    questions = {question.line: question for group in benchmark.videos for question in group.questions}
    every = [question.row for question in questions.values()]
    asked = [questions[record["line"]].row for record in records]
    unseen = [] if blind is None else blind.matching(records)
    chance = averages_of([*random_choice(asked), *_numbers_at_zero(asked)])
    beside = {
        "chance": {name: value for name, value in chance.items() if name[1] == "overall" or name[2] not in NUMERIC},
        "most_frequent": averages_of(score_prior(fit(every, "frequent"), asked)),
        "blind": _scores(unseen, "published") if unseen else {},
        "reference": _published_scores(benchmark),
    }
    return {
        "benchmark": benchmark.title,
        "published": _release(benchmark),
        "probe": fingerprint.get("probe"),
        "untrained": fingerprint.get("untrained"),
        "fingerprint": short_hash(fingerprint),
        "settings": settings_of(fingerprint),
        "questions": {"in_file": len(questions), "chosen": state.total, "scored": len(records)},
        "videos": {"in_file": len(benchmark.videos), "scored": len(state.answers)},
        "scenes": len({record["scene"] for record in records}),
        "bootstrap": {"resamples": resamples, "clustered_by": "scene", "seed": seed},
        "blind": None if blind is None else blind.record(len(unseen)),
        "scores": _rows(records, beside, seed, resamples),
        "references": _references(benchmark),
        "problems": find_problems(benchmark, state.failures, records, PROTOCOLS),
    }


def write_report(report: Mapping[str, Any], folder: Path, records: Sequence[Record]) -> None:
    """Write `report.json`, `report.md` and `report.html`.

    Args:
        report: as `make_report` gives it.
        folder: the run's.
        records: the run's answers, for the plots.
    """
    write_text(folder / REPORT_JSON, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / REPORT_MARKDOWN, report_markdown(report))
    write_text(folder / REPORT_PAGE, report_page(report, records))


def settings_of(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """The choices that move scores, by what a reader calls them; those that a fingerprint lacks are left out."""
    processor, preset = fingerprint.get("processor") or {}, fingerprint.get("preset") or {}
    said, style = processor.get("add_time_instruction"), fingerprint.get("time_style")
    found = {
        "preset": preset.get("name"),
        "given instead": ", ".join(f"{name} {value}" for name, value in preset.get("changed", {}).items()) or None,
        "frames": processor.get("num_frames"),
        "chosen by": fingerprint.get("sampling"),
        "video decoder": fingerprint.get("decoder"),
        "time sentence": None if said is None else f"yes, as in {style}" if said else "no",
        "pooling": fingerprint.get("pool_mode"),
        "newline tokens": fingerprint.get("newline_position"),
        "geometry": fingerprint.get("geometry"),
        "geometry tokens": fingerprint.get("geometry_features"),
        "precision": fingerprint.get("dtype"),
        "device": fingerprint.get("device"),
        "attention": fingerprint.get("attention"),
        "longest answer": fingerprint.get("max_new_tokens"),
    }
    return {name: value for name, value in found.items() if value is not None}


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


def _scores(records: Sequence[Record], protocol: str) -> dict[Name, float]:
    return averages_of([{"question_type": r["question_type"], "score": r[protocol]} for r in records])


def _rows(
    records: Sequence[Record], beside: Mapping[str, Mapping[Name, float]], seed: int, resamples: int
) -> list[Record]:
    """A row per average: its scores with their intervals, and what stands beside them, None where there is none."""
    columns = {protocol: _scores(records, protocol) for protocol in PROTOCOLS}
    bounds = {protocol: intervals(tabulate(records, protocol), seed, resamples) for protocol in PROTOCOLS}
    return [
        {
            "benchmark": name[0],
            "level": name[1],
            "name": name[2],
            "questions": sum(belongs(record, name) for record in records),
            **{each: {"score": columns[each][name], "interval": bounds[each][name]} for each in PROTOCOLS},
            **{what: values.get(name) for what, values in beside.items()},
        }
        for name in columns["published"]
    ]


def _numbers_at_zero(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Numeric questions under chance: a guess says nothing."""
    numeric = [row for row in rows if question_type(row["question_type"]).kind == "numeric"]
    return [{"question_type": row["question_type"], "score": 0.0} for row in numeric]


def _release(benchmark: Benchmark) -> Record | None:
    """The published benchmark by name, and the sizes of its releases; None for other files."""
    name = benchmark.source.published
    return None if name is None else {"name": name, "releases": list(BENCHMARKS[name].counts)}


def _published_scores(benchmark: Benchmark) -> dict[Name, float]:
    """Published scores of this package's model on the release at hand, where there are any."""
    name = benchmark.source.published
    rows = sum(len(group.questions) for group in benchmark.videos) + len(benchmark.bad_lines)
    if name is None or name not in MEAN_OF or rows != BENCHMARKS[name].counts[0]:
        return {}
    row = next(row for row in reference_tables()[name].rows if row.system == OURS)
    tasks: dict[Name, float] = {(name, "task", task): score for task, score in row.tasks.items()}
    return tasks | ({} if row.mean is None else {(name, "overall", MEAN_OF[name]): row.mean})


def _references(benchmark: Benchmark) -> dict[str, Record]:
    """Published results: those of the published benchmark at hand, or for other files those of their question types."""
    kinds = dict.fromkeys(
        question_type(q.row["question_type"]).benchmark for g in benchmark.videos for q in g.questions
    )
    names = list(kinds) if benchmark.source.published is None else [benchmark.source.published]
    return {name: asdict(reference_tables()[name]) for name in names if name in reference_tables()}
