"""Question rows as plain data, and what must hold of a row whatever its task."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .judge import Judge
from .plain import PlainScene, Solid

UNIQUE_TYPES = ("object_size_estimation", "object_abs_distance", "object_rel_direction", "route_planning")
"""Every asked object must be the only one of its category."""
_ALIASES = {"hard": "v1", "medium": "v2", "easy": "v3"}
_REFERENCE = re.compile(
    r"(?:compared with|relative to|than|side of|(?:right|left|up|down) (?:of|from)|below \(down\)) the ", re.I
)
_SUBJECT = re.compile(r"which holds for the ", re.I)
SEEN_ALWAYS = ("object_", "obj_", "camera_obj_", "route_planning")


@dataclass(frozen=True)
class Asked:
    """One question with what it claims to be about."""

    row_id: str
    kind: str
    """Question type."""
    text: str
    options: tuple[str, ...]
    """Texts without letters."""
    letters: tuple[str, ...]
    letter: str | None
    answer: str | float
    """Text of the right option or the number."""
    scene_id: str
    objects: tuple[int, ...]
    """Instance ids in the order of the roles."""
    frames: tuple[int, ...]
    """1-based among the sampled frames."""
    details: Mapping[str, Any]

    def solids(self, scene: PlainScene) -> list[Solid]:
        """The asked objects; unknown ids are left out and reported by `check_row`."""
        return [scene.by_key[i] for i in self.objects if i in scene.by_key]


def read_rows(path: Path) -> Iterator[Asked]:
    """The questions of a JSON Lines file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield asked_of(json.loads(line))


def asked_of(row: Mapping[str, Any]) -> Asked:
    """One row of the benchmark or the training format."""
    if "conversations" in row:
        row = _from_training(row)
    options = [str(o) for o in row.get("options") or []]
    split = [re.fullmatch(r"([A-Z])\. (.*)", o, re.DOTALL) for o in options]
    provenance = row.get("provenance", {})
    letter = row.get("mc_answer")
    answer = row["ground_truth"]
    if letter is None:
        answer = float(answer)
    elif answer == letter and provenance.get("answer") is not None:
        answer = provenance["answer"]  # VSI-Bench rows carry the letter, the text is beside it
    return Asked(
        row_id=str(row.get("id")),
        kind=plain_kind(str(provenance.get("variant", row["question_type"]))),
        text=row["question"],
        options=tuple(m.group(2) if m else o for m, o in zip(split, options, strict=True)),
        letters=tuple(m.group(1) if m else "" for m in split),
        letter=letter or None,
        answer=answer,
        scene_id=str(provenance.get("scene", row.get("scene_name"))),
        objects=tuple(o["index"] if o["instance_id"] is None else o["instance_id"] for o in provenance["objects"]),
        frames=tuple(f["place"] for f in provenance["frames"]),
        details=provenance.get("details") or {},
    )


