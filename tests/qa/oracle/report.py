"""Runs every check over scenes and questions and tabulates the verdicts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import route, vsi, vsti
from .judge import Judge
from .plain import PlainScene
from .rows import Asked, check_row
from .sights import check_scene

Check = Callable[[PlainScene, Asked, Judge], None]

CHECKS: dict[str, Check] = {
    "object_counting": vsi.object_counting,
    "object_size_estimation": vsi.object_size_estimation,
    "room_size_estimation": vsi.room_size_estimation,
    "object_abs_distance": vsi.object_abs_distance,
    "object_rel_distance": vsi.object_rel_distance,
    "object_rel_direction": vsi.object_rel_direction,
    "obj_appearance_order": vsi.obj_appearance_order,
    "route_planning": route.route_planning,
    "camera_obj_abs_dist": vsti.camera_obj_abs_dist,
    "camera_obj_rel_dist": vsti.camera_obj_rel_dist,
    "camera_obj_dist_change": vsti.camera_obj_dist_change,
    "camera_displacement": vsti.camera_displacement,
    "camera_movement_direction": vsti.camera_movement_direction,
    "obj_obj_relative_pos": vsti.obj_obj_relative_pos,
}
"""Checks by the beginning of the question type; no beginning is the beginning of another."""


@dataclass
class Tally:
    """Verdicts on one question type."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Reasons with their numbers taken out."""
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def checked(self) -> int:
        """Number of items."""
        return self.verdicts.total()

    @property
    def disagreement(self) -> float:
        """Share of items that are wrong, undecided ones left out of neither side."""
        return self.verdicts["disagree"] / max(self.checked, 1)

    def add(self, name: str, judge: Judge, keep: int = 3) -> None:
        """Count one verdict; `name` says which item it was."""
        self.verdicts[judge.verdict] += 1
        for reason in judge.wrong or judge.undecided:
            kind = f"{judge.verdict}: {re.sub(r'-?[0-9.]+', '#', reason)[:90]}"
            self.reasons[kind] += 1
            if len(self.examples[judge.verdict]) < keep:
                self.examples[judge.verdict].append(f"{name}: {reason}")


def judge_item(scene: PlainScene, asked: Asked) -> Judge:
    """The verdict on one question."""
    judge = Judge()
    checks = [check for start, check in CHECKS.items() if asked.kind.startswith(start)]
    if not judge.require(len(checks) == 1, f"unknown question type {asked.kind}"):
        return judge
    try:
        check_row(scene, asked, judge)
        checks[0](scene, asked, judge)
    except (ValueError, IndexError, KeyError) as error:
        judge.wrong.append(f"cannot be checked: {type(error).__name__}: {error}")
    return judge


def judge_all(scenes: Iterable[PlainScene], questions: Iterable[Asked]) -> dict[str, Tally]:
    """Verdicts by question type, checks of the scenes themselves included."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    by_scene: dict[str, list[Asked]] = defaultdict(list)
    met: Counter[object] = Counter()
    for asked in questions:
        by_scene[asked.scene_id].append(asked)
        judge = Judge()
        for mark in (asked.row_id, (asked.scene_id, asked.text, frozenset(asked.options))):
            judge.require(not met[mark], f"repeats a question or an id: {asked.text}")
            met[mark] += 1
        tallies["rows: repeats"].add(asked.row_id, judge)
    for scene in scenes:
        for kind, judge in check_scene(scene).items():
            tallies[kind].add(scene.scene_id, judge)
        for asked in by_scene.pop(scene.scene_id, []):
            tallies[asked.kind].add(f"{scene.scene_id} {asked.row_id}", judge_item(scene, asked))
    for scene_id, left in by_scene.items():
        for asked in left:
            judge = Judge()
            judge.wrong.append("scene is not in the folder")
            tallies[asked.kind].add(f"{scene_id} {asked.row_id}", judge)
    return dict(sorted(tallies.items()))


def table(tallies: dict[str, Tally]) -> str:
    """The verdicts as text: one line a type, then reasons and examples."""
    lines = [f"{'type':32} {'checked':>8} {'agree':>8} {'disagree':>8} {'borderline':>10}  rate"]
    for kind, tally in tallies.items():
        v = tally.verdicts
        counts = f"{tally.checked:8} {v['agree']:8} {v['disagree']:8} {v['borderline']:10}"
        lines.append(f"{kind:32} {counts}  {tally.disagreement:.2%}")
    for kind, tally in tallies.items():
        if tally.reasons:
            lines.append(f"\n{kind}")
            lines += [f"  {count:6} x {reason}" for reason, count in tally.reasons.most_common(8)]
            lines += [f"         e.g. {e}" for examples in tally.examples.values() for e in examples]
    return "\n".join(lines)


def as_json(tallies: dict[str, Tally]) -> dict[str, object]:
    """The same as plain values."""
    return {
        kind: {
            "checked": t.checked,
            **{name: t.verdicts[name] for name in ("agree", "disagree", "borderline")},
            "reasons": dict(t.reasons.most_common()),
            "examples": dict(t.examples),
        }
        for kind, t in tallies.items()
    }
