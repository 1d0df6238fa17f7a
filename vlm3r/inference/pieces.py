"""Text of ids that come one after another, in pieces that together are exactly the whole text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

UNSURE = re.compile(r"[\s\ufffd]+\Z")
"""An end that may still change: a character whose bytes are not all there, or space that an answer loses at its end."""


class TextPieces:
    """Ids in, text out as soon as nothing that follows can change it; special tokens dropped, the whole stripped.

    Byte-level tokens may cut a character in two, which then waits for its other half.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0

    def push(self, ids: Iterable[int]) -> str:
        """The next piece after `ids`; often empty."""
        self._ids.extend(ids)
        return self._next(UNSURE.sub("", self._text()).lstrip())

    def rest(self) -> str:
        """What is left when no more ids come."""
        return self._next(self._text().strip())

    def _text(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)

    def _next(self, text: str) -> str:
        piece = text[self._given :]
        self._given += len(piece)
        return piece


class CallbackStreamer(BaseStreamer):
    """Hands the text of one answer to a function while `generate` makes it."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]):
        self._pieces = TextPieces(tokenizer)
        self._on_text = on_text
        self._prompt_is_next = True

    def put(self, value: Tensor) -> None:
        """Called by `generate` with the prompt's ids `(1, token)` first, then with each new id `(1,)`."""
        if self._prompt_is_next:
            self._prompt_is_next = False
            return
        if piece := self._pieces.push(value.flatten().tolist()):
            self._on_text(piece)

    def end(self) -> None:
        """Called by `generate` after the last id."""
        if piece := self._pieces.rest():
            self._on_text(piece)