def _from_training(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a benchmark row, read from what the model is told and has to answer."""
    asked, told = (turn["value"] for turn in row["conversations"])
    head, *lines, _ = asked.removeprefix("<image>\n").split("\n")
    end = lines.index("Options:") if "Options:" in lines else len(lines)
    options = lines[end + 1 :]
    return {
        "id": row["id"],
        "question_type": row["question_type"],
        "question": "\n".join(lines[:end]) if head == "These are frames of a video." else "",
        "options": options or None,
        "mc_answer": told if options else None,
        "ground_truth": told,
        "provenance": row["provenance"],
        "scene_name": row["scene_name"],
    }


def plain_kind(name: str) -> str:
    """A question type with its difficulty as a version."""
    if name == "object_rel_distance":
        return "object_rel_distance_v1"
    start, _, end = name.rpartition("_")
    return f"{start}_{_ALIASES[end]}" if end in _ALIASES else name


def mentions(scene: PlainScene, text: str) -> list[str]:
    """Categories of the scene in the order in which a text names them; a "desk lamp" is no "desk"."""
    names = sorted({s.category for s in scene.solids}, key=len, reverse=True)
    if not names:
        return []
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b", re.IGNORECASE)
    lower = {n.lower(): n for n in names}
    return [lower[m.group(0).lower()] for m in pattern.finditer(text)]


def check_row(scene: PlainScene, asked: Asked, judge: Judge) -> None:
    """Letter, options, uniqueness and visibility."""
    if asked.options:
        _check_options(asked, judge)
    else:
        positive = isinstance(asked.answer, int | float) and asked.answer > 0
        judge.require(positive, f"answer {asked.answer!r} without options is no number above 0")
    judge.require(all(i in scene.by_key for i in asked.objects), "asks about unknown instance ids")
    solids = asked.solids(scene)
    if asked.kind.startswith(UNIQUE_TYPES):
        for solid in solids:
            judge.require(scene.is_single(solid.category), f"{solid.category} is not unique")
    _check_mentions(scene, asked, solids, judge)
    if scene.has_sightings and asked.kind.startswith(SEEN_ALWAYS):
        _check_visibility(scene, asked, solids, judge)


def _check_options(asked: Asked, judge: Judge) -> None:
    expected = tuple("ABCDEFGH"[: len(asked.options)])
    judge.require(asked.letters == expected, f"option letters are {asked.letters}")
    judge.require(len(set(asked.options)) == len(asked.options), "two options are the same")
    if judge.require(asked.letter in expected, f"answer letter is {asked.letter!r}"):
        chosen = asked.options[expected.index(str(asked.letter))]
        judge.require(chosen == asked.answer, f"letter {asked.letter} says {chosen!r}, the answer {asked.answer!r}")


def _check_mentions(scene: PlainScene, asked: Asked, solids: list[Solid], judge: Judge) -> None:
    text = " ".join((asked.text, *asked.options)).lower()
    for solid in solids:
        stem = solid.category.lower()[: -2 if asked.kind == "object_counting" else None]  # plurals may differ
        judge.require(stem in text, f"{solid.category} is asked about but not mentioned")
    _check_roles(scene, asked, [s.category for s in solids], judge)
    numbers = set(map(int, re.findall(r"\d+", asked.text)))
    if asked.frames:
        needed = {*asked.frames, len(scene.sampled)}
        judge.require(needed <= numbers, f"frame numbers {sorted(needed)} are not all in the text")
        judge.require(all(f in scene.numbers for f in asked.frames), "a frame number is out of range")


def _check_roles(scene: PlainScene, asked: Asked, categories: list[str], judge: Judge) -> None:
    """Where the order of the asked objects matters, the text must give them the same roles."""
    named = list(dict.fromkeys(mentions(scene, asked.text)))
    if asked.kind.startswith("object_rel_direction"):
        judge.require(named == categories, f"text names {named}, row {categories}")
    elif asked.kind.startswith("object_rel_distance"):
        primary = [c for c in named if c not in asked.options]
        judge.require(primary == categories[:1], f"text asks about {primary}, row about {categories[:1]}")
    elif asked.kind.startswith("obj_obj_relative_pos"):
        after = [asked.text[m.end() :] for m in _REFERENCE.finditer(asked.text)]
        references = {mentions(scene, rest)[0] for rest in after if mentions(scene, rest[:40])}
        if not references and (subject := _SUBJECT.search(asked.text)):
            references = set(named) - {mentions(scene, asked.text[subject.end() :])[0]}
        if len(references) == 1:
            judge.require(references == set(categories[1:]), f"text compares with {references}, row {categories}")
        else:
            judge.undecided.append("cannot read from the text which object is compared with which")


def _check_visibility(scene: PlainScene, asked: Asked, solids: list[Solid], judge: Judge) -> None:
    numbers = asked.frames or scene.numbers
    found = [scene.visible(scene.seen(n)) for n in numbers if n in scene.numbers]
    for solid in solids:
        times = sum(solid.key in visible for visible in found)
        enough = times == len(found) if asked.frames else times > 0
        judge.require(enough, f"{solid.category} {solid.key} is not to be seen in the frames")
