"""Numbers in free answers: tables of what is meant in which unit, and properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.evaluation.numbers import read_number
from vlm3r.evaluation.reading import Unreadable
from vlm3r.evaluation.words import spell_out
from vlm3r.qa.types import Unit

LENGTHS = {
    "2.5": 2.5,
    " 2.5": 2.5,
    "2.5.": 2.5,
    "+2.5": 2.5,
    "-2.5": -2.5,
    "\u22122.5 m": -2.5,
    "2.5e0": 2.5,
    "\u0662": 2,
    "\uff11.\uff15 m": 1.5,
    "2.5m": 2.5,
    "2.5 meters": 2.5,
    "2.5-meter": 2.5,
    "about 2.5 m": 2.5,
    "~2.5": 2.5,
    "approximately 2.5 metres.": 2.5,
    "The distance is 2.5": 2.5,
    "Answer: 2.5": 2.5,
    "The answer is: **2.5 m**.": 2.5,
    "(2.5)": 2.5,
    '"2.5"': 2.5,
    r"\boxed{2.5}": 2.5,
    r"\boxed{2.5\text{ m}}": 2.5,
    "2.5<|im_end|>": 2.5,
    "<think>maybe 3 m</think>2.5 m": 2.5,
    "2,5": 2.5,
    "2,5 m": 2.5,
    "0,250 m": 0.25,
    ".5 m": 0.5,
    "250 cm": 2.5,
    "2500 mm": 2.5,
    "0.0025 km": 0.0025 * 1000,
    "10 feet": 3.048,
    "10 ft": 3.048,
    "100 inches": 2.54,
    "100 in": 2.54,
    "2 yards": 1.8288,
    "5 feet 3 inches": 1.6002,
    "1 m 20 cm": 1.2,
    "1 m 2 cm": 1.02,
    "6 ft 2 in": 1.8796,
    "2.5 m\n\nExplanation: 2 m to the table and 0.5 m on.": 2.5,
    "2.5\nThe answer is 2.5 m.": 2.5,
    "2.5\nmeters": 2.5,
    "2.5\n3.5": None,
    "2.5\nThe answer is 3.5": None,
    "2.5 away from it": 2.5,
    "away from the object 2.5 m": 2.5,
    "away from the object 2 m": 2,
    "I see 3 chairs and cannot tell": None,
    "about 5 meters, maybe 6": None,
    "1 meter and 20 centimeters": 1.2,
    "two": 2,
    "Two meters": 2,
    "two point five meters": 2.5,
    "two and a half meters": 2.5,
    "one and a half": 1.5,
    "a meter and a half": 1.5,
    "half a meter": 0.5,
    "half": None,
    "about a metre": 1,
    "2½ m": 2.5,
    "½ m": 0.5,
    "2-3 m": 2.5,
    "2\u20133 m": 2.5,
    "2 to 3 meters": 2.5,
    "two to three meters": 2.5,
    "between 2 and 3 m": 2.5,
    "2 m to 3 m": 2.5,
    "50 cm to 1 m": 0.75,
    "2.5-3.0": 2.75,
    "2.5 ± 0.2 m": 2.5,
    "2.5 m ± 0.2 m": 2.5,
    "2.5, give or take 0.5 m": 2.5,
    "1. The chair is at the wall. 2. The distance is 2.5 m": 2.5,
    "(1) 2.5 m": 2.5,
    "2. 5": None,
    "Between their closest points it is 2.5 m": 2.5,
    "From point to point 2.5 m": 2.5,
    "2 point 5": None,
    "The table is 1.2 m wide, so about 3": None,
    "The door of 2 m is 3 m away": None,
    "2.5 m (8.2 ft)": 2.5,
    "2.5 meters (250 cm)": 2.5,
    "frame 3 of 32: 2.5 m": 2.5,
    "frame 3 of 32: 2.5": 2.5,
    "In frame 3, 2.5 m": 2.5,
    "Between frames 3 and 7 the camera moves 2.5 m": 2.5,
    "The 2 chairs are 2.5 m apart": 2.5,
    "The 3D distance is 2.5": 2.5,
    "The 2nd chair is 2.5 m away": 2.5,
    "Chair 1 is 3 m away, so the answer is 2.5 m": 2.5,
    "the one by the door is 2.5 m away": 2.5,
    "1,200 mm": 1.2,
    "1 200 mm": None,
    "1\u202f200 mm": 1.2,
    "1.200,5 mm": 1.2005,
    "1,2,3": None,
    "2.5.1": None,
    "2 or 3 m": None,
    "2 m or 3 m": None,
    "2, 3 m": None,
    "2 and 3 m": None,
    "2/3 m": None,
    "5/2": None,
    "2 x 3 m": None,
    "2 m x 3 m": None,
    "2 m wide, 3 m long": None,
    "5'3": None,
    "5'": None,
    "2:30": None,
    "less than 2 m": None,
    "at least 2 m": None,
    "> 2 m": None,
    "2 m or more": None,
    "2+ m": None,
    "not 2 m": None,
    "2.5 m2": None,
    "2.5 m/s": None,
    "5 m3": None,
    "3 seconds": None,
    "2.5%": None,
    "30°": None,
    "$2.5": None,
    "nan": None,
    "inf": None,
    "-Infinity": None,
    "1e999": None,
    "A": None,
    "None": None,
    "a few meters": None,
    "a couple of metres": None,
    "": None,
    " ": None,
    "meters": None,
}

COUNTS = {
    "3": 3,
    "three": 3,
    "Three chairs.": 3,
    "There are 3 chairs.": 3,
    "There are three chairs in the room": 3,
    "3 in total": 3,
    "3 in the room, within 2 m of the door": 3,
    "I can see 3 chairs": 3,
    "twenty-three": 23,
    "twenty three": 23,
    "one hundred and five": 105,
    "1,200": 1200,
    "12,345,678": 12345678,
    "two thousand, three hundred": 2300,
    "3.0": 3,
    "2-3": 2.5,
    "two or three": None,
    "2 and 3": None,
    "3 chairs and 2 tables": None,
    "2.5 m": None,
    "a dozen": None,
    "several": None,
    "at least three": None,
    "one of the chairs": None,
}

SIZES = {"250": 250, "250 cm": 250, "2.5 m": 250, "2.5m": 250, "2500 mm": 250, "100 inches": 254, "2.5 to 3 m": 275}
AREAS = {
    "20": 20,
    "20 m2": 20,
    "20 m²": 20,
    "20m^2": 20,
    "20 sqm": 20,
    "20 sq m": 20,
    "20 sq. m": 20,
    "20 square meters": 20,
    "20 metres squared": 20,
    "about twenty square metres": 20,
    "200000 cm²": 20,
    "100 square feet": 9.290304,
    "100 sq ft": 9.290304,
    "5 m x 4 m = 20 m²": 20,
    "15-20 m²": 17.5,
    "20 m": None,
    "5 x 4": None,
    "5 m x 4 m": None,
}

ROWS: list[tuple[Unit, str, float | None]] = [
    *(("m", text, value) for text, value in LENGTHS.items()),
    *(("", text, value) for text, value in COUNTS.items()),
    *(("cm", text, value) for text, value in SIZES.items()),
    *(("m2", text, value) for text, value in AREAS.items()),
]


def read(text: str, unit: Unit) -> float | None:
    try:
        return read_number(text, unit)
    except Unreadable:
        return None


@pytest.mark.parametrize(("unit", "text", "value"), ROWS)
def test_a_number_is_read_as_a_person_would(unit: Unit, text: str, value: float | None):
    assert read(text, unit) == (None if value is None else pytest.approx(value, rel=1e-9))


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.text(alphabet="0123456789.,-+/ e_abmx'²½%onetwhdfi", max_size=30)),
    st.sampled_from(["", "m", "cm", "m2"]),
)
def test_any_text_gives_a_finite_number_or_none(text: str, unit: Unit):
    value = read(text, unit)
    assert value is None or math.isfinite(value)


VALUES = st.floats(0.01, 999, allow_nan=False).map(lambda value: float(f"{value:.3g}"))


@given(
    VALUES, st.sampled_from(["{} m", "about {} metres", "The answer is {}.", "It's {}m away", "frame 7 of 32: {} m"])
)
def test_every_way_to_write_a_length_reads_the_same(value: float, written: str):
    assert read(written.format(value), "m") == value


@given(VALUES, VALUES)
def test_two_different_lengths_are_no_answer(first: float, second: float):
    expected = first if abs(first - second) <= 0.02 * first else None
    assert read(f"{first} m here, there {second} m", "m") == expected
    assert read(f"{first} or {second}", "m") is None


@given(VALUES)
def test_units_agree_with_each_other(value: float):
    assert read(f"{value} m", "cm") == pytest.approx(100 * value, rel=1e-12)
    assert read(f"{value} cm", "m") == pytest.approx(value / 100, rel=1e-12)
    assert read(f"{value} ft", "m") == pytest.approx(value * 0.3048, rel=1e-12)
    assert read(f"{value} square feet", "m2") == pytest.approx(value * 0.3048**2, rel=1e-12)


NAMES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spelled(number: int, joint: str) -> str:
    if number >= 1000:
        rest = f" {spelled(number % 1000, joint)}" if number % 1000 else ""
        return f"{spelled(number // 1000, joint)} thousand{rest}"
    if number >= 100:
        rest = f" and {spelled(number % 100, joint)}" if number % 100 else ""
        return f"{NAMES[number // 100]} hundred{rest}"
    if number >= 20:
        return TENS[number // 10 - 2] + (joint + NAMES[number % 10] if number % 10 else "")
    return NAMES[number]


@given(st.integers(0, 999_999), st.sampled_from(["-", " "]))
def test_number_words_are_read_whole(number: int, joint: str):
    assert spell_out(f"there are {spelled(number, joint)} chairs") == f"there are {number} chairs"
