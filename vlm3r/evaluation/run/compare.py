"""Two runs over the same questions: differences with paired intervals, and the questions that got better or worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vlm3r.errors import UserError
from vlm3r.evaluation.metrics import PROTOCOLS
from vlm3r.evaluation.run.bootstrap import RESAMPLES, Name, belongs, difference_intervals, tabulate
from vlm3r.evaluation.run.fingerprints import differences
from vlm3r.evaluation.run.journal import Record, check_answers, read_run

Key = tuple[str, str, str, str, int]


def compare_runs(first: Path, second: Path, seed: int = 0, resamples: int = RESAMPLES) -> Record:
    """The comparison of two runs as JSON-serialisable values; scores are fractions of 1.

    Raises:
        UserError: a folder holds no run or a damaged one, or no question is in both.
    """
    (mark_a, answers_a), (mark_b, answers_b) = read_checked(first), read_checked(second)
    by_key_a, by_key_b = by_key(answers_a), by_key(answers_b)
    shared = [key for key in by_key_a if key in by_key_b]
    if not shared:
        raise UserError(f"{first} and {second}: have no question in common; compare runs of the same benchmark")
    a, b = [by_key_a[key] for key in shared], [by_key_b[key] for key in shared]
    columns = {protocol: _column(a, b, protocol, seed, resamples) for protocol in PROTOCOLS}
    flips = _flips(a, b)
    return {
        "first": str(first),
        "second": str(second),
        "questions": len(shared),
        "scenes": len({record["scene"] for record in a}),
        "only_first": len(by_key_a) - len(shared),
        "only_second": len(by_key_b) - len(shared),
        "fingerprint_differences": differences(mark_a, mark_b),
        "bootstrap": {"resamples": resamples, "clustered_by": "scene", "seed": seed},
        "scores": [
            {
                "benchmark": name[0],
                "level": name[1],
                "name": name[2],
                "questions": sum(belongs(record, name) for record in a),
                **{protocol: columns[protocol][name] for protocol in PROTOCOLS},
                **{way: sum(belongs(record, name) for record, _ in flips[way]) for way in flips},
            }
            for name in columns["published"]
        ],
        "flips": {
            way: [
                {name: before.get(name) for name in ("id", "line", "question_type", "scene", "target")}
                | {"first": before["answer"], "second": after["answer"]}
                for before, after in pairs
            ]
            for way, pairs in flips.items()
        },
    }


def read_checked(folder: Path) -> tuple[Record, list[Record]]:
    """The fingerprint and the answers of a run, every field that a comparison reads being there.

    Raises:
        UserError: the folder holds no run, or a damaged one.
    """
    fingerprint, answers = read_run(folder)
    check_answers(answers, folder)
    return fingerprint, answers


def by_key(answers: Sequence[Record]) -> dict[Key, Record]:
    """Answers by id, type, scene and the file's right answer; what shares them all is told apart by the file's order.

    The order of the answers is another where several processes gave them.
    """
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found = {}
    for record in sorted(answers, key=lambda record: record["line"]):
        target = str(record.get("file_target", record["target"]))
        name = (str(record.get("id")), record["question_type"], record["scene"], target)
        found[(*name, seen[name])] = record
        seen[name] += 1
    return found


def _column(a: Sequence[Record], b: Sequence[Record], protocol: str, seed: int, resamples: int) -> dict[Name, Record]:
    first = tabulate(a, protocol)
    second = tabulate(b, protocol, like=first)
    once = np.ones((1, len(first.scenes)))
    before, after = first.averages(once), second.averages(once)
    bounds = difference_intervals(first, second, seed, resamples)
    return {
        name: {
            "first": float(before[name][0]),
            "second": float(after[name][0]),
            "difference": float(after[name][0] - before[name][0]),
            "interval": bounds[name],
        }
        for name in before
    }


def _flips(a: Sequence[Record], b: Sequence[Record]) -> dict[str, list[tuple[Record, Record]]]:
    pairs = list(zip(a, b, strict=True))
    return {
        "better": [(before, after) for before, after in pairs if after["published"] > before["published"]],
        "worse": [(before, after) for before, after in pairs if after["published"] < before["published"]],
    }
