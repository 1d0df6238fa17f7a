"""Ways to spoil a question row that an oracle has to notice."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from .plain import PlainScene
from .rows import plain_kind

Row = dict[str, Any]
Mutant = Callable[[Row, PlainScene], Row | None]


def other_option(row: Row, scene: PlainScene) -> Row | None:
    """Another option is called right, letter and text alike."""
    if not row["options"]:
        return None
    spoilt = copy.deepcopy(row)
    letters = [o[0] for o in row["options"]]
    place = (letters.index(row["mc_answer"]) + 1) % len(letters)
    _answer(spoilt, letters[place], row["options"][place][3:])
    return spoilt


def other_letter(row: Row, scene: PlainScene) -> Row | None:
    """The letter moves on, the text stays."""
    if not row["options"]:
        return None
    spoilt = copy.deepcopy(row)
    letters = [o[0] for o in row["options"]]
    spoilt["mc_answer"] = letters[letters.index(row["mc_answer"]) - 1]
    return spoilt


def repeated_option(row: Row, scene: PlainScene) -> Row | None:
    """A wrong option becomes a copy of the right one."""
    if not row["options"]:
        return None
    spoilt = copy.deepcopy(row)
    right = next(o for o in row["options"] if o[0] == row["mc_answer"])
    place = next(i for i, o in enumerate(row["options"]) if o != right)
    spoilt["options"][place] = f"{row['options'][place][0]}. {right[3:]}"
    return spoilt


def number_off(row: Row, scene: PlainScene) -> Row | None:
    """The number is 20 % too large, and at least by one unit of its last digit."""
    if row["options"]:
        return None
    spoilt = copy.deepcopy(row)
    value = row["provenance"]["answer"]
    step = 1 if isinstance(value, int) else 0.1
    new = round(max(value * 1.2, value + step), 0 if step == 1 else 1)
    _answer(spoilt, None, int(new) if step == 1 else new)
    return spoilt


def swapped_objects(row: Row, scene: PlainScene) -> Row | None:
    """The first two objects change places, in the text as in the row."""
    kind = plain_kind(row["provenance"]["variant"])
    if not kind.startswith(("object_rel_direction", "obj_obj_relative_pos", "route_planning")):
        return None
    first, second, *_ = (o["category"] for o in row["provenance"]["objects"])
    return _renamed(row, {first: second, second: first}, scene)


def swapped_roles(row: Row, scene: PlainScene) -> Row | None:
    """The row's objects change places, the text stays."""
    kind = plain_kind(row["provenance"]["variant"])
    if not kind.startswith(("object_rel_direction", "obj_obj_relative_pos", "object_rel_distance", "route_planning")):
        return None
    spoilt = copy.deepcopy(row)
    spoilt["provenance"]["objects"][:2] = reversed(spoilt["provenance"]["objects"][:2])
    return spoilt


def other_object(row: Row, scene: PlainScene) -> Row | None:
    """The text speaks of an object that the row does not."""
    objects = row["provenance"]["objects"]
    if not objects:
        return None
    spoilt = copy.deepcopy(row)
    used = {o["category"] for o in objects}
    new = next(s for s in scene.solids if s.category not in used)
    changed = spoilt["provenance"]["objects"][0]
    changed["category"], changed["instance_id"] = new.category, new.key
    return spoilt


def unknown_object(row: Row, scene: PlainScene) -> Row | None:
    """An instance id that no object has."""
    if not row["provenance"]["objects"]:
        return None
    spoilt = copy.deepcopy(row)
    spoilt["provenance"]["objects"][-1]["instance_id"] = 9999
    return spoilt


def other_frames(row: Row, scene: PlainScene) -> Row | None:
    """Other frames in the row than in the text."""
    if not row["provenance"]["frames"]:
        return None
    spoilt = copy.deepcopy(row)
    for frame in spoilt["provenance"]["frames"]:
        frame["place"] = frame["place"] % len(scene.sampled) + 1
    return spoilt


def moved_path(row: Row, scene: PlainScene) -> Row | None:
    """The walk lies a metre aside."""
    if "polyline" not in row["provenance"]["details"]:
        return None
    spoilt = copy.deepcopy(row)
    spoilt["provenance"]["details"]["polyline"] = [[x + 1, y] for x, y in row["provenance"]["details"]["polyline"]]
    return spoilt


MUTANTS: dict[str, Mutant] = {
    m.__name__: m
    for m in (
        other_option,
        other_letter,
        repeated_option,
        number_off,
        swapped_objects,
        swapped_roles,
        other_object,
        unknown_object,
        other_frames,
        moved_path,
    )
}


def _answer(row: Row, letter: str | None, text: Any) -> None:
    """Call another answer right, wherever the row says it."""
    was_letter = row["ground_truth"] == row["mc_answer"]
    row["mc_answer"], row["provenance"]["answer"] = letter, text
    row["ground_truth"] = letter if was_letter else text if letter else str(text)


def _renamed(row: Row, names: dict[str, str], scene: PlainScene) -> Row:
    """Categories exchanged in the text, and the instance ids with them."""
    spoilt = copy.deepcopy(row)
    text = json.dumps([spoilt["question"], spoilt["options"]])
    for number, name in enumerate(names):
        text = text.replace(name, f"<{number}>").replace(name.capitalize(), f"<{number}>")
    for number, name in enumerate(names.values()):
        text = text.replace(f"<{number}>", name)
    spoilt["question"], spoilt["options"] = json.loads(text)
    for entry in spoilt["provenance"]["objects"]:
        if entry["category"] in names:
            entry["category"] = names[entry["category"]]
            entry["instance_id"] = scene.of(entry["category"])[0].key
    return spoilt
