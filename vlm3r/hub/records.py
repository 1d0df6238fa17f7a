"""What a training run says about itself, read for the model card and cleared for publication."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.hub.listing import RECIPE, RUN, SCORES
from vlm3r.hub.redaction import Redaction
from vlm3r.hub.secrets import refuse_homes, refuse_secrets
from vlm3r.plain_yaml import parse_yaml

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class DataRecord:
    """One file of training data."""

    name: str
    """What the run calls it, without folders of its machine."""
    sha256: str | None
    """Hash of its bytes, where recorded."""
    questions: int | None
    """Questions taken from it, where recorded."""


@dataclass(frozen=True)
class Score:
    """One line of a report."""

    task: str
    """Task or question type."""
    score: float
    """What the model reached."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end of the 95 % interval."""
    chance: float | None = None
    """What guessing reaches."""


@dataclass(frozen=True)
class Report:
    """Scores on one benchmark."""

    benchmark: str
    """Its name."""
    protocol: str
    """How it was measured."""
    rows: tuple[Score, ...]
    """The scores."""


@dataclass(frozen=True)
class Record:
    """One file about a run, cleared."""

    value: Any
    """Its content as plain values."""
    text: str | None
    """Text to publish where something was cut out of it; None where the file goes as it is."""
    changed: tuple[str, ...] = ()
    """Fields that were changed."""


@dataclass(frozen=True)
class Records:
    """All files about a run, by name; any of them may be missing."""

    files: Mapping[str, Record] = field(default_factory=dict)
    """File name to content."""

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe, or nothing."""
        return self._mapping(RECIPE)

    @property
    def run(self) -> dict[str, Any]:
        """Versions, data and base model, or nothing."""
        return self._mapping(RUN)

    def _mapping(self, name: str) -> dict[str, Any]:
        return self.files[name].value if name in self.files else {}

    @property
    def base_models(self) -> tuple[Any, ...]:
        """What the recipe calls the model that training started from; the first entry that is a text counts."""
        model = self.recipe.get("model")
        return (model.get("base"), model.get("source")) if isinstance(model, Mapping) else ()

    def data(self) -> tuple[DataRecord, ...]:
        """The files of training data that the run recorded."""
        data = self.run.get("data")
        files = data.get("files") if isinstance(data, Mapping) else None
        named = [file for file in files if _named(file)] if isinstance(files, list) else []
        return tuple(
            DataRecord(file["path"], _of(str, file.get("sha256")), _of(int, file.get("questions"))) for file in named
        )

    def report(self) -> Report | None:
        """The scores, or None where nothing was measured.

        Raises:
            UserError: the file lacks a field, or a score is no finite number.
        """
        if SCORES not in self.files:
            return None
        value = self.files[SCORES].value
        rows = value.get("rows")
        named = all(isinstance(value.get(key), str) and value[key] for key in ("benchmark", "protocol"))
        if not named or not isinstance(rows, list) or not rows:
            raise UserError(f"{SCORES}: needs benchmark, protocol and rows; write the report again or take it out")
        return Report(value["benchmark"], value["protocol"], tuple(_score(row) for row in rows))


def _named(file: Any) -> bool:
    return isinstance(file, Mapping) and isinstance(file.get("path"), str)


def _of(kind: type[Kind], value: Any) -> Kind | None:
    return value if isinstance(value, kind) else None


def _score(row: Any) -> Score:
    fields: Mapping[str, Any] = row if isinstance(row, Mapping) else {}
    numbers = [fields.get(name) for name in ("score", "low", "high", "chance")]
    usable = all(
        isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers if n is not None
    )
    task, score = fields.get("task"), numbers[0]
    if not usable or score is None or not isinstance(task, str):
        raise UserError(f"{SCORES}: every row needs a task and a finite score; write the report again or take it out")
    return Score(task, score, *numbers[1:])


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_records(paths: Mapping[str, Path]) -> Records:
    """The files about a run, free of secrets, with local paths cut to their last parts.

    Args:
        paths: name of a record to where it lies.

    Raises:
        UserError: a file is unreadable or holds a credential.
    """
    return Records({name: read_record(name, path) for name, path in paths.items()})


def read_record(name: str, path: Path) -> Record:
    """One file of JSON, JSON Lines or YAML, by its name's suffix, cleared.

    Raises:
        UserError: the file is unreadable, holds a credential, or names a home folder where nothing could be cut.
    """
    text = read_text(path)
    refuse_secrets(text, path)
    redaction = Redaction()
    values = [redaction.value(value) for value in _parse(name, path, text)]
    cleared = _dump(name, values) if redaction.changed else None
    refuse_homes(text if cleared is None else cleared, path)
    value = values if name.endswith(".jsonl") else values[0]
    return Record(value, cleared, tuple(redaction.changed))


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({first_line(error)}); write it again") from error
    if "\0" in text:
        raise UserError(f"{path}: is no text; take it out of the folder or write it again")
    return text


def _parse(name: str, path: Path, text: str) -> list[Any]:
    try:
        if name.endswith(".yaml"):
            values = [parse_yaml(text)]
        elif name.endswith(".jsonl"):
            values = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            values = [json.loads(text)]
    except (ValueError, RecursionError) as error:
        kind = name.rpartition(".")[2].upper()
        raise UserError(f"{path}: is no {kind} ({first_line(error)}); write it again or take it out") from error
    if not all(isinstance(value, dict) for value in values):
        raise UserError(f"{path}: holds something other than named fields; write it again or take it out")
    return values


def _dump(name: str, values: list[Any]) -> str:
    if name.endswith(".yaml"):
        return yaml.safe_dump(values[0], sort_keys=False, allow_unicode=True)
    if name.endswith(".jsonl"):
        return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
    return json.dumps(values[0], indent=2, ensure_ascii=False) + "\n"
