"""A model that answers without seeing anything: from how often its categories went with which answer elsewhere.

Counts are kept per fold of scenes, so that each question is answered from other scenes only. Memory grows with the
vocabulary, not with the number of scenes.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from vlm3r.evaluation.metrics import mean_relative_accuracy
from vlm3r.qa.balance import PERMUTATIONS
from vlm3r.qa.spool import Record

SMOOTHING = 2.0
"""Questions that a feature counts as if its options had been right by chance."""
NUMBERS = ("frame", "total", "start", "end", "steps")
"""Slots that name no category, unless they belong to a route."""


@dataclass
class BlindModel:
    """Counts of one question type."""

    folds: int
    right: list[Counter[Hashable]] = field(init=False)
    fair: list[defaultdict[Hashable, float]] = field(init=False)
    logs: list[defaultdict[Hashable, float]] = field(init=False)

    def __post_init__(self) -> None:
        self.right = [Counter() for _ in range(self.folds + 1)]
        self.fair = [defaultdict(float) for _ in range(self.folds + 1)]
        self.logs = [defaultdict(float) for _ in range(self.folds + 1)]

    def learn(self, question: Record, fold: int) -> None:
        """Count a question of a scene of the given fold; the last entry of each list is the sum over folds."""
        for place in (fold, self.folds):
            if not question["options"]:
                for feature in contexts(question):
                    self.right[place][feature] += 1
                    self.logs[place][feature] += math.log(max(question["answer"], 1e-3))
                continue
            for option in question["options"]:
                for feature in itertools.chain.from_iterable(feature_levels(question, option)):
                    self.right[place][feature] += option == question["answer"]
                    self.fair[place][feature] += 1 / len(question["options"])

    def score(self, question: Record, fold: int) -> tuple[float, float]:
        """How well the other folds answer: score from 0 to 1, and how surely (0 where the score is 0)."""
        if not question["options"]:
            value = closeness(self._number(question, fold), question["answer"])
            return value, value
        chances = np.array([self._evidence(question, option, fold) for option in question["options"]])
        place = question["options"].index(question["answer"])
        # Equal evidence decides nothing: each of the best is chosen equally often.
        best = chances >= chances.max() * (1 - 1e-12)
        share = float(best[place]) / best.sum()
        return share, share * float(chances[place] / chances.sum())

    def constant(self, fold: int) -> float:
        """The typical number of the other folds."""
        return self._mean((), fold) or 1.0

    def _evidence(self, question: Record, option: str, fold: int) -> float:
        """How many times likelier than chance the option is right; each level of features corrects the one before."""
        likelier = 1.0
        for level in feature_levels(question, option):
            before = likelier
            for feature in level:
                right = self.right[self.folds][feature] - self.right[fold][feature]
                fair = self.fair[self.folds][feature] - self.fair[fold][feature]
                likelier *= (right + SMOOTHING * before) / (fair + SMOOTHING) / before
        return likelier

    def _number(self, question: Record, fold: int) -> float:
        """The mean, in logarithms, of the most special contexts that other folds know."""
        found = {feature: self._mean(feature, fold) for feature in contexts(question)}
        for size in range(max(map(len, found)), 0, -1):
            known = [value for feature, value in found.items() if len(feature) == size and value]
            if known:
                return float(np.exp(np.mean(np.log(known))))
        return self.constant(fold)

    def _mean(self, feature: Hashable, fold: int) -> float | None:
        n = self.right[self.folds][feature] - self.right[fold][feature]
        return math.exp((self.logs[self.folds][feature] - self.logs[fold][feature]) / n) if n > 0 else None


def closeness(value: float, truth: float) -> float:
    """The benchmark's score of a number."""
    return mean_relative_accuracy(value, truth) if truth > 0 else float(value == truth)


def categories(question: Record) -> list[tuple[str, str]]:
    """Slots of a question that hold category names."""
    route = question["question_type"] == "route_planning"
    return sorted((k, v) for k, v in question["slots"].items() if k != "categories" and (route or k not in NUMBERS))


def contexts(question: Record) -> list[tuple[tuple[str, str], ...]]:
    """What a number may depend on: nothing, each category, all of them; the order of two objects means nothing."""
    named = [("category", name) for _, name in categories(question)]
    whole = [tuple(sorted(named))] if len(named) > 1 else []
    return [(), *((entry,) for entry in sorted(set(named))), *whole]


def feature_levels(question: Record, option: str) -> list[list[Hashable]]:
    """What may speak for an option, from general to special: itself; single categories and rivals; pairs of them."""
    if question["question_type"] in PERMUTATIONS:
        return [[("before", *pair) for pair in itertools.combinations(option.split(", "), 2)]]
    named = categories(question)
    rivals = [("over", option, rival) for rival in question["options"] if rival != option]
    return [
        [option],
        [*((option, slot) for slot in named), *rivals],
        [(option, *pair) for pair in itertools.combinations(named, 2)],
    ]
