"""Lists of scenes in files, one id a line, and the division of scenes by place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line, write_text
from vlm3r.scenes import fields

MAX_BYTES = 64 << 20
COMMENT = "#"


def read_scene_list(path: Path) -> list[str]:
    """The scene ids in a file, one a line, in its order; what follows `#` is a comment, repeated ids count once.

    Raises:
        UserError: the file is missing, too large or no text, or a line holds more than one id.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: has more than {MAX_BYTES >> 20} MiB; give a list of scenes, one id a line")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); give a list of scenes, one id a line") from None
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(COMMENT, 1)[0].split()
        if len(words) > 1:
            raise UserError(f"{path}: line {number} holds {len(words)} words; give one scene id a line")
        found.update(dict.fromkeys(words))
    return list(found)


def write_scene_list(path: Path, scene_ids: Sequence[str], comments: Sequence[str] = ()) -> None:
    """Write scene ids one a line below some comments; the file appears whole or not at all.

    Raises:
        UserError: an id cannot stand in such a file, or the file cannot be written.
    """
    for scene_id in scene_ids:
        if not fields.writable(scene_id) or scene_id.split() != [scene_id] or COMMENT in scene_id:
            raise UserError(f"{path}: scene id {scene_id!a} has blanks or {COMMENT}; rename the scene")
    lines = [*(f"{COMMENT} {line}" for comment in comments for line in comment.splitlines()), *scene_ids]
    write_text(path, "".join(f"{line}\n" for line in lines))


def divide(
    places: Mapping[str, str], part_of: Callable[[str], str], parts: Iterable[str], left_out: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Part -> its scenes, sorted; all scans of a place are in one part.

    Args:
        places: scene id -> place.
        part_of: the part of a place, such as `vlm3r.qa.splits.Splits.part`.
        parts: all parts, so that an empty one is there too.
        left_out: scenes of no part.
    """
    result: dict[str, list[str]] = {part: [] for part in parts}
    omitted = set(left_out)
    for scene_id in sorted(places):
        if scene_id not in omitted:
            result[part_of(places[scene_id])].append(scene_id)
    return result
