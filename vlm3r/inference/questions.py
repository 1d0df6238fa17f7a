"""Files of questions about one clip: a question a line, or JSON Lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import first_line


@dataclass(frozen=True)
class AskedQuestion:
    """One question, and what it is called where it comes from."""

    text: str
    """What is asked."""
    origin: str
    """Where it stands, for messages: file and line, or the option."""
    id: str | int | None = None
    """Its name in a JSON Lines file."""


def read_questions(path: Path) -> list[AskedQuestion]:
    """The questions of a file, in its order; blank lines are left out.

    A file is JSON Lines if it is called `.jsonl` or its first line with anything on it begins with a brace: then each
    line is an object with `question` and, if wanted, `id`; other entries are not read. In any other file a line is a
    question.

    Raises:
        UserError: the file is missing, holds no question or is no UTF-8 text, a line is no question, or two have one
            `id`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); give a UTF-8 file of questions") from error
    # Not splitlines: JSON and prose may hold line separators of Unicode inside a line.
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: holds no question; write one on each line")
    if path.suffix.lower() != ".jsonl" and not lines[0][1].startswith("{"):
        return [AskedQuestion(line, f"{path}, line {number}") for number, line in lines]
    questions = [_of_json(line, f"{path}, line {number}") for number, line in lines]
    _check_ids(questions)
    return questions


def _of_json(line: str, origin: str) -> AskedQuestion:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{origin}: is no JSON ({first_line(error)}); write an object with `question`") from None
    question, name = (row.get("question"), row.get("id")) if isinstance(row, dict) else (None, None)
    if not isinstance(question, str) or not question.strip():
        raise UserError(f"{origin}: has no text under `question`; write what to ask there")
    if not isinstance(name, str | int | None) or isinstance(name, bool):
        raise UserError(f"{origin}: its `id` is {name!r}; give a text or a whole number, or leave it out")
    if not (is_text(question) and is_text(str(name))):
        raise UserError(f"{origin}: holds half a character, which is no UTF-8; write the whole character")
    return AskedQuestion(question, origin, name)


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8: one with a lone surrogate, half a character, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(questions: list[AskedQuestion]) -> None:
    seen: dict[str | int, str] = {}
    for question in questions:
        if question.id is None:
            continue
        if question.id in seen:
            raise UserError(
                f"{question.origin}: `id` {question.id!r} stands in {seen[question.id]} already; change one"
            )
        seen[question.id] = question.origin
