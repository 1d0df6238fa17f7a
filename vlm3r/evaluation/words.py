"""English number words in a text replaced by digits: "twenty-three" by "23", "two point five" by "2.5"."""

from __future__ import annotations

import re

from vlm3r.evaluation.reading import Unreadable

SMALL_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = {word: value for value, word in enumerate(SMALL_WORDS.split())}
TENS = {word: 10 * value for value, word in enumerate(TENS_WORDS.split(), start=2)}
PRONOUN = (
    r"\b(?:the|this|that|each|every|which|any|no|other|another|first|last)\s+one\b"
    r"|\bone\s+(?:of|can|could|would|should|must)\b"
)


def _alternatives(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


BELOW_100 = rf"(?:(?:{_alternatives(TENS)})(?:[\s-]+(?:{'|'.join(list(SMALL)[1:10])})\b)?|(?:{_alternatives(SMALL)}))"
BELOW_1000 = rf"(?:(?:(?:an?|{'|'.join(list(SMALL)[1:10])})\s+hundred(?:\s+(?:and\s+)?{BELOW_100})?)|{BELOW_100})"
CARDINAL = rf"(?:(?:{BELOW_1000}|a)\s+thousand(?:,?\s+(?:and\s+)?{BELOW_1000})?|{BELOW_1000})"
DIGITS = rf"(?:\s+(?:{'|'.join(list(SMALL)[:10])})\b)"
PHRASE = re.compile(rf"(?<![\w-])({CARDINAL})\b(?:\s+point({DIGITS}+))?")
SPREAD = re.compile(r"\s*(?:±|\+/-|\+-|,?\s*plus or minus|,?\s*give or take)\s*(?:about\s+)?\d[\d.,]*")
LENGTH = r"(?:met(?:er|re)s?|foot|feet|yards?|inch(?:es)?)"
UNIT_AND_A_HALF = re.compile(rf"(?<![\w.,])(\d+|an?) ({LENGTH}) and (?:a|1) half\b")
AND_A_HALF = re.compile(r"(?<![\w.,])(\d+) and (?:a|1) half\b")
HALF = re.compile(rf"(?<!and )\b(?:(?:a|1) )?half(?: of)?(?: an?)? (?={LENGTH}\b)")
ONE_UNIT = re.compile(rf"\ban? (?=(?:centi)?{LENGTH}\b|square {LENGTH}\b)")
FRACTION = re.compile(r"(?<![\w.,])(?:(\d+) ?)?(\d)\u2044(\d)(?!\d)")
INEXACT = re.compile(r"\b(?:half|halves|quarters?|couple|dozens?|few|several)\b|\d point\b")


def rewrite(text: str) -> str:
    """The lower-case text with its number words, halves and fractions as decimals; a tolerance (± 0.2) is dropped.

    Raises:
        Unreadable: It counts in words that are not exact, such as "a few" or "a dozen".
    """
    text = SPREAD.sub("", spell_out(text))
    text = FRACTION.sub(lambda match: f"{int(match[1] or 0) + int(match[2]) / max(int(match[3]), 1):.6g}", text)
    text = UNIT_AND_A_HALF.sub(lambda match: f"{int(match[1] if match[1].isdecimal() else 1) + 0.5} {match[2]}", text)
    text = AND_A_HALF.sub(lambda match: f"{int(match[1]) + 0.5}", text)
    text = ONE_UNIT.sub("1 ", HALF.sub("0.5 ", text))
    if match := INEXACT.search(text):
        raise Unreadable(f"the answer counts in words that are not exact: {match[0]}")
    return text


def spell_out(text: str) -> str:
    """The lower-case text with number words as digits; "the one" and "one of" stay words."""
    text = re.sub(PRONOUN, "_", text)
    return PHRASE.sub(lambda match: _digits(match[1], match[2]), text)


def _digits(cardinal: str, decimals: str | None) -> str:
    whole = str(_value(re.findall(r"[a-z]+", cardinal)))
    return f"{whole}.{''.join(str(SMALL[word]) for word in decimals.split())}" if decimals else whole


def _value(words: list[str]) -> int:
    """Value of a cardinal that `PHRASE` accepts."""
    total, part = 0, 0
    for word in words:
        if word == "thousand":
            total, part = 1000 * max(part, 1), 0
        elif word == "hundred":
            part = 100 * max(part, 1)
        elif word not in ("a", "an", "and"):
            part += SMALL.get(word, TENS.get(word, 0))
    return total + part
