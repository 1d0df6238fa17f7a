"""Credentials and personal traces in text that is about to be published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError

TOKENS = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}|\bapi_org_[A-Za-z0-9]{20,}",
    "an API key (sk-...)": r"(?<![\w-])sk-[A-Za-z0-9_-]{16,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Google API key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a JSON Web Token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----",
    "a URL with credentials": r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@\"'<>]*:[^\s/@\"'<>]+@",
    "a bearer token": r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}",
}
"""What a token looks like by itself, wherever it stands."""

_NAMES = (
    r"pass(?:word|wd|phrase)|credentials?|secret(?:[_-]?(?:access)?[_-]?key)?|private[_-]?key|api[_-]?key|"
    r"access[_-]?key(?:[_-]?id)?|(?:access|auth|api|bearer|hf|hub|huggingface|hugging_face_hub|wandb|github)[_-]?token"
)
# Values that are no secret: nothing, a switch, a reference to an environment variable, asterisks.
_HARMLESS = r"(?:null|none|true|false|~|\$\{?\w+\}?|<[^>]*>|\*+|\.\.\.|\[\]|\{\})(?=[\s\"',;&}\]]|$)"
_VALUE = rf"(?!{_HARMLESS})[^\s\"',;&}}\]{{\[]{{3,}}"
ASSIGNMENT = re.compile(
    rf"(?i)(?:{_NAMES})[\"']?\s*[:=]\s*[\"']?{_VALUE}|--?(?:token|[\w-]*(?:{_NAMES}))(?:\s+|[\"'],\s*)[\"']?(?!-){_VALUE}"
)
"""A value beside a name that says it is secret: `password: x`, `"api_key": "x"`, `--hf-token x`, `"--token", "x"`."""

HOME = re.compile(r"(?<![\w.])(?:/home/|/Users/|/root/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]*")
"""A home folder, which names its owner."""

KINDS = {kind: re.compile(pattern) for kind, pattern in TOKENS.items()}


@dataclass(frozen=True)
class Finding:
    """One suspicious place."""

    line: int
    """Line number, from 1."""
    kind: str
    """What it looks like; never the text itself."""


def find_secrets(text: str, vocabulary: bool = False) -> Iterator[Finding]:
    """Places that look like credentials.

    Args:
        text: any text.
        vocabulary: whether it is a tokenizer's vocabulary, whose entries may well be `password` beside a number.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        for kind, pattern in KINDS.items():
            if pattern.search(line):
                yield Finding(number, kind)
        if not vocabulary and ASSIGNMENT.search(line):
            yield Finding(number, "a password, key or token beside its name")


def refuse_secrets(text: str, source: str | Path, vocabulary: bool = False) -> None:
    """Raise unless a text is free of credentials.

    Raises:
        UserError: names the source, the line and the kind, and not the secret.
    """
    for finding in find_secrets(text, vocabulary):
        raise UserError(f"{source}: line {finding.line} holds {finding.kind}; take it out, and revoke it if it is real")


def refuse_homes(text: str, source: str | Path) -> None:
    """Raise if a text names somebody's home folder.

    Raises:
        UserError: names the source and the line.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if HOME.search(line):
            raise UserError(f"{source}: line {number} names a home folder of this machine; take it out")
