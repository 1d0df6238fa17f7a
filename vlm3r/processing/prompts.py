"""Chat text of Qwen2 with visual placeholders, token by token as the published code builds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vlm3r.errors import UserError

PLACEHOLDER = "<image>"
SYSTEM_MESSAGE = "You are a helpful assistant."
IGNORED = -100
ANSWER_HEAD = "<|im_start|>assistant\n"

TimeStyle = Literal["demo", "training"]


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    text: str
    """What is said; in a user's turn `<image>` stands for one video or one still image."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the prompt that is tokenised alone: text, or (`text` is None) one visual placeholder."""

    text: str | None
    """The characters, markup included; None for a placeholder."""
    supervised: bool
    """Whether the published training takes its loss on this stretch."""


def user_text(question: str, visuals: int, time_sentence: str | None = None, style: TimeStyle = "demo") -> str:
    """The user's message with one `<image>` per visual input, and the time sentence where there is one.

    `demo` puts the sentence between placeholder and question. `training` reproduces the published data set code:
    the sentence goes before the human turn with its `<image>` deleted, which leaves a blank line, because the data say
    `<image>` newline question. Without a sentence, a message that holds as many `<image>` as there are inputs keeps
    them where they are; with one, its placeholder moves to the front, as published.

    Raises:
        UserError: the message holds some `<image>`, but not as many as there are inputs.
    """
    held = question.count(PLACEHOLDER)
    if held not in (0, visuals):
        raise UserError(
            f"the question holds {PLACEHOLDER} {held} times for {visuals} videos or images; take it out or give as many"
        )
    if held == 0:
        question = f"{PLACEHOLDER}\n" * visuals + question
    if time_sentence is None:
        return question
    bare = question.replace(PLACEHOLDER, "")
    if style == "demo":
        bare = bare.removeprefix("\n")
    return f"{PLACEHOLDER}\n{time_sentence}\n{bare}"


def chat_segments(turns: Sequence[Turn], add_generation_prompt: bool = False) -> list[Segment]:
    """The conversation in Qwen2's markup, user turns cut at placeholders; a system turn is added if none leads."""
    if not turns or turns[0].role != "system":
        turns = [Turn("system", SYSTEM_MESSAGE), *turns]
    segments = []
    for turn in turns:
        supervised = turn.role == "assistant"
        text = f"<|im_start|>{turn.role}\n{turn.text}<|im_end|>\n"
        pieces = text.split(PLACEHOLDER) if turn.role == "user" else [text]
        for i, piece in enumerate(pieces):
            if i:
                segments.append(Segment(None, False))
            if piece:
                segments.append(Segment(piece, supervised))
    if add_generation_prompt:
        segments.append(Segment(ANSWER_HEAD, False))
    return segments


def supervised_ids(ids: Sequence[int], supervised: bool, always: frozenset[int]) -> list[int]:
    """Labels of one segment: all of it, or only the ids in `always` (chat markup), which are supervised everywhere."""
    return [i if supervised or i in always else IGNORED for i in ids]


def answer_ids(ids: Sequence[int], supervised: bool, head: int) -> list[int]:
    """Labels of one segment: an answer and its end mark, not the `head` ids before it and the newline after it."""
    return [i if supervised and head <= place < len(ids) - 1 else IGNORED for place, i in enumerate(ids)]
