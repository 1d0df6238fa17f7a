"""The rows of a file of questions, whatever its format; rows that cannot be read are said so, one by one."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import first_line

UNREADABLE = (ValueError, TypeError, RecursionError)


@dataclass(frozen=True)
class RawRow:
    """One row as it stands in the file."""

    number: int
    """Its line, or its place in a list or table, from 1."""
    value: Any
    """What it holds; None where it cannot be read."""
    problem: str | None = None
    """Why it cannot be read."""


def read_rows(file: Path) -> Iterator[RawRow]:
    """The rows of a table (`.parquet`), a list (`.json`) or, by any other name, of JSON Lines; blank lines are no rows.

    Raises:
        UserError: the file cannot be read as a whole, or it is a table and pyarrow is not installed.
    """
    try:
        if file.suffix.lower() == ".parquet":
            yield from _table(file)
        elif file.suffix.lower() == ".json" and _begins_with_bracket(file):
            yield from _list(file)
        else:
            yield from _lines(file)
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read ({first_line(error)}); name a file of questions, as `vlm3r qa generate` makes them"
        ) from None


def options_of(value: Any) -> Any:
    """Options as a list where a row holds the list as text, as one published file does; anything else as it is."""
    if not isinstance(value, str) or not value.strip().startswith("["):
        return value
    try:
        return list(ast.literal_eval(value.strip()))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return value


def _lines(file: Path) -> Iterator[RawRow]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except UNREADABLE as error:
                yield RawRow(number, None, f"no row of questions ({first_line(error)})")
            else:
                yield RawRow(number, value)


def _list(file: Path) -> Iterator[RawRow]:
    try:
        rows = json.loads(file.read_bytes())
    except UNREADABLE as error:
        raise UserError(f"{file}: is no JSON list ({first_line(error)}); copy or download it again") from None
    for number, value in enumerate(rows, 1):
        yield RawRow(number, value)


def _table(file: Path) -> Iterator[RawRow]:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UserError(
            f"{file}: is a parquet table, and reading it needs pyarrow: pip install -e '.[eval]' in the clone"
        ) from None
    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches():
                for value in batch.to_pylist():
                    number += 1
                    yield RawRow(number, value)
    except arrow.ArrowException as error:
        raise UserError(f"{file}: is no sound parquet table ({first_line(error)}); copy or download it again") from None


def _begins_with_bracket(file: Path) -> bool:
    with file.open("rb") as lines:
        return next((line for line in lines if line.strip()), b"").lstrip().startswith(b"[")
