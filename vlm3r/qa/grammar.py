"""English grammar of category names: plurals, articles and the verb that agrees with them."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

IRREGULAR = {
    "shelf": "shelves",
    "bookshelf": "bookshelves",
    "knife": "knives",
    "leaf": "leaves",
    "loaf": "loaves",
    "scarf": "scarves",
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "foot": "feet",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "furniture": "pieces of furniture",
    "clothing": "pieces of clothing",
    "laundry": "pieces of laundry",
    "luggage": "pieces of luggage",
    "cutlery": "pieces of cutlery",
    "toilet paper": "toilet paper rolls",
}
"""Plurals that no rule gives, by the last word or words of the name."""

SINGULAR_IN_S = {"gas", "lens", "canvas", "atlas", "compass", "bus", "iris", "tennis", "chess"}
"""Words in `s` that are singular besides those in `ss`, `us` and `is`."""

SILENT_H = ("hour", "honest", "heir")
VOWEL_LETTERS_SOUNDED_AS_CONSONANT = ("uni", "use", "usb", "ute", "eu", "one", "ufo", "uke")
CONSONANTS_SPELLED_OUT = ("x-ray", "mp3", "led ", "lcd ", "fm ", "hdmi", "rv ")


def plural(name: str) -> str:
    """The plural of a category name: `bookshelf` -> `bookshelves`, `box of tissues` -> `boxes of tissues`."""
    head, preposition, rest = name.partition(" of ")
    if preposition:
        return f"{plural(head)}{preposition}{rest}"
    for singular, many in IRREGULAR.items():
        if name == singular or name.endswith(f" {singular}"):
            return name[: len(name) - len(singular)] + many
    if is_plural(name):
        return name
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def is_plural(name: str) -> bool:
    """Whether a category name is a plural as it stands, as `shoes` and `headphones` are."""
    word = name.partition(" of ")[0].rpartition(" ")[2].lower()
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in SINGULAR_IN_S


def with_article(name: str) -> str:
    """The name behind `a` or `an`, by its sound; plurals get no article."""
    if is_plural(name):
        return name
    lowered = name.lower()
    if lowered.startswith(VOWEL_LETTERS_SOUNDED_AS_CONSONANT):
        return f"a {name}"
    vowel = lowered[:1] in "aeiou" or lowered.startswith(SILENT_H) or f"{lowered} ".startswith(CONSONANTS_SPELLED_OUT)
    return f"an {name}" if vowel else f"a {name}"


def listed(names: Sequence[str], conjunction: str) -> str:
    """`a, b and c`."""
    return f" {conjunction} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


FORMS: Mapping[str, Callable[[Any], str]] = {
    "": lambda value: value if isinstance(value, str) else ", ".join(value),
    "plural": plural,
    "a": with_article,
    "is the": lambda name: f"{'are' if is_plural(name) else 'is'} the {name}",
    "the is": lambda name: f"the {name} {'are' if is_plural(name) else 'is'}",
    "and": lambda names: listed(names, "and"),
    "or": lambda names: listed(names, "or"),
}


class Phrases(string.Formatter):
    """Fills templates whose slots may ask for a form of `FORMS`, as in `{category:plural}`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """The value in the form asked for."""
        return FORMS[format_spec](value)


def sentence_case(text: str) -> str:
    """The text with a capital letter at the beginning of each sentence."""
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), text)
