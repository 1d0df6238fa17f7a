"""Blind baselines: what a benchmark gives to guessing, and to knowing nothing but another file's answers.

prior = fit(rows, "frequent")             # one answer per question type
aggregate(score_prior(prior, rows), "vsibench")
score_prior(fit(training_rows, "option_text"), test_rows)
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from vlm3r.errors import UserError
from vlm3r.evaluation.metrics import THRESHOLDS, judge, mean_relative_accuracy
from vlm3r.qa.types import question_type

Row = Mapping[str, Any]
Strategy = Literal["frequent", "median", "option_text"]

LETTER = re.compile(r"[A-Z]")
OPTION = re.compile(r"\s*([A-Z])[.):]\s*(.*)", re.S)
FINALISTS = 64


@dataclass(frozen=True)
class Prior:
    """What a blind answerer says, by question type."""

    answers: Mapping[str, str]
    """The same answer to every question of the type."""
    texts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """How likely an option of that text is right, relative to chance; such types take their likeliest option."""

    def predict(self, row: Row) -> str | None:
        """The answer to a row, None where its type was not in the file that the prior comes from."""
        name = question_type(row["question_type"]).name
        if name in self.texts:
            shown = _options(row)
            return max(shown, key=lambda letter: (self.texts[name].get(shown[letter], 0.0), -ord(letter)))
        return self.answers.get(name)


def target_of(row: Row) -> str:
    """The right letter of an option question, the true number of a numeric one.

    Raises:
        UserError: The row has neither a letter in `mc_answer` nor one in `ground_truth`, or no number.
    """
    name = f"row {row.get('id', '?')} ({row['question_type']})"
    if question_type(row["question_type"]).kind == "option":
        for key in ("mc_answer", "ground_truth"):
            if LETTER.fullmatch(str(row.get(key, ""))):
                return str(row[key])
        raise UserError(f"{name}: no letter in mc_answer or ground_truth")
    try:
        float(row["ground_truth"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{name}: ground_truth is {row.get('ground_truth')!r}, not a number") from None
    return str(row["ground_truth"])


def random_choice(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Scored rows of uniform guessing, in expectation: 1 / number of options. Numeric questions have no such guess."""
    return [_scored(row, 1 / len(_options(row))) for row in rows if _is_option(row)]


def simulated_choice(rows: Iterable[Row], seed: int) -> list[dict[str, Any]]:
    """Scored rows of one run of uniform guessing; numeric questions are left out."""
    rng = np.random.default_rng([seed])
    guesses = [(row, str(rng.choice(list(_options(row))))) for row in rows if _is_option(row)]
    return [_answered(row, guess) for row, guess in guesses]


def fit(rows: Iterable[Row], strategy: Strategy) -> Prior:
    """The answers that do best on the rows without seeing a question.

    Args:
        rows: Benchmark rows (`question_type`, `options`, `mc_answer`, `ground_truth`).
        strategy: "frequent": per type the most frequent letter, or the number with the highest mean score.
            "median": the median instead of that number. "option_text": the median, and among the options shown the one
            whose text was right most often; to be scored on other rows than those it is fitted on.

    Raises:
        UserError: An unknown type or strategy, or a row without its answer.
    """
    if strategy not in ("frequent", "median", "option_text"):
        raise UserError(f"unknown strategy {strategy!r}: give frequent, median or option_text")
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[question_type(row["question_type"]).name].append(row)
    answers, texts = {}, {}
    for name, group in groups.items():
        targets = [target_of(row) for row in group]
        if question_type(name).kind == "option":
            answers[name] = min(counts := Counter(targets), key=lambda letter: (-counts[letter], letter))
            if strategy == "option_text":
                texts[name] = _win_rates(group, targets)
        else:
            numbers = [float(target) for target in targets]
            answers[name] = repr(best_number(numbers) if strategy == "frequent" else float(np.median(numbers)))
    return Prior(answers, texts)


def score_prior(prior: Prior, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Scored rows of a prior; types that it has not seen score 0 and carry a problem."""
    scored = []
    for row in rows:
        answer = prior.predict(row)
        unseen = "the type is not in the file that the prior comes from"
        scored.append(_answered(row, answer) if answer is not None else _scored(row, 0.0) | {"problem": unseen})
    return scored


def best_number(targets: Sequence[float]) -> float:
    """The number with the highest mean relative accuracy; among equal ones a true value, then the least.

    The score of a guess is the share of intervals [target * t, target * (2 - t)], t over the thresholds, that contain
    it. Where most overlap is found from their sorted ends; the finalists are compared by the score itself. Targets that
    are not positive score the same for all guesses and are left out; if all are, the answer is their median.
    """
    truth = np.asarray(targets, dtype=np.float64)  # (target)
    if not (truth > 0).any():
        return float(np.median(truth))
    truth = truth[(truth > 0) & np.isfinite(truth)]
    starts = np.sort(np.outer(truth, THRESHOLDS), axis=None)  # (target * threshold)
    ends = np.sort(np.outer(truth, 2 - THRESHOLDS), axis=None)  # (target * threshold)
    corners = np.unique(np.concatenate([starts, ends]))
    guesses = np.concatenate([np.unique(truth), (corners[1:] + corners[:-1]) / 2, corners])
    overlap = np.searchsorted(starts, guesses, side="right") - np.searchsorted(ends, guesses, side="left")
    finalists = guesses[np.argsort(-overlap, kind="stable")[:FINALISTS]].tolist()
    means = [math.fsum(mean_relative_accuracy(guess, target) for target in truth.tolist()) for guess in finalists]
    return finalists[int(np.argmax(means))]


def _win_rates(rows: Sequence[Row], targets: Sequence[str]) -> dict[str, float]:
    """Per option text, by how much it was right more often than chance where it was offered; rare ones nearer 0."""
    offered: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row, target in zip(rows, targets, strict=True):
        options = _options(row)
        offered.update(options.values())
        right[options.get(target, "")] += 1
    chance = len(rows) / max(sum(offered.values()), 1)
    return {text: (right[text] + 2 * chance) / (offered[text] + 2) - chance for text in sorted(offered)}


def _is_option(row: Row) -> bool:
    return question_type(row["question_type"]).kind == "option"


def _options(row: Row) -> dict[str, str]:
    """Letter -> text of the options shown."""
    matches = [OPTION.fullmatch(str(option)) for option in row.get("options") or ()]
    options = {match[1]: match[2].strip() for match in matches if match}
    if len(options) < 2 or len(options) != len(matches):
        raise UserError(f"row {row.get('id', '?')} ({row['question_type']}): options are not lettered 'A. text'")
    return options


def _answered(row: Row, answer: str) -> dict[str, Any]:
    judged = judge(answer, target_of(row), row["question_type"])
    return _scored(row, judged.score) | {"prediction": answer, "problem": judged.problem}


def _scored(row: Row, score: float) -> dict[str, Any]:
    return {"question_type": row["question_type"], "score": score}
