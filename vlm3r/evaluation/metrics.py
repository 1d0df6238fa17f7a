"""Scores of single answers and their averages, as VSI-Bench and VSTI-Bench publish them, and a tolerant reading beside.

score("2.5 m", "2.4", "object_abs_distance")                          1.0
score("It is about 2.5 m.", "2.4", "object_abs_distance", "robust")   1.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from vlm3r.errors import UserError
from vlm3r.evaluation.aggregate import aggregate
from vlm3r.evaluation.letters import read_letter
from vlm3r.evaluation.numbers import read_number
from vlm3r.evaluation.reading import Unreadable
from vlm3r.qa.types import question_type as find_type

__all__ = ["THRESHOLDS", "Protocol", "Scored", "aggregate", "judge", "mean_relative_accuracy", "score"]

Protocol = Literal["published", "robust"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""The published code's ten thresholds: whether an error at a boundary counts hangs on their last bits."""


@dataclass(frozen=True)
class Scored:
    """The score of one answer in [0, 1]; where the answer or the target could not be read, why."""

    score: float
    problem: str | None = None


def score(
    prediction: object,
    target: object,
    question_type: str,
    protocol: Protocol = "published",
    options: Sequence[str] | None = None,
) -> float:
    """The score of `judge`, in [0, 1]."""
    return judge(prediction, target, question_type, protocol, options).score


def judge(
    prediction: object,
    target: object,
    question_type: str,
    protocol: Protocol = "published",
    options: Sequence[str] | None = None,
) -> Scored:
    """Score of one answer and, where it could not be scored as meant, the reason.

    Args:
        prediction: The model's answer.
        target: Letter of the right option, or the true number (in the unit of the question type).
        question_type: Any name in `vlm3r.qa.types`.
        protocol: "published" does what the published scorers do; where they raise, the score is 0 and the problem
            says so. "robust" reads an answer the way a person would, and gives 0 where it can be read in two ways.
        options: The options as shown ("A. chair"); only "robust" uses them.

    Raises:
        UserError: An unknown question type or protocol.
    """
    kind = find_type(question_type)
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol {protocol!r}: give published or robust")
    try:
        if protocol == "published":
            return _published_option(prediction, target) if kind.kind == "option" else _published(prediction, target)
        if kind.kind == "option":
            return Scored(float(read_letter(_text(prediction), options) == _letter(target).strip().upper()))
        return Scored(_symmetric(read_number(_text(prediction), kind.unit), _number(target)))
    except Unreadable as error:
        return Scored(0.0, str(error))


def mean_relative_accuracy(prediction: float, target: float) -> float:
    """Share of the thresholds t with |prediction - target| / target <= 1 - t, in double precision.

    As published, the target's sign is kept in the denominator, so that a negative target accepts everything.

    Raises:
        ZeroDivisionError: The target is 0.
    """
    error = abs(prediction - target) / target
    return float((error <= 1 - THRESHOLDS).mean())


def _first_word(prediction: object) -> str:
    """What the published scorers look at: the text before the first space, without final dots and white space."""
    return _text(prediction).split(" ")[0].rstrip(".").strip()


def _published_option(prediction: object, target: object) -> Scored:
    word = _first_word(prediction)
    return Scored(float(word.lower() == _letter(target).lower()))


def _published(prediction: object, target: object) -> Scored:
    word = _first_word(prediction)
    try:
        value = float(word)
    except ValueError:
        return Scored(0.0, "the answer does not begin with a number")
    truth = _number(target)
    try:
        return Scored(mean_relative_accuracy(value, truth))
    except ZeroDivisionError:
        return Scored(0.0, "the target is 0: the published scorer raises")


def _symmetric(value: float, truth: float) -> float:
    """The published accuracy for positive targets; the same for mirrored negative ones; 0 is met by 0 alone."""
    if truth == 0:
        return float(value == 0)
    return mean_relative_accuracy(math.copysign(1.0, truth) * value, abs(truth))


def _letter(target: object) -> str:
    if not isinstance(target, str):
        raise Unreadable(f"the target is {type(target).__name__}, not a letter")
    return target


def _number(target: Any) -> float:
    try:
        return float(target)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable("the target is not a number") from None


def _text(prediction: object) -> str:
    if not isinstance(prediction, str):
        raise Unreadable(f"the answer is {type(prediction).__name__}, not text")
    return prediction
