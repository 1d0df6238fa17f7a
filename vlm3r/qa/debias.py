"""Leaving out what can be answered blind: iterative pruning with a cross-fitted model of category priors.

As in the debiased VSI-Bench, the most predictable questions go first, the model is fitted again to what is left, and so
on until it is no better than chance (options) or than one constant number (numbers).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vlm3r.qa.blind import BlindModel, closeness
from vlm3r.qa.splits import stable_number
from vlm3r.qa.spool import Record, Spool, with_questions

BINS = 1000
SCATTER = 0.3


@dataclass(frozen=True)
class DebiasSettings:
    """When a question type counts as unbiased."""

    folds: int = 5
    """Parts of the scenes; each is answered from the others."""
    margin: float = 0.01
    """How much better than chance the blind model may be."""
    rounds: int = 12
    """Most rounds of fitting and pruning."""
    keep: float = 0.3
    """Share of a type's questions that always stays."""


@dataclass
class TypeScores:
    """How a question type fares blind."""

    count: int = 0
    score: float = 0.0
    """Sum over questions."""
    chance: float = 0.0
    """Sum over questions of what chance, or a constant number, scores."""
    sureness: np.ndarray = field(default_factory=lambda: np.zeros(BINS + 1, int))
    """Histogram of how surely questions are answered."""

    def threshold(self, left: int, settings: DebiasSettings) -> int:
        """Bin from which on questions are left out; `left` may go in all."""
        target = self.chance / self.count + settings.margin
        surplus = (self.score - self.count * target) / (1 - target) if target < 1 else 0
        # Half of the surplus at a time, because what goes changes what the rest gives away.
        wanted = min(left, math.ceil(surplus / 2))
        if wanted <= 0:
            return BINS + 1
        above = np.cumsum(self.sureness[::-1])  # [i]: how many lie in the i + 1 topmost bins
        bins = int(np.searchsorted(above, wanted))
        return BINS - bins if above[bins] <= left else BINS - bins + 1


def debias(proposals: Spool, kept: Spool, settings: DebiasSettings, seed: int) -> dict[str, tuple[float, float]]:
    """Write to `kept` the proposals without what is answered blind.

    Returns:
        For each question type the blind score when it was last fitted, and what chance would score.
    """
    source: Iterable[Record] = proposals
    results: dict[str, TypeScores] = {}
    least: dict[str, int] = {}
    finished: set[str] = set()
    for number in range(settings.rounds):
        # Other folds in every round: what was pruned with the old ones made each fold the others' opposite.
        folds = Folds(settings.folds, seed, number)
        models = _fit(source, finished, folds)
        scores = _score(source, models, folds)
        results |= scores
        least = least or {kind: math.ceil(settings.keep * entry.count) for kind, entry in scores.items()}
        thresholds = {kind: entry.threshold(entry.count - least[kind], settings) for kind, entry in scores.items()}
        finished |= {kind for kind, threshold in thresholds.items() if threshold > BINS}
        kept.write(_prune(source, models, thresholds, folds))
        source = kept
        if finished >= set(least):
            break
    return {kind: (entry.score / entry.count, entry.chance / entry.count) for kind, entry in results.items()}


@dataclass(frozen=True)
class Folds:
    """A division of the scenes."""

    number: int
    seed: int = 0
    round: int = 0

    def of(self, record: Record) -> int:
        """The fold of a scene."""
        return stable_number("fold", self.seed, self.round, record.get("scene", "")) % self.number


def _fit(records: Iterable[Record], but: set[str], folds: Folds) -> dict[str, BlindModel]:
    models: defaultdict[str, BlindModel] = defaultdict(lambda: BlindModel(folds.number))
    for record in records:
        fold = folds.of(record)
        for question in record["questions"]:
            if question["question_type"] not in but:
                models[question["question_type"]].learn(question, fold)
    return dict(models)


def _score(records: Iterable[Record], models: dict[str, BlindModel], folds: Folds) -> dict[str, TypeScores]:
    scores: defaultdict[str, TypeScores] = defaultdict(TypeScores)
    for record in records:
        fold = folds.of(record)
        for question in record["questions"]:
            kind = question["question_type"]
            if kind not in models:
                continue
            model, entry = models[kind], scores[kind]
            score, sureness = model.score(question, fold)
            options = len(question["options"])
            entry.count += 1
            entry.score += score
            entry.chance += 1 / options if options else closeness(model.constant(fold), question["answer"])
            entry.sureness[_bin(sureness, record, question)] += 1
    return dict(scores)


def _prune(
    records: Iterable[Record],
    models: dict[str, BlindModel],
    thresholds: dict[str, int],
    folds: Folds,
) -> Iterator[Record]:
    for record in records:
        fold = folds.of(record)

        def stays(question: Record, record: Record = record, fold: int = fold) -> bool:
            threshold = thresholds.get(question["question_type"], BINS + 1)
            if threshold > BINS:
                return True
            sureness = models[question["question_type"]].score(question, fold)[1]
            return _bin(sureness, record, question) < threshold

        yield with_questions(record, [question for question in record["questions"] if stays(question)])


def _bin(sureness: float, record: Record, question: Record) -> int:
    """Histogram bin of a sureness from 0 to 1, scattered so that much the same ones do not go all at once."""
    scatter = stable_number(record["scene"], question["question_type"], sorted(question["slots"].items())) / 2**64
    return round(BINS * sureness * (1 - SCATTER * scatter))
