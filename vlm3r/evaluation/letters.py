"""The option letter that a free answer means: "(B)", "B. chair", "The answer is B.", or the option's own text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlm3r.evaluation.reading import Unreadable, announced, clean, first_line

LETTERS = "ABCDEFGH"
ALONE = re.compile(r"[(\[\"']*([a-h])[)\]\"'.:,;!]*", re.I)
ENCLOSED = re.compile(r"(?<!\w)[(\[]?([a-h])[)\]]", re.I)
ITEM = re.compile(r"(?<![\w'.-])([b-h])[.:](?=\s)")
LEADING = re.compile(r"([a-h])(?:\s*[.):\]]+(?!\w\.)|\s+-)\s*(.*)", re.I | re.S)
STANDING = re.compile(r"(?<![\w'&+-])([A-H])(?![\w'&+-]|\.\w\.)")
ARTICLE = re.compile(r"A\s+(?!because\b|since\b|as\b|is\b|or\b|and\b|but\b|due\b|given\b|not\b|if\b)[a-z]")
DENIAL = re.compile(r"\b(?:not|neither|nor|never|none|except|wrong|incorrect)\b|n't\b", re.I)
LABEL = re.compile(r"\s*[(\[]?([A-Z])[.):\]]\s*(.*)", re.S)


def read_letter(text: str, options: Sequence[str] | None = None) -> str:
    """The one letter, upper case, that the answer means.

    An "a" or "A" before a word is an article and not a letter. Where an answer is announced ("The answer is ..."), what
    comes before does not count. Two letters, a denial ("not B"), or a letter whose text is that of another option give
    no answer; an explanation after "B." may deny what it likes.

    Args:
        text: The answer.
        options: The options, "A. chair" or plain texts in the order of the letters; with them the text of an option
            is understood too, and letters that no option has are not.

    Raises:
        Unreadable: No letter or more than one is meant.
    """
    texts = _options(options)
    letters = "".join(texts) if texts else LETTERS
    first, rest = first_line(text, ALONE)
    whole = clean(text if first is None else rest)
    statements = announced(whole)
    if first is not None:
        statements.insert(0, first)
    found = {_statement(part, letters, texts) for part in statements} - {None}
    if not found:
        found = {_statement(whole, letters, texts)} - {None}
    if not found:
        raise Unreadable("the answer names no option")
    return _only({letter for letter in found if letter is not None})


def _options(options: Sequence[str] | None) -> dict[str, str]:
    """Letter -> text in lower case."""
    texts = {}
    for place, option in enumerate(options or ()):
        match = LABEL.fullmatch(clean(str(option)))
        letter, text = match.groups() if match else (chr(ord("A") + place), clean(str(option)))
        texts[letter] = _bare(text)
    return texts


def _bare(text: str) -> str:
    """Lower case, without article and outer punctuation."""
    return re.sub(r"^(?:the|an?)\s+(?=\w)", "", text.lower().strip(" .,:;!?\"'()[]"))


def _statement(text: str, letters: str, texts: dict[str, str]) -> str | None:
    """The letter that a statement names, None if none; raises if it names several."""
    if match := ALONE.fullmatch(text):
        return match[1].upper() if match[1].upper() in letters else None
    whole = [letter for letter, option in texts.items() if option and _bare(text) == option]
    if whole:
        return _only(set(whole))
    labelled = LEADING.match(text) or ENCLOSED.match(text)
    if not labelled and DENIAL.search(text):
        raise Unreadable("the answer denies something")
    named = _named(text, letters)
    if named:
        letter = _only(named)
        _agree(letter, text, texts)
        return letter
    if mentioned := _mentioned(text.lower(), texts):
        return _only(mentioned)
    return None


def _only(letters: set[str]) -> str:
    if len(letters) > 1:
        raise Unreadable("the answer names more than one option")
    return next(iter(letters))


def _named(text: str, letters: str) -> set[str]:
    """Letters that stand for options."""
    named = {match[1].upper() for match in ENCLOSED.finditer(text)}
    if match := LEADING.match(text):
        named.add(match[1].upper())
    named |= {match[1].upper() for match in ITEM.finditer(text)}
    for match in STANDING.finditer(text):
        if not (match[1] == "A" and ARTICLE.match(text, match.start())):
            named.add(match[1])
    return {letter for letter in named if letter in letters}


def _agree(letter: str, text: str, texts: dict[str, str]) -> None:
    """Raise where the words beside the letter are another option's, or speak of other options before it comes."""
    rest = re.sub(rf"^[(\[]?{letter}[)\].:,\s-]+|[\s,-]+[(\[]?{letter}[)\].]*$", "", text, flags=re.I)
    others = {other for other, option in texts.items() if option and option == _bare(rest)}
    if not re.match(rf"[(\[]?{letter}(?![\w'])", text, re.I):
        others |= _mentioned(text.lower(), texts)
    if others and letter not in others:
        raise Unreadable("the answer's letter and text name different options")


def _mentioned(text: str, texts: dict[str, str]) -> set[str]:
    """Options whose text occurs as whole words, outside the text of a longer option that occurs."""
    spans = []
    for letter, option in texts.items():
        if option:
            words = r"[\s-]+".join(re.escape(word) for word in re.split(r"[\s-]+", option))
            pattern = rf"(?<![\w-]){words}(?![\w-])"
            spans += [(match.start(), match.end(), letter) for match in re.finditer(pattern, text)]
    return {
        letter
        for start, end, letter in spans
        if not any(s <= start and end <= e and e - s > end - start for s, e, _ in spans)
    }
