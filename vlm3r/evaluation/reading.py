"""What the tolerant readers of letters and numbers share: clean text, and the part that states the answer."""

from __future__ import annotations

import re
import unicodedata

ANSWER = re.compile(
    r"\b(?:answer|option|choice|prediction|estimate)s?\b\W{0,4}(?:(?:is|would be|should be)\b\W{0,3})?", re.I
)
"""What announces an answer: "Answer:", "the answer is", "my choice would be"."""

LONGEST = 4000
"""Characters after which an answer, reasoning apart, is no answer; the readers take quadratic time."""
THOUGHT_BEGINS, THOUGHT_ENDS = "<think>", "</think>"
HIDDEN = re.compile(r"<\|[^<>|]{1,30}\|>|</?s>|</?answer>|\\boxed\b|\\text\b", re.I)
MARKS = re.compile(r"[*`_{}\\]|(?<!\S)#+(?=\s)")
GROUPING_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f'\u2019](?=\d{3}(?!\d))")
VULGAR = re.compile(r"[\u00bc-\u00be\u2150-\u215e]")
DASH = re.compile(r"[\u2010-\u2014\u2212]")


class Unreadable(Exception):
    """An answer in which no letter or number can be told, or more than one; the message says which."""


def clean(text: str) -> str:
    """The text without reasoning, chat tokens and markup; compatibility characters (Ａ, ², –) plain.

    Raises:
        Unreadable: It has more than `LONGEST` characters, or is reasoning without an end.
    """
    text = _shown(text)
    text = VULGAR.sub(r" \g<0>", GROUPING_SPACE.sub(",", text))
    text = DASH.sub("-", unicodedata.normalize("NFKC", text)).replace("\u2019", "'")
    return " ".join(MARKS.sub(" ", text).split())


def announced(text: str) -> list[str]:
    """What follows each announcement of an answer, up to the next one; empty where nothing is announced."""
    return [part.strip() for part in ANSWER.split(text)[1:] if part.strip()]


def first_line(text: str, alone: re.Pattern[str]) -> tuple[str | None, str]:
    """An answer that has the first line for itself, with an explanation after it: that line clean, and the rest raw.

    None and the whole text where there is no explanation, or where a later line might be an answer too.
    """
    lines = [line for line in _shown(text).splitlines() if line.strip()]
    if len(lines) > 1 and [bool(alone.fullmatch(clean(line))) for line in lines] == [True] + [False] * (len(lines) - 1):
        return clean(lines[0]), "\n".join(lines[1:])
    return None, text


def _shown(text: str) -> str:
    text = text.rpartition(THOUGHT_ENDS)[2]
    if THOUGHT_BEGINS in text:
        raise Unreadable("the answer ends within its reasoning")
    text = HIDDEN.sub(" ", text).strip()
    if len(text) > LONGEST:
        raise Unreadable(f"the answer has more than {LONGEST} characters")
    return text
