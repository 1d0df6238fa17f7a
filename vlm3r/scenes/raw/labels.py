"""What annotated objects are called in questions, and which are left out: the tables in `labels.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from vlm3r.errors import UserError
from vlm3r.plain_yaml import parse_yaml

ANY = "any"
"""Entry of a table that holds for every data set."""

_BLANKS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class LabelTable:
    """One table's rules for one data set."""

    keep: frozenset[str] | None
    """Only these labels; None for all."""
    drop: frozenset[str]
    rename: Mapping[str, str]
    exclude: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Scene id -> categories that are left out of that scene."""
    spelling: bool = False
    """Whether labels are compared without regard to case, underscores, hyphens and runs of blanks."""

    def category(self, label: str, scene_id: str) -> str | None:
        """What an object with this label is called; None where it is left out."""
        label = _BLANKS.sub(" ", label).strip().lower() if self.spelling else label
        if not label or label in self.drop or (self.keep is not None and label not in self.keep):
            return None
        category = self.rename.get(label, label)
        return None if category in self.exclude.get(scene_id, ()) else category


def label_table(name: str, dataset: str) -> LabelTable:
    """A table's rules for a data set.

    Args:
        name: `ours`, `published` or `vsibench`.
        dataset: `scannet`, `scannetpp` or `arkitscenes`.

    Raises:
        UserError: there is no such table, or it says nothing of the data set.
    """
    tables = _tables()
    if name not in tables:
        raise UserError(f"--labels {name}: give {', '.join(sorted(tables))}")
    table = tables[name]
    rules = table.get(ANY, table.get(dataset))
    if rules is None:
        raise UserError(f"--labels {name}: has no labels for {dataset}; give ours")
    return LabelTable(
        keep=_words(rules["keep"]) if "keep" in rules else None,
        drop=_words(rules.get("drop", ())),
        rename=rules.get("rename", {}),
        exclude={scene: _words(left_out) for scene, left_out in rules.get("exclude", {}).items()},
        spelling=ANY in table,
    )


@cache
def _tables() -> Mapping[str, Any]:
    return parse_yaml(files("vlm3r.scenes.raw").joinpath("labels.yaml").read_text(encoding="utf-8"))


def _words(entries: Sequence[str | Sequence[str]]) -> frozenset[str]:
    """Labels in a list, or in a list of lists."""
    return frozenset(word for entry in entries for word in ([entry] if isinstance(entry, str) else entry))
