"""Streams: pieces that together are the answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from vlm3r.inference.ask import ask
from vlm3r.inference.opened import open_video
from vlm3r.inference.pieces import TextPieces

QUESTIONS = ("How many chairs are there?", "Look: <image> What is it?", "Why?")


@pytest.fixture(scope="module")
def bytewise() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges, so that every character of two bytes or more is cut; id 256 is special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def collect(pieces):
    found = []
    while True:
        try:
            found.append(next(pieces))
        except StopIteration as end:
            return found, end.value


@settings(max_examples=200, deadline=None)
@given(text=st.text(), cut=st.integers(1, 5))
def test_pieces_of_any_text_join_to_it_and_never_hold_half_a_character(bytewise, text, cut):
    ids = bytewise(text)["input_ids"]
    assert bytewise.decode(ids) == text
    pieces = TextPieces(bytewise)
    found = [pieces.push(ids[start : start + cut]) for start in range(0, len(ids), cut)]
    assert "".join([*found, pieces.rest()]) == text.strip()
    assert "\ufffd" in text or not any("\ufffd" in piece for piece in found)


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, 256)))
def test_pieces_of_any_ids_join_to_what_the_tokenizer_makes_of_them_all(bytewise, ids):
    pieces = TextPieces(bytewise)
    found = [pieces.push([token]) for token in ids]
    assert "".join([*found, pieces.rest()]) == bytewise.decode(ids, skip_special_tokens=True).strip()


def test_a_character_is_given_as_soon_as_its_last_byte_is_there(bytewise):
    pieces = TextPieces(bytewise)
    assert [pieces.push([token]) for token in bytewise(" é 🪑.")["input_ids"]] == [
        *["", "", "é"],
        *["", "", "", "", " 🪑", "."],
    ]


def test_a_stream_gives_the_pieces_of_the_answer_that_ask_gives(noisy, video):
    opened = open_video(*noisy, video)
    for question in QUESTIONS:
        (expected,) = opened.ask([question], 12)
        pieces, answer = collect(opened.stream(question, 12))
        assert "".join(pieces) == expected.text
        assert answer == expected
    assert len(pieces) > 1


def test_text_that_generate_streams_joins_to_the_answer(noisy, video):
    for question in QUESTIONS:
        pieces: list[str] = []
        (answer,) = ask(*noisy, [question], video=video, max_new_tokens=12, on_text=pieces.append)
        assert "".join(pieces) == answer.text


def test_a_stream_that_is_left_disturbs_nothing(noisy, video):
    opened = open_video(*noisy, video)
    (expected,) = opened.ask(QUESTIONS[:1], 12)
    stream = opened.stream(QUESTIONS[2], 12)
    next(stream)
    assert opened.ask(QUESTIONS[:1], 12) == [expected]
    with pytest.raises(RuntimeError, match="one after the other"):
        collect(stream)
    assert opened.ask(QUESTIONS[:1], 12) == [expected]


def test_a_stream_that_is_begun_after_other_questions_gives_the_same(noisy, video):
    opened = open_video(*noisy, video)
    (expected,) = opened.ask(QUESTIONS[:1], 12)
    stream = opened.stream(QUESTIONS[0], 12)
    opened.ask(QUESTIONS, 12)
    assert collect(stream)[1] == expected


def test_a_stream_of_nothing_is_refused_when_it_is_asked_for(noisy, video):
    with pytest.raises(ValueError, match="at least 1"):
        open_video(*noisy, video).stream("Why?", 0)
