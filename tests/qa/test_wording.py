"""Question texts: every type, both styles, correct grammar, no slot left open."""

import re

import numpy as np
import pytest

from vlm3r.errors import UserError
from vlm3r.qa.grammar import is_plural, listed, plural, sentence_case, with_article
from vlm3r.qa.tasks import TASKS
from vlm3r.qa.types import QUESTION_TYPES
from vlm3r.qa.wording import SLOTS, STYLES, check_templates, load_templates, word, wording_family

VALUES = {
    "category": "bookshelf",
    "first": "shoes",
    "second": "armchair",
    "standing": "door",
    "facing": "sofa",
    "queried": "headphones",
    "categories": "tv, bed, cup, box",
    "start": "3",
    "end": "9",
    "frame": "4",
    "total": "32",
    "goal": "oven",
    "steps": "? | table | oven",
}
CHOICES = ("stool", "sofa", "chair")


def texts(family, style):
    slots = {name: VALUES[name] for name in SLOTS[family] - {"choices"}}
    return {word(family, slots, CHOICES, style, np.random.default_rng(seed)) for seed in range(60)}


@pytest.mark.parametrize("family", SLOTS)
@pytest.mark.parametrize("style", STYLES)
def test_every_text_says_every_fact_and_reads_as_sentences(family, style):
    for text in texts(family, style):
        for name in SLOTS[family] - {"choices", "steps"}:
            stem = VALUES[name].removesuffix("f")  # shelf, shelves
            assert stem in text, (name, text)
        if "choices" in SLOTS[family]:
            assert all(choice in text for choice in CHOICES)
        assert not re.search(r"[{}]|  | [,.?]", text)
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert not re.search(r"[.?] [a-z]", text)
        assert not re.search(r"\bis the (shoes|headphones)|the (shoes|headphones) is\b", text)


@pytest.mark.parametrize("family", SLOTS)
def test_there_are_at_least_four_paraphrases(family):
    assert len(texts(family, "ours")) >= 4


def test_every_type_of_the_tasks_and_of_the_benchmarks_has_a_wording():
    for task in TASKS.values():
        for kind in task.question_types:
            assert wording_family(kind) in SLOTS
    for kind in QUESTION_TYPES:
        assert wording_family(kind.training_name or kind.name) in SLOTS


def test_style_vsibench_keeps_its_conventions():
    only = {family: next(iter(texts(family, "vsibench"))) for family in SLOTS}
    assert "bookshelf(s)" in only["object_counting"]
    assert "at least 135 degrees" in only["object_rel_direction_v2"]
    assert "Cartesian plane" in only["object_rel_direction_v1"]
    assert "closest point of each object" in only["object_rel_distance"]
    assert "(stool, sofa, chair)" in only["object_rel_distance"]
    assert only["route_planning"].startswith("You are a robot")
    assert "1. [please fill in] 2. Go forward until the table. 3. Go forward until the oven." in only["route_planning"]
    assert "(in square meters)" in only["room_size_estimation"]


def test_the_seed_chooses_the_paraphrase():
    slots = {"category": "lamp"}
    first, again = (word("object_counting", slots, (), "ours", np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert len({word("object_counting", slots, (), "ours", np.random.default_rng(i)) for i in range(60)}) >= 4


def test_an_unknown_style_is_refused():
    with pytest.raises(UserError, match="unknown style 'poem': give ours or vsibench"):
        word("object_counting", {"category": "lamp"}, (), "poem", np.random.default_rng(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("How many?", "must use exactly"),
        ("{category} in {room}?", "must use exactly"),
        ("{category:loud}?", "unknown forms"),
    ],
)
def test_templates_with_wrong_slots_are_refused_at_load(template, reason):
    templates = {
        family: {style: list(found) for style, found in styles.items()} for family, styles in load_templates().items()
    }
    templates["object_counting"]["ours"].append(template)
    with pytest.raises(ValueError, match=reason):
        check_templates(templates)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("chair", "chairs"),
        ("shelf", "shelves"),
        ("wall shelf", "wall shelves"),
        ("bookshelf", "bookshelves"),
        ("knife", "knives"),
        ("box", "boxes"),
        ("bench", "benches"),
        ("couch", "couches"),
        ("dish", "dishes"),
        ("glass", "glasses"),
        ("mattress", "mattresses"),
        ("key", "keys"),
        ("battery", "batteries"),
        ("computer mouse", "computer mice"),
        ("shoes", "shoes"),
        ("blinds", "blinds"),
        ("box of tissues", "boxes of tissues"),
        ("toilet paper", "toilet paper rolls"),
        ("person", "people"),
        ("cactus", "cactuses"),
        ("tv", "tvs"),
        ("piano", "pianos"),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("oven", "an oven"),
        ("chair", "a chair"),
        ("utensil holder", "a utensil holder"),
        ("umbrella", "an umbrella"),
        ("hourglass", "an hourglass"),
        ("x-ray viewer", "an x-ray viewer"),
        ("shoes", "shoes"),
        ("led lamp", "an led lamp"),
        ("ledge", "a ledge"),
    ],
)
def test_articles_go_by_sound(name, text):
    assert with_article(name) == text


def test_what_is_plural_as_it_stands():
    assert all(map(is_plural, ["shoes", "pair of scissors"[8:], "headphones", "curtains"]))
    assert not any(map(is_plural, ["glass", "cactus", "mattress", "lens", "chair", "box of tissues", "tennis"]))


def test_lists_and_sentence_case():
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert listed(["a", "b"], "and") == "a and b"
    assert listed(["a"], "and") == "a"
    assert sentence_case("is it? yes. 5 m") == "Is it? Yes. 5 m"
