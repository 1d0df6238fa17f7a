"""Units of length and area as people write them after a number, and their size in metres."""

from __future__ import annotations

import re
from dataclasses import dataclass

METRES = {"mm": 0.001, "cm": 0.01, "dm": 0.1, "km": 1000.0, "m": 1.0, "in": 0.0254, "ft": 0.3048, "yd": 0.9144}
SPELLINGS = {
    "mm": r"mm|millimet(?:er|re)s?",
    "cm": r"cms?|centimet(?:er|re)s?",
    "dm": r"dm|decimet(?:er|re)s?",
    "km": r"kms?|kilomet(?:er|re)s?",
    "m": r"m|met(?:er|re)s?|mtrs?",
    "in": r"inch(?:es)?|in(?=\s*(?:$|[.,;)]))",
    "ft": r"ft|foot|feet",
    "yd": r"yards?|yds?",
}
OTHER = (
    r"cubic\s\w+|(?:m|cm|ft)(?:\s?\^\s?)?3|m/s|(?:milli)?seconds?|secs?|s|minutes?|mins?|hours?|degrees?|deg|radians?|kg|grams?"
    r"|pixels?|px|percent|[%°]"
)
END = r"(?![a-z0-9/^_])"


@dataclass(frozen=True)
class Measure:
    """What a unit measures ("length", "area" or "other"), and metres or square metres per unit."""

    dimension: str
    scale: float


def _pattern() -> re.Pattern[str]:
    parts = [f"(?P<other>{OTHER})"]
    for name, spelling in SPELLINGS.items():
        parts.append(
            rf"(?P<area_{name}>sq(?:uare|\.)?[\s-]*(?:{spelling})|sq{name}|(?:{spelling})(?:(?:\s?\^\s?)?2|\s+squared))"
        )
        parts.append(rf"(?P<length_{name}>{spelling})")
    return re.compile(rf"[\s-]?(?:{'|'.join(f'{part}{END}' for part in parts)})")


UNIT = _pattern()
UNIT_FOLLOWS = rf"\s*-?(?:{'|'.join(SPELLINGS.values())})\b"
"""A length or area begins here, in an expression to look ahead with."""


def read_unit(text: str, position: int) -> tuple[Measure | None, int]:
    """The unit that stands at a position of a lower-case text, None if none, and where the text goes on."""
    match = UNIT.match(text, position)
    if match is None or match.lastgroup is None:
        return None, position
    dimension, _, name = match.lastgroup.partition("_")
    scale = METRES.get(name, 1.0)
    return Measure(dimension, scale * scale if dimension == "area" else scale), match.end()
