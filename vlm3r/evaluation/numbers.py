"""The number that a free answer means, in the unit of the question: "about 2.5 m", "2,5", "250 cm", "two", "2-3 m"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from vlm3r.evaluation.reading import Unreadable, announced, clean, first_line
from vlm3r.evaluation.units import UNIT_FOLLOWS, Measure, read_unit
from vlm3r.evaluation.words import rewrite
from vlm3r.qa.types import Unit

AGREEMENT = 0.02
"""Relative difference up to which two measures say the same, as in "2.5 m (8.2 ft)"."""

NUMBER = re.compile(r"(?<![a-z_$€£#])(?<![\d.,])(?<!\d['\"])(?:\d+(?:[.,_]\d+)*|\.\d+)(?:e[+-]?\d+)?(?!\d)")
NUMBER_FORMS = (
    (re.compile(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?:e.*)?"), ",", ""),
    (re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+,\d+"), ".", ""),
    (re.compile(r"[1-9]\d{0,2}(?:\.\d{3}){2,}"), ".", ""),
    (re.compile(r"\d+,\d+(?:e.*)?"), "", ""),
    (re.compile(r"(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:e.*)?"), "_", ""),
)
PLAIN = rf"\d+(?![.,]?\d|{UNIT_FOLLOWS})"
LABELLED = re.compile(
    r"\b(?:frame|image|view|step|question|scene|object|option)s?\s*(?:no\.?|number|#)?\s*"
    rf"{PLAIN}(?:\s*(?:of|/|to|and|-)\s*{PLAIN}|,\s*{PLAIN}(?!\s*[a-z]))*"
)
"""Numbers that name something: "frame 3 of 32", "frames 3 and 7"."""
ITEM = re.compile(r"(?:^|(?<=[.!?:;]\s))(?:\(\d{1,2}\)\s+|\d{1,2}[.)]\s+(?=[a-z]))")
"""The number before an item of a list."""
COUNTED = re.compile(
    r"\s+(?!(?:about|above|across|and|apart|approx\w*|as|at|away|based|because|between|but|by|deep|for|from|given|high|i|if"
    r"|in|is|it|long|maybe|of|on|or|overall|roughly|since|so|tall|that|the|this|to|total|units?|when|which|while|wide|with)"
    r"\b)[a-z]"
)
"""What a number without unit counts: "3 chairs" is no length."""
ALONE = re.compile(r"[-+~(\"']?\d[\d.,_]*\s?[\w^]{0,14}[.)\"']*")
MINUS = re.compile(r"(?:^|[\s(:=~\[])-$")
RANGE = re.compile(r"\s*(?:-|~|to)\s*(?:about |around |approximately )?")
HEDGE = r"(?:(?:maybe|perhaps|possibly|even|more like|about|around|rather)\s+)?"
LINK = re.compile(rf"\s*(?:,|;|\.)?\s*(?:and|&|or|vs\.?|versus|by|x|\*|\+|/|)\s*{HEDGE}|[:'\"^]|\s*-\s*-\s*")
BETWEEN = re.compile(r"\bbetween\s*(?:about |around )?$")
AND = re.compile(r"\s*and\s*(?:about |around )?")
COMPOUND = re.compile(r"\s*,?\s*(?:and\s)?\s*")
BOUND_BEFORE = re.compile(
    r"(?:\b(?:than|at (?:least|most)|up to|not|below|above|minimum of|maximum of|exceeds|exceeding)|n't|[<>≤≥])"
    r"\W{0,2}(?:(?:a|an|the|about|be|equal to)\s+)*$"
)
BOUND_AFTER = re.compile(r"\s*(?:\+|or (?:more|less|fewer|greater|higher|over|above|below)\b|at (?:least|most)\b)")
GLUED = re.compile(r"-?[a-z_%°$€£]|['\"]")


@dataclass(frozen=True)
class _Quantity:
    """A number as written, the part of the text that it takes, and its unit if one follows."""

    value: float
    start: int
    end: int
    measure: Measure | None
    doubtful: bool = False
    """It is a bound, or one of several numbers in a row."""

    @property
    def dimension(self) -> str:
        return self.measure.dimension if self.measure else ""

    @property
    def base(self) -> float:
        """Value in metres or square metres; as written where there is no unit."""
        return self.value * (self.measure.scale if self.measure else 1.0)


def read_number(text: str, unit: Unit = "") -> float:
    """The one finite number that the answer means, converted to `unit` where it names another.

    A range gives its mean. Labels ("frame 3", "3D", "2nd") and numbers of other things ("3 chairs" where a length is
    asked for) do not count. Where an answer is announced ("The answer is ..."), what comes before does not count.
    Different numbers, a bound ("less than 2 m"), or a unit of another dimension give no answer.

    Raises:
        Unreadable: No number or more than one is meant.
    """
    if (value := _python_float(text)) is not None:
        return value
    first, rest = first_line(text, ALONE)
    plain = rewrite(clean(text if first is None else rest).lower())
    statements = [part for part in announced(plain) if NUMBER.search(part)]
    if first is not None:
        statements.insert(0, rewrite(first.lower()))
    return _agreed([_statement(part, unit) for part in statements or [plain]], unit)


def _python_float(text: str) -> float | None:
    """What `float` reads, final dots apart: the form in which both protocols agree."""
    try:
        value = float(text.strip().rstrip("."))
    except ValueError:
        return None
    if not math.isfinite(value):
        raise Unreadable("the answer is not a finite number")
    return value


def _statement(text: str, unit: Unit) -> float:
    text = LABELLED.sub("_", ITEM.sub("", text))
    quantities = _joined(_quantities(text), text)
    if not quantities:
        raise Unreadable("the answer names no number")
    dimension = {"": "", "m2": "area"}.get(unit, "length")
    measured = [quantity for quantity in quantities if unit and quantity.dimension == dimension]
    bare = [q for q in quantities if not q.dimension and not (unit and COUNTED.match(text, q.end))]
    chosen = measured or bare
    if not chosen:
        raise Unreadable("the answer's unit is not one of the question's")
    if any(quantity.doubtful for quantity in chosen):
        raise Unreadable("the answer gives a bound, or several numbers")
    if measured and bare:
        raise Unreadable("the answer gives several numbers")
    per_unit = 0.01 if unit == "cm" else 1.0
    return _agreed([q.base / per_unit if q.measure else q.value for q in chosen], unit)


def _agreed(values: list[float], unit: Unit) -> float:
    tolerance = AGREEMENT * abs(values[0]) if unit else 0.0
    if not all(abs(value - values[0]) <= tolerance for value in values):
        raise Unreadable("the answer gives several numbers")
    if not math.isfinite(values[0]):
        raise Unreadable("the answer is not a finite number")
    return values[0]


def _quantities(text: str) -> list[_Quantity]:
    found = []
    for match in NUMBER.finditer(text):
        start, end = match.span()
        if found and start < found[-1].end:
            continue
        measure, after = read_unit(text, end)
        quoted = start > 0 and text[start - 1] == text[end : end + 1]
        if measure is None and not quoted and GLUED.match(text, end):
            continue
        minus = MINUS.search(text, 0, start) is not None
        bound = bool(BOUND_BEFORE.search(text, 0, start - minus) or BOUND_AFTER.match(text, after))
        found.append(_Quantity(_value(match[0]) * (-1 if minus else 1), start - minus, after, measure, bound))
    return found


def _value(number: str) -> float:
    """Value of a decimal point or comma number, with or without separated thousands."""
    for form, separator, nothing in NUMBER_FORMS:
        if form.fullmatch(number):
            return float((number.replace(separator, nothing) if separator else number).replace(",", "."))
    raise Unreadable(f"{number!r} can be read in several ways")


def _joined(quantities: list[_Quantity], text: str) -> list[_Quantity]:
    """Ranges as their mean and "1 m 20 cm" as one quantity; other neighbours marked as doubtful."""
    joined: list[_Quantity] = []
    for right in quantities:
        left = joined[-1] if joined else None
        if left is None:
            joined.append(right)
            continue
        gap, before = text[left.end : right.start], text[: left.start]
        whole = replace(right, start=left.start, doubtful=left.doubtful or right.doubtful)
        if RANGE.fullmatch(gap) or (AND.fullmatch(gap) and BETWEEN.search(before)):
            joined[-1] = _mean(left, right, whole)
        elif COMPOUND.fullmatch(gap) and _same_dimension(left, right) and right.base < left.base:
            joined[-1] = replace(whole, value=left.base + right.base, measure=Measure(left.dimension, 1.0))
        elif LINK.fullmatch(gap):
            joined[-1] = replace(left, doubtful=True)
            joined.append(replace(right, doubtful=True))
        else:
            joined.append(right)
    return joined


def _same_dimension(left: _Quantity, right: _Quantity) -> bool:
    return left.dimension == right.dimension != ""


def _mean(left: _Quantity, right: _Quantity, whole: _Quantity) -> _Quantity:
    """The middle of a range, whose one unit may stand at its end only."""
    if left.measure and right.measure and not _same_dimension(left, right):
        return replace(whole, doubtful=True)
    left = replace(left, measure=left.measure or right.measure)
    right = replace(right, measure=right.measure or left.measure)
    measure = Measure(left.dimension, 1.0) if left.measure else None
    return replace(whole, value=(left.base + right.base) / 2, measure=measure)
