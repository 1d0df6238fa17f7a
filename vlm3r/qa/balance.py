"""Choosing among proposed questions so that no constant answer scores above chance.

Two passes over the scenes, with counts only in memory:

1. `select` takes at most a cap of questions per scene and type, each time the one whose answer has been right least
   often so far: for options in comparison with how often it was offered, for numbers by logarithmic ranges.
2. `trim` leaves out, evenly over all scenes, what is still too frequent.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlm3r.qa.spool import Record, with_questions

RANGE_FACTOR = 1.25
"""Numbers within this factor share a range; the metric gives them about half of its points for each other's values."""
PERMUTATIONS = frozenset({"obj_appearance_order"})
"""Types whose options are too various for one of them to be a constant answer."""


@dataclass(frozen=True)
class BalanceSettings:
    """How far answers are evened out."""

    tolerance: float = 0.01
    """How much an option may be right more often than by chance."""
    range_factor: float = 2.0
    """How many times fuller than the mean one range of numbers may be."""
    keep: float = 0.25
    """Share of the questions with one answer that trimming always leaves."""


def answer_range(value: float) -> int:
    """Number of the logarithmic range that a numeric answer lies in; every whole number below 6 has its own."""
    return -1000 if value <= 0 else math.floor(math.log(value) / math.log(RANGE_FACTOR) + 1e-9)


class TypeCounts:
    """How often each answer of one question type was right, and offered."""

    def __init__(self) -> None:
        self.right: Counter[Hashable] = Counter()
        self.offers = 0
        self.fair: defaultdict[tuple[Hashable, Hashable], float] = defaultdict(float)
        """[answer, option]: how often an option that stood beside the answer would have been right by chance."""
        self.fair_total: defaultdict[Hashable, float] = defaultdict(float)

    def key(self, question: Mapping[str, Any]) -> Hashable | None:
        """What is balanced: the option's text, or the number's range; None where nothing is."""
        if not question["options"]:
            return answer_range(question["answer"])
        return None if question["question_type"] in PERMUTATIONS else question["answer"]

    def excess(self, question: Mapping[str, Any]) -> float:
        """How much too often the question's answer has been right so far."""
        key = self.key(question)
        return 0.0 if key is None else self.right[key] - self.fair_total[key]

    def add(self, question: Mapping[str, Any]) -> None:
        """Count one question."""
        key = self.key(question)
        if key is None:
            return
        self.right[key] += 1
        self.offers += len(question["options"])
        for option in question["options"]:
            self.fair[key, option] += 1 / len(question["options"])
            self.fair_total[option] += 1 / len(question["options"])

    def kept_shares(self, settings: BalanceSettings) -> dict[Hashable, float]:
        """For each answer the share of its questions to keep."""
        return self._shares_of_options(settings) if self.fair else self._shares_of_ranges(settings)

    def _shares_of_options(self, settings: BalanceSettings) -> dict[Hashable, float]:
        answers = list(self.right)
        position = {answer: i for i, answer in enumerate(answers)}
        right = np.array([self.right[a] for a in answers], float)
        joint = np.zeros((len(answers), len(answers)))
        for (answer, option), expected in self.fair.items():
            if option in position:
                joint[position[answer], position[option]] = expected
        chance = right.sum() / self.offers
        always_offered = bool(np.allclose(joint.sum(0), right.sum() * chance))
        # What only some questions offer has a small sample of its own: one standard error of it is no excess.
        slack = 0.0 if always_offered else math.sqrt(1 - chance)
        rarest = right.min() / right if always_offered else 0.0
        shares = np.ones(len(answers))
        for _ in range(200):
            fair = shares @ joint
            allowed = fair * (1 + settings.tolerance / chance) + slack * np.sqrt(fair)
            shares = np.minimum(shares, np.maximum(allowed / right, np.maximum(settings.keep, rarest)))
        return dict(zip(answers, shares.tolist(), strict=True))

    def _shares_of_ranges(self, settings: BalanceSettings) -> dict[Hashable, float]:
        counts = np.array(list(self.right.values()), float)
        limit = math.inf
        for _ in range(200 if len(counts) else 0):
            limit = min(limit, settings.range_factor * np.minimum(counts, limit).mean())
        shares = np.maximum(settings.keep, np.minimum(1.0, limit / counts))
        return dict(zip(self.right, shares.tolist(), strict=True))


def select(records: Iterable[Record], caps: Mapping[str, int], seed: int, balanced: bool = True) -> Iterator[Record]:
    """The scenes with at most `caps[type]` questions of each type, rarer answers first if `balanced`.

    Takes scenes in their order, so that what is chosen depends on that order and the seed only.
    """
    rng = np.random.default_rng([seed, 1])
    counts: defaultdict[str, TypeCounts] = defaultdict(TypeCounts)
    for record in records:
        groups: defaultdict[str, list[Record]] = defaultdict(list)
        for question in record["questions"]:
            groups[question["question_type"]].append(question)
        chosen = []
        for kind, group in groups.items():
            shuffled = [group[i] for i in rng.permutation(len(group))]
            cap = caps[kind]
            chosen += _rarest_first(shuffled, cap, counts[kind]) if balanced else shuffled[:cap]
        yield with_questions(record, chosen)


def _rarest_first(questions: Sequence[Record], cap: int, counts: TypeCounts) -> list[Record]:
    left, chosen = list(questions), []
    while left and len(chosen) < cap:
        place = min(range(len(left)), key=lambda i: counts.excess(left[i]))
        counts.add(left[place])
        chosen.append(left.pop(place))
    return chosen


def trim(
    records: Iterable[Record], counts: Mapping[str, TypeCounts], seed: int, settings: BalanceSettings
) -> Iterator[Record]:
    """The scenes without what is too frequent; `counts` are those of exactly these records."""
    rng = np.random.default_rng([seed, 2])
    shares = {kind: count.kept_shares(settings) for kind, count in counts.items()}
    left = {(kind, key): n for kind, count in counts.items() for key, n in count.right.items()}
    wanted = {(kind, key): round(n * shares[kind][key]) for (kind, key), n in left.items()}

    def keep(question: Record) -> bool:
        """Selection sampling: exactly the wanted number of those that remain, each as likely as the other."""
        place = (question["question_type"], counts[question["question_type"]].key(question))
        if place[1] is None:
            return True
        taken = bool(rng.random() * left[place] < wanted[place])
        left[place] -= 1
        wanted[place] -= taken
        return taken

    for record in records:
        yield with_questions(record, [question for question in record["questions"] if keep(question)])


def count(records: Iterable[Record]) -> dict[str, TypeCounts]:
    """Counts by question type."""
    counts: defaultdict[str, TypeCounts] = defaultdict(TypeCounts)
    for record in records:
        for question in record["questions"]:
            counts[question["question_type"]].add(question)
    return dict(counts)
