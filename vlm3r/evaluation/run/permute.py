"""The same questions with their options in another order: what a liking for a letter is worth."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vlm3r.evaluation.run.benchmark import Benchmark, Question
from vlm3r.qa.rows import LETTERS, prompt
from vlm3r.qa.splits import stable_number
from vlm3r.qa.types import question_type

LABELLED = re.compile(r"(\s*)[A-Z]([.):]\s*)(.*)", re.S)


def permute_options(benchmark: Benchmark, seed: int) -> Benchmark:
    """The benchmark with every option question's options in a random order, letters renewed, targets with them.

    Among the questions of a type with equally many options each letter is right equally often, to within one question,
    so that an answer which is always the same letter scores chance.

    Args:
        benchmark: as read; questions whose options were put in another order before are not taken.
        seed: other seed, other orders.
    """
    places = _places(benchmark, seed)
    videos = tuple(
        replace(group, questions=tuple(_permuted(question, places, seed) for question in group.questions))
        for group in benchmark.videos
    )
    return replace(benchmark, videos=videos)


def _places(benchmark: Benchmark, seed: int) -> dict[int, int]:
    """By line of an option question, the place that its right option is to have."""
    groups: dict[tuple[str, int], list[int]] = defaultdict(list)
    for group in benchmark.videos:
        for question in group.questions:
            kind = question_type(question.row["question_type"])
            if kind.kind == "option":
                groups[kind.name, len(question.row["options"])].append(question.line)
    places = {}
    for (kind_name, options), lines in groups.items():
        rng = np.random.default_rng([seed, 13, stable_number(kind_name), options])
        order, letters = rng.permutation(len(lines)), rng.permutation(options)
        places |= {lines[number]: int(letters[turn % options]) for turn, number in enumerate(order)}
    return places


def _permuted(question: Question, places: dict[int, int], seed: int) -> Question:
    if question.line not in places:
        return question
    options, place = [str(option) for option in question.row["options"]], places[question.line]
    right = next(number for number, option in enumerate(options) if option.strip()[:1] == question.target)
    rng = np.random.default_rng([seed, 17, question.line])
    order = [int(number) for number in rng.permutation([n for n in range(len(options)) if n != right])]
    order.insert(place, right)
    row: dict[str, Any] = dict(question.row) | {"options": _relettered(options, order), "mc_answer": LETTERS[place]}
    row |= {"ground_truth": LETTERS[place]} if row.get("ground_truth") == question.target else {}
    return replace(question, row=row, text=prompt(row), target=LETTERS[place], file_target=question.target)


def _relettered(options: Sequence[str], order: Sequence[int]) -> list[str]:
    """The options in an order, each with the letter of its new place."""
    matches = [LABELLED.fullmatch(options[number]) for number in order]
    return [f"{m[1]}{LETTERS[place]}{m[2]}{m[3]}" for place, m in enumerate(matches) if m is not None]
