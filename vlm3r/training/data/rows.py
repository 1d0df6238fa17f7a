"""One row of training data: a conversation about a video, about pictures, or about nothing to be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vlm3r.processing.prompts import Turn

ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
"""Speakers as data files name them."""
TASK_FIELDS = ("question_type", "task", "data_source")
"""Fields that name a row's task, in order of preference."""


class BadRow(ValueError):
    """A row that cannot be learnt from; the message names the field."""


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation and what it is about."""

    identity: str
    """Where it stands: file, colon, line of a JSON Lines file or number in a JSON list, from 1."""
    source: str
    """The file."""
    task: str
    """What kind of question it is, for losses by task."""
    video: Path | None
    """The video that it is about."""
    images: tuple[Path, ...]
    """The pictures that it is about; never beside a video."""
    turns: tuple[Turn, ...]
    """What is said: a human turn first (after a system turn, if any), with an answer among the rest."""

    @property
    def text_bytes(self) -> int:
        """Size of the conversation in bytes of UTF-8, with 16 a turn for markup."""
        return sum(len(turn.text.encode()) + 16 for turn in self.turns)


def parse_row(record: Any, identity: str, source: Path, root: Path) -> Row:
    """The row in a decoded JSON record.

    Args:
        record: with `conversations` (`from` and `value`, or `role` and `content`) and `video` (a path), `image` (a
            path or a list of them) or neither.
        identity: name of the row.
        source: the file that it is from.
        root: folder that its paths are relative to.

    Raises:
        BadRow: a field is missing or holds something else.
    """
    if not isinstance(record, dict):
        raise BadRow(f"is {_kind(record)}, not an object")
    video, images = record.get("video"), record.get("image")
    if video is not None and images is not None:
        raise BadRow("has both video and image; give one of them")
    if video is not None and not (isinstance(video, str) and video):
        raise BadRow(f"video is {_kind(video)}, not a path")
    paths = [images] if isinstance(images, str) else [] if images is None else images
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        raise BadRow(f"image is {_kind(images)}, not a path or a list of paths")
    if images is not None and not paths:
        raise BadRow("image is an empty list")
    for name, path in [("video", video), *(("image", path) for path in paths)]:
        _check_text(path or "", name)
        if "\0" in (path or ""):
            raise BadRow(f"{name} holds a null character, which no path can")
    return Row(
        identity,
        str(source),
        _task(record, source),
        None if video is None else root / video,
        tuple(root / path for path in paths),
        _turns(record),
    )


def _task(record: Mapping[str, Any], source: Path) -> str:
    for name in TASK_FIELDS:
        value = record.get(name)
        if isinstance(value, str) and value:
            _check_text(value, name)
            return value
    return source.stem


def _turns(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    said = record.get("conversations")
    if not isinstance(said, list):
        missing = "conversations" not in record
        raise BadRow("conversations is missing" if missing else f"conversations is {_kind(said)}, not a list of turns")
    turns = [_turn(value, number) for number, value in enumerate(said)]
    while turns and turns[0].role == "assistant":
        # As published: what is said before the first question is no answer to anything.
        del turns[0]
    asked = [turn for turn in turns if turn.role != "system"]
    if not asked or asked[0].role != "user" or all(turn.role != "assistant" for turn in asked):
        raise BadRow("conversations needs a human turn and a gpt turn that answers it")
    if any(turn.role == "system" for turn in turns[1:]):
        raise BadRow("conversations has a system turn after its start")
    return tuple(turns)


def _turn(value: Any, number: int) -> Turn:
    where = f"conversations[{number}]"
    if not isinstance(value, dict):
        raise BadRow(f"{where} is {_kind(value)}, not an object")
    who, what = ("from", "value") if "from" in value else ("role", "content")
    speaker, text = value.get(who), value.get(what)
    if not isinstance(speaker, str) or speaker not in ROLES:
        raise BadRow(f"{where}.{who} is {speaker!r}; give human or gpt")
    if not isinstance(text, str):
        raise BadRow(f"{where}.{what} is {_kind(text)}, not text")
    if not text.strip():
        raise BadRow(f"{where}.{what} is empty")
    _check_text(text, f"{where}.{what}")
    return Turn(ROLES[speaker], text)


def _check_text(text: str, where: str) -> None:
    """Raise `BadRow` for what JSON can spell and UTF-8 cannot: one half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{where} holds half a character (\\u{ord(text[error.start]):04x})") from error


def _kind(value: Any) -> str:
    """What a JSON value is, for messages."""
    if value is None or value == "":
        return "missing" if value is None else "empty text"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
