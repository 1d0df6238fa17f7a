"""What a row's turns become before they are tokenised, as the published data set code has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vlm3r.processing.prompts import PLACEHOLDER, Turn, user_text
from vlm3r.training.data.rows import BadRow


def training_turns(turns: Sequence[Turn], visuals: int, time_sentence: str | None = None) -> list[Turn]:
    """New turns with one `<image>` for each visual input, and the time sentence in the first human turn.

    A lone `<image>` that does not stand at the start of its turn is moved there, as published. With nothing to be seen
    every `<image>` is taken out, with the line break after it. The given turns are left as they are, so that an item
    that is read again gets its sentence once again and not twice.

    Args:
        turns: as in the row; the first that is no system turn is the human's.
        visuals: videos (one at most) or pictures.
        time_sentence: says when the frames of the video were taken.

    Raises:
        BadRow: there are some `<image>`, but not as many as visual inputs, or not in the first human turn where the
            time sentence has to go.
    """
    if not visuals:
        return [_without_placeholders(turn) for turn in turns]
    turns = list(turns)
    first = next(i for i, turn in enumerate(turns) if turn.role == "user")
    held = [turn.text.count(PLACEHOLDER) if turn.role == "user" else 0 for turn in turns]
    if sum(held) not in (0, visuals):
        raise BadRow(f"conversations hold {PLACEHOLDER} {sum(held)} times for {visuals} videos or images")
    if sum(held) == held[first]:
        text = user_text(turns[first].text, visuals, time_sentence, "training")
        turns[first] = replace(turns[first], text=text)
    elif time_sentence is not None:
        raise BadRow(f"conversations hold {PLACEHOLDER} after the first human turn")
    return [_placeholder_first(turn) for turn in turns]


def _without_placeholders(turn: Turn) -> Turn:
    if turn.role != "user":
        return turn
    text = turn.text.replace(f"{PLACEHOLDER}\n", "").replace(PLACEHOLDER, "")
    return replace(turn, text=text)


def _placeholder_first(turn: Turn) -> Turn:
    text = turn.text
    if turn.role != "user" or text.count(PLACEHOLDER) != 1 or text.startswith(PLACEHOLDER):
        return turn
    return replace(turn, text=f"{PLACEHOLDER}\n{text.replace(PLACEHOLDER, '').strip()}")
