"""A temporary folder that holds exactly what is going to be uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vlm3r.checkpoints.published import write_tensors
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.hub.listing import VOCABULARY
from vlm3r.hub.records import read_record, read_text
from vlm3r.hub.secrets import refuse_homes, refuse_secrets
from vlm3r.hub.weights import check_weights
from vlm3r.inference.fingerprint import file_hash


@dataclass(frozen=True)
class Entry:
    """One file to upload."""

    path: str
    """Path in the repository."""
    size: int
    """Bytes."""
    sha256: str
    """Hash of its bytes."""


@dataclass
class Stage:
    """Collects checked files under the names that they will have in the repository."""

    folder: Path
    """An existing, empty folder."""
    notices: list[str] = field(default_factory=list)
    """What was changed or left out on the way, one line each."""
    weights: dict[str, int] = field(default_factory=dict)
    """Number of weights by file."""

    def add(self, name: str, source: Path) -> None:
        """Take a file over: weights as they are, text after a look for secrets, other JSON without local paths.

        Raises:
            UserError: the file is broken, or holds what must not be published.
        """
        base = Path(name).name
        if base.endswith(".safetensors"):
            self.weights[name] = check_weights(source, source)
        elif base.endswith((".json", ".jsonl", ".yaml")) and base not in VOCABULARY:
            self.add_fields(name, source)
            return
        else:
            text = read_text(source)
            refuse_secrets(text, source, vocabulary=base in VOCABULARY)
            if base.endswith(".json"):
                _check_json(text, source)
            if base not in VOCABULARY:
                refuse_homes(text, source)
        self._link(name, source)

    def add_fields(self, name: str, source: Path, changes: Mapping[str, Any] | None = None) -> None:
        """Take a file of named fields over, some of them changed, without local paths.

        Raises:
            UserError: the file is broken, or holds a credential.
        """
        record = read_record(name, source)
        if record.changed:
            listed = ", ".join(record.changed[:4]) + (", ..." if len(record.changed) > 4 else "")
            self.notices.append(f"{source}: local paths and names cut out of {len(record.changed)} fields ({listed})")
        if changes:
            self.write(name, json.dumps(record.value | dict(changes), indent=2, ensure_ascii=False) + "\n", source)
        elif record.text is not None:
            self.write(name, record.text, source)
        else:
            self._link(name, source)

    def write(self, name: str, text: str, source: str | Path) -> None:
        """Write a text file after a look for secrets.

        Raises:
            UserError: the text holds what must not be published.
        """
        refuse_secrets(text, source)
        refuse_homes(text, source)
        path = self.place(name)
        # Never through a hard link into somebody's checkpoint.
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    def add_tensors(self, name: str, tensors: Mapping[str, Tensor], source: Path) -> None:
        """Write tensors that were read from another kind of file as safetensors, after a look at them.

        Raises:
            UserError: there are none, or one holds NaN or infinity.
        """
        write_tensors(tensors, self.place(name))
        self.weights[name] = check_weights(self.place(name), source)

    def place(self, name: str) -> Path:
        """Where the file of that name is to be written."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _link(self, name: str, source: Path) -> None:
        """Put the file there without copying it; a hard link keeps what was checked if the original is replaced."""
        try:
            os.link(source.resolve(), self.place(name))
        except OSError:
            self.place(name).symlink_to(source.resolve())

    def entries(self) -> tuple[Entry, ...]:
        """The collected files, in the order of their paths."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return tuple(
            Entry(path.relative_to(self.folder).as_posix(), path.stat().st_size, file_hash(path)) for path in paths
        )


def _check_json(text: str, source: Path) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: is no JSON ({first_line(error)}); write the checkpoint again") from error
