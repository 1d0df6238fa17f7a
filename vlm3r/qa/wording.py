"""Question texts: templates as data, chosen by seed, filled with correct grammar.

The templates lie in `wording.yaml`. They are checked when they are first used: each must name exactly the slots of its
question type, so that no question can lack a fact or show an unfilled slot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import numpy as np
import yaml

from vlm3r.errors import UserError
from vlm3r.qa.grammar import FORMS, Phrases, sentence_case

Style = Literal["ours", "vsibench"]
STYLES: tuple[Style, ...] = get_args(Style)

SLOTS: Mapping[str, frozenset[str]] = {
    "object_counting": frozenset({"category"}),
    "object_size_estimation": frozenset({"category"}),
    "room_size_estimation": frozenset(),
    "object_abs_distance": frozenset({"first", "second"}),
    "object_rel_distance": frozenset({"category", "choices"}),
    "object_rel_direction_v1": frozenset({"standing", "facing", "queried"}),
    "object_rel_direction_v2": frozenset({"standing", "facing", "queried"}),
    "object_rel_direction_v3": frozenset({"standing", "facing", "queried"}),
    "obj_appearance_order": frozenset({"categories"}),
    "route_planning": frozenset({"start", "facing", "goal", "steps"}),
    "camera_obj_abs_dist": frozenset({"category", "frame", "total"}),
    "camera_obj_rel_dist": frozenset({"frame", "total", "choices"}),
    "obj_obj_relative_pos_nf": frozenset({"first", "second", "frame", "total"}),
    "obj_obj_relative_pos_lr": frozenset({"first", "second", "frame", "total"}),
    "obj_obj_relative_pos_ud": frozenset({"first", "second", "frame", "total"}),
    "camera_displacement": frozenset({"start", "end", "total"}),
    "camera_movement_direction": frozenset({"start", "end", "total"}),
    "camera_obj_dist_change": frozenset({"category", "start", "end", "total"}),
}
"""What each kind of question must say. `choices` are the options' texts in their lettered order."""

BLANK = {"ours": "[turn?]", "vsibench": "[please fill in]"}
STEP_SEPARATOR = " | "
TURN = "?"
VERSION = re.compile(r"_v\d$")


def word(
    question_type: str,
    slots: Mapping[str, str],
    choices: Sequence[str],
    style: Style,
    rng: np.random.Generator,
) -> str:
    """The question's text.

    Args:
        question_type: Name of the type; a version such as `_v2` is ignored where the wording does not depend on it.
        slots: Category names without articles, frame numbers; `steps` of a route as `? | table | ? | sofa`, where
            `?` is a turn to be filled in and a name the object to walk to.
        choices: The options' texts in their lettered order.
        style: "ours" or "vsibench".
        rng: Chooses among the paraphrases.

    Raises:
        UserError: unknown style.
        KeyError: a type that has no wording, or a slot that is missing; both are defects of a task.
    """
    family = wording_family(question_type)
    templates = load_templates()[family]
    if style not in templates:
        raise UserError(f"unknown style {style!r}: give {' or '.join(STYLES)}")
    template = templates[style][int(rng.integers(len(templates[style])))]
    values: dict[str, Any] = {**slots, "choices": tuple(choices)}
    if "steps" in SLOTS[family]:
        values["steps"] = _steps(slots["steps"], style)
    return sentence_case(Phrases().vformat(template, (), values))


def wording_family(question_type: str) -> str:
    """The key of `SLOTS` under which a question type's templates stand.

    Raises:
        KeyError: there is none.
    """
    for name in (question_type, VERSION.sub("", question_type)):
        if name in SLOTS:
            return name
    raise KeyError(f"no wording for question type {question_type}")


@cache
def load_templates() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The templates by family and style, checked against `SLOTS`."""
    text = files("vlm3r.qa").joinpath("wording.yaml").read_text(encoding="utf-8")
    return check_templates(yaml.safe_load(text))


def check_templates(templates: Mapping[str, Mapping[str, Sequence[str]]]) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The same templates, if every type and style is there and every template uses exactly its slots.

    Raises:
        ValueError: what is wrong, with the template.
    """
    if different := set(templates) ^ set(SLOTS):
        raise ValueError(f"wording.yaml and the list of slots differ in {sorted(different)}")
    for family, styles in templates.items():
        for style in STYLES:
            if not styles.get(style):
                raise ValueError(f"wording.yaml: {family} has no template of style {style}")
            for template in styles[style]:
                _check_slots(family, template)
    return templates


def _check_slots(family: str, template: str) -> None:
    fields = [(name, form) for _, name, form, _ in Phrases().parse(template) if name is not None]
    if {name for name, _ in fields} != SLOTS[family]:
        raise ValueError(f"wording.yaml: {family}: {template!r} must use exactly {sorted(SLOTS[family])}")
    if unknown := {form for _, form in fields if form} - set(FORMS):
        raise ValueError(f"wording.yaml: {family}: {template!r} asks for unknown forms {sorted(unknown)}")


def _steps(steps: str, style: Style) -> str:
    """The numbered actions of a route, with blanks for its turns."""
    walk = "Go forward until the {}."
    actions = [BLANK[style] if step == TURN else walk.format(step) for step in steps.split(STEP_SEPARATOR)]
    return " ".join(f"{number}. {action}" for number, action in enumerate(actions, 1))
