"""Option letters in free answers: a table of what is meant, and properties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.evaluation.letters import LETTERS, read_letter
from vlm3r.evaluation.reading import Unreadable

OBJECTS = ["A. table", "B. chair", "C. office chair", "D. lamp"]
DIRECTIONS = ["A. left", "B. right", "C. back"]
QUADRANTS = ["A. front-left", "B. front-right", "C. back-left", "D. back-right"]
TURNS = ["A. Turn Left", "B. Turn Left, Turn Right", "C. Turn Right, Turn Left"]

WITHOUT_OPTIONS = {
    "B": "B",
    "b": "B",
    " B": "B",
    "B.": "B",
    "B..": "B",
    "(B)": "B",
    "B)": "B",
    "[B]": "B",
    '"B"': "B",
    "B:": "B",
    "B,": "B",
    "B. chair": "B",
    "b. chair": "B",
    "B.chair": "B",
    "B) chair": "B",
    "(b) chair": "B",
    "B chair": "B",
    "B - chair": "B",
    "B: chair": "B",
    "B\nchair": "B",
    "A\nbecause it is nearer": "A",
    "A because it is nearer": "A",
    "A, because it is nearer": "A",
    "Answer: B": "B",
    "ANSWER: (b)": "B",
    "The answer is B.": "B",
    "the answer is a": "A",
    "The correct answer is: **B**": "B",
    "The correct answer would be (B) chair": "B",
    "B is the correct answer.": "B",
    "A is the answer": "A",
    "Option B": "B",
    "I think it is B": "B",
    "I would go with (C).": "C",
    "**A**": "A",
    "`A`": "A",
    "A</s>": "A",
    "B<|im_end|>": "B",
    "<answer>B</answer>": "B",
    "<think>A or C? Not A.</think>B": "B",
    "A or C? Not A.\n</think>\n\nB": "B",
    "<think>It is B": None,
    "A" + 5000 * " and so on": None,
    r"\boxed{B}": "B",
    "\uff21": "A",
    "A\u3002": "A",
    "A is far away. The answer is B.": "B",
    "B. It is not far from the door": "B",
    "Answer: B. The table isn't close": "B",
    "B\n\nExplanation: A is not as near.": "B",
    "(B)\nThe answer is B.": "B",
    "B\nThe answer is C.": None,
    "A\nB": None,
    "a) chair b) table": None,
    "a. chair b. table": None,
    "A or B": None,
    "A/B": None,
    "A, B": None,
    "(A) or (B)": None,
    "A) chair B) table": None,
    "Answer: A or B": None,
    "The answer is A. No, the answer is B.": None,
    "not B": None,
    "The answer is not B": None,
    "It isn't A": None,
    "a chair": None,
    "A chair": None,
    "The answer is a chair": None,
    "Answer: A chair": None,
    "It is a big A-frame table": None,
    "I": None,
    "I do": None,
    "AB": None,
    "A.B": None,
    "3D": None,
    "chair": None,
    "Apple": None,
    "e.g. the chair": None,
    "1": None,
    "": None,
    ".": None,
    "   ": None,
}

WITH_OPTIONS = [
    (OBJECTS, "chair", "B"),
    (OBJECTS, "The chair.", "B"),
    (OBJECTS, "A chair", "B"),
    (OBJECTS, "a chair", "B"),
    (OBJECTS, "A table", "A"),
    (OBJECTS, "office chair", "C"),
    (OBJECTS, "It is the office chair", "C"),
    (OBJECTS, "The closest one is the lamp.", "D"),
    (OBJECTS, "the answer is a chair", "B"),
    (OBJECTS, "B. chair", "B"),
    (OBJECTS, "(B) the chair", "B"),
    (OBJECTS, "B. It is nearer than the table", "B"),
    (OBJECTS, "B. table", None),
    (OBJECTS, "the chair (A)", None),
    (OBJECTS, "the chair as seen in frame C", None),
    (OBJECTS, "B because the table is farther", "B"),
    (OBJECTS, "the chair (B)", "B"),
    (OBJECTS, "lamp, D", "D"),
    (OBJECTS, "the chair or the lamp", None),
    (OBJECTS, "not the chair", None),
    (OBJECTS, "armchair", None),
    (OBJECTS, "E", None),
    (OBJECTS, "sofa", None),
    (["table", "chair"], "chair", "B"),
    (["A. chair", "B. chair"], "chair", None),
    (DIRECTIONS, "left", "A"),
    (DIRECTIONS, "To your right.", "B"),
    (DIRECTIONS, "left or right", None),
    (DIRECTIONS, "back-left", None),
    (DIRECTIONS, "back left", None),
    (QUADRANTS, "front left", "A"),
    (QUADRANTS, "Front-Left", "A"),
    (QUADRANTS, "It is to the back-right of you", "D"),
    (QUADRANTS, "left", None),
    (TURNS, "Turn Left", "A"),
    (TURNS, "turn left, turn right", "B"),
    (TURNS, "You turn right, turn left.", "C"),
    (TURNS, "C. Turn Right, Turn Left", "C"),
]


def read(text: str, options: list[str] | None = None) -> str | None:
    try:
        return read_letter(text, options)
    except Unreadable:
        return None


@pytest.mark.parametrize(("text", "letter"), WITHOUT_OPTIONS.items())
def test_a_letter_is_read_as_a_person_would(text: str, letter: str | None):
    assert read(text) == letter


@pytest.mark.parametrize(("options", "text", "letter"), WITH_OPTIONS)
def test_options_make_their_texts_answers(options: list[str], text: str, letter: str | None):
    assert read(text, options) == letter


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80), st.sampled_from([None, OBJECTS, TURNS]))
def test_any_text_gives_a_known_letter_or_none(text: str, options: list[str] | None):
    assert read(text, options) in {None, *(LETTERS if options is None else LETTERS[: len(options)])}


WRITTEN = [
    "{}",
    "({})",
    "{})",
    "{}.",
    "Answer: {}",
    "The answer is ({}).",
    "I choose {}",
    "**{}**",
    "Option {}: it is close",
]


@given(st.sampled_from(LETTERS[:4]), st.sampled_from(WRITTEN))
def test_every_way_to_write_a_letter_reads_the_same_for_all_letters(letter: str, written: str):
    assert read(written.format(letter)) == letter


@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.sampled_from([" or ", ", ", "/", " and ", " "]))
def test_two_different_letters_are_no_answer(first: str, second: str, joint: str):
    assert read(f"{first}{joint}{second}") in ({first} if first == second else {None})
