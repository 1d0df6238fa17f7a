"""What the answers of a run depend on, and in what two runs differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

ABSENT = "(absent)"
LONGEST = 24


def short_hash(fingerprint: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """One line per value that differs: its name and both values, long ones cut."""
    left, right = _flat(first), _flat(second)
    return [
        f"{name}: {_shown(left.get(name, ABSENT))} and {_shown(right.get(name, ABSENT))}"
        for name in dict.fromkeys([*left, *right])
        if left.get(name, ABSENT) != right.get(name, ABSENT)
    ]


def _flat(record: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
