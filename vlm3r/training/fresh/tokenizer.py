"""A small Qwen2 tokenizer, trained on questions and answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2Tokenizer

from vlm3r.errors import UserError
from vlm3r.processing.prompts import PLACEHOLDER, SYSTEM_MESSAGE
from vlm3r.processing.sampling import time_instruction
from vlm3r.training.data.row_files import parse_found, row_identity, scan_rows
from vlm3r.training.data.rows import BadRow

ALWAYS = (SYSTEM_MESSAGE, "system\n", "user\n", "assistant\n", time_instruction(12.5, [0.0, 1.25]))
"""What prompts hold beside the questions."""


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer in Qwen2's form with at most `vocabulary` tokens before the markup tokens.

    It is trained below the Qwen2 class, so that the markup tokens come last and a lone newline gets id 198, as in
    Qwen2's own, where training supervises that id everywhere.
    """
    trained: Any = Qwen2Tokenizer().backend_tokenizer
    trainer = BpeTrainer(vocab_size=vocabulary, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False)
    trained.train_from_iterator([*texts, *ALWAYS], trainer)
    model = json.loads(trained.to_str())["model"]
    merges: Any = [tuple(merge) for merge in model["merges"]]  # the signature names other types than it takes
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=merges)
    tokenizer.add_special_tokens(
        {
            "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "extra_special_tokens": ["<|im_start|>", "<|im_end|>"],
        }
    )
    return tokenizer


def corpus(files: Iterable[Path]) -> Iterator[str]:
    """The turns of training rows, without placeholders.

    Raises:
        UserError: a file cannot be read, or one of its rows cannot be learnt from.
    """
    for path in files:
        for found in scan_rows(path):
            try:
                row = parse_found(found, path, path.parent)
            except BadRow as fault:
                raise UserError(f"{row_identity(path, found.position)}: {fault}; mend or remove it") from fault
            yield from (turn.text.replace(PLACEHOLDER, "") for turn in row.turns)
