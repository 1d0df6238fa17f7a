"""Collects what is wrong with one question, and what cannot be decided about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal


@dataclass
class Judge:
    """Verdict on one question: wrong if anything is, undecided if nothing is wrong but something is too close."""

    wrong: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """`agree`, `disagree` or `borderline`."""
        return "disagree" if self.wrong else "borderline" if self.undecided else "agree"

    def require(self, holds: bool, reason: str) -> bool:
        """Something that must hold exactly."""
        if not holds:
            self.wrong.append(reason)
        return holds

    def at_least(self, value: float, limit: float, tolerance: float, what: str) -> None:
        """`value >= limit`, undecided within the tolerance."""
        if value < limit - tolerance:
            self.wrong.append(f"{what} is {value:.4f}, below {limit:g}")
        elif value < limit + tolerance:
            self.undecided.append(f"{what} is {value:.4f}, too close to {limit:g}")

    def number(self, given: object, value: float, decimals: int, tolerance: float, what: str) -> None:
        """`given` is `value` rounded; undecided where the tolerance crosses a tie of the last digit."""
        if not isinstance(given, int | float):
            self.wrong.append(f"answer {given!r} is no number")
            return
        low, middle, high = (rounded(v, decimals) for v in (value - tolerance, value, value + tolerance))
        answer = rounded(float(given), decimals)
        if abs(float(answer) - float(given)) > 1e-9 or not low <= answer <= high:
            self.wrong.append(f"{what} is {value:.4f} ({middle}), answered {given}")
        elif low != high:
            self.undecided.append(f"{what} is {value:.4f}, too close to a tie")

    def choice(self, answer: str, truths: Mapping[str, bool | None]) -> None:
        """Exactly one option is true and it is the answer; None stands for an option that cannot be decided."""
        right = [option for option, truth in truths.items() if truth]
        unclear = [option for option, truth in truths.items() if truth is None]
        if truths.get(answer) is False:
            self.wrong.append(f"answer {answer!r} is false; true: {right or unclear or 'none'}")
        for option in right:
            if option != answer:
                self.wrong.append(f"option {option!r} is true beside the answer {answer!r}")
        if unclear:
            self.undecided.append(f"cannot decide {unclear}")


def rounded(value: float, decimals: int) -> Decimal:
    """Correct decimal rounding; ties are told apart by the caller's tolerance."""
    return Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)
