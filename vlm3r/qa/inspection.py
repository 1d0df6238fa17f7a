"""Questions to look at: one self-contained page, or one picture, with frames, maps, answers and what they rest on."""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm3r.errors import UserError
from vlm3r.files import replacing
from vlm3r.qa.engine import meta_path
from vlm3r.qa.floor_map import floor_map
from vlm3r.qa.pictures import colour, frames_to_show, picture, strip
from vlm3r.qa.proposals import question_types
from vlm3r.qa.sources import find_sources
from vlm3r.qa.stats import read_rows
from vlm3r.scenes.schema import Scene

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; }
article { border-top: 1px solid #ccc; padding: 1rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 8px; align-items: flex-start; }
.pictures img { max-width: 100%; }
h2 { font-size: 1rem; color: #666; font-weight: normal; margin: 0 0 .4rem; }
.question { font-size: 1.1rem; margin: .6rem 0; }
ul { list-style: none; padding: 0; margin: 0; } .right { font-weight: bold; color: #00798c; }
.object { color: white; padding: 0 .4em; border-radius: 3px; margin-right: .4em; }
pre { background: #f4f1ea; padding: .6rem; white-space: pre-wrap; font-size: 12px; }
"""
SHEET_WIDTH = 1500
TEXT_WIDTH = 138
MARKS = ("wrong", "right")


@dataclass(frozen=True)
class Card:
    """One question with its pictures."""

    row: Mapping[str, Any]
    frames: Image.Image | None
    map: Image.Image


def inspect_questions(
    file: Path, out: Path, *, places: Sequence[Path] = (), number: int = 20, tasks: Sequence[str] = (), seed: int = 0
) -> int:
    """Write some questions of a file as a page (`.html`) or a picture (`.png`); returns how many.

    Args:
        file: rows written by `vlm3r.qa.engine.generate`.
        out: what to write.
        places: where the scenes are; by default where they were when the questions were made.
        number: most questions shown, of all types in turn.
        tasks: names of tasks or question types; all if empty.
        seed: other seed, other questions.

    Raises:
        UserError: another ending; the file or its scenes cannot be read; nothing to show.
    """
    if out.suffix.lower() not in (".html", ".png"):
        raise UserError(f"{out}: give a name that ends in .html or .png")
    rows = choose_rows(file, number, question_types(tasks), seed)
    if not rows:
        raise UserError(f"{file}: holds no questions of {', '.join(tasks) or 'any type'}")
    scenes = _scenes_of(rows, *((places, ()) if places else _known_places(file)))
    cards = [_card(row, *scenes[_place(row)]) for row in rows]
    content = page(file.name, cards).encode() if out.suffix.lower() == ".html" else sheet(cards)
    with replacing(out) as building:
        building.write_bytes(content)
    return len(cards)


def choose_rows(file: Path, number: int, kinds: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """At most `number` rows, the question types in turn; in one pass, keeping only so many of each type."""
    rng = np.random.default_rng([seed])
    kept: dict[str, list[dict[str, Any]]] = {}
    met: dict[str, int] = {}
    for row in read_rows(file):
        kind = row.get("provenance", {}).get("variant")
        if kind is None:
            raise UserError(f"{file}: its rows do not say where they come from; write them with `vlm3r qa generate`")
        if kind not in kinds:
            continue
        met[kind] = met.get(kind, 0) + 1
        group = kept.setdefault(kind, [])
        if len(group) < number:
            group.append(row)
        elif (place := int(rng.integers(met[kind]))) < number:
            group[place] = row
    groups = [[group[i] for i in rng.permutation(len(group))] for group in kept.values()]
    rounds = (group[i] for i in range(number) for group in groups if i < len(group))
    return list(islice(rounds, number))


def _known_places(file: Path) -> tuple[list[Path], list[Path]]:
    """Where scenes and frame metadata were when the questions were made."""
    meta = meta_path(file)
    try:
        known = json.loads(meta.read_text(encoding="utf-8"))
        return [Path(place) for place in known["scenes_from"]], [Path(place) for place in known["frames_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{meta}: does not say where the scenes are; give --scenes") from None


def _scenes_of(
    rows: Sequence[Mapping[str, Any]], places: Sequence[Path], frames_files: Sequence[Path]
) -> dict[tuple[str, str], tuple[Scene, Path]]:
    """The scenes of the rows with the folders of their files, by `_place`."""
    wanted = {_place(row) for row in rows}
    keys = {key for key, _ in wanted}
    found = {}
    for source in find_sources(places, frames_files):
        if source.key in keys:
            scene = source.open()
            found.setdefault((source.key, scene.scene_id), (scene, source.path.parent))
        if wanted <= set(found):
            return found
    missing = sorted(wanted - set(found))
    raise UserError(f"{places[0]}: has no scene {missing[0][0]}; give the folder of the scenes with --scenes")


def _place(row: Mapping[str, Any]) -> tuple[str, str]:
    """Key of the source and id of the scene: folders that were given together may use one key for two scenes."""
    return row["provenance"]["source"], row["scene_name"]


def _card(row: Mapping[str, Any], scene: Scene, folder: Path) -> Card:
    question = row["provenance"]
    frames = max((frame["place"] for frame in question["frames"]), default=0)
    objects = max((thing["index"] for thing in question["objects"]), default=-1)
    if frames > len(scene.seen_frames) or objects >= len(scene.objects):
        raise UserError(f"scene {scene.scene_id} has changed since its questions were made; generate them again")
    pictures = [picture(scene, folder, place, question) for place in frames_to_show(scene, question)]
    return Card(row, strip(pictures), floor_map(scene, question))


def page(title: str, cards: Sequence[Card]) -> str:
    """A page that needs nothing but itself."""
    articles = "\n".join(_article(number, card) for number, card in enumerate(cards, 1))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n{articles}\n</body></html>\n"
    )


def _article(number: int, card: Card) -> str:
    row, question = card.row, card.row["provenance"]
    answer = row["mc_answer"] or row["ground_truth"]
    options = [(option, option.startswith(f"{answer}. ")) for option in row["options"] or ()] or [(str(answer), True)]
    listed = "".join(f'<li class="{MARKS[right]}">{html.escape(text)}</li>' for text, right in options)
    objects = "".join(
        f'<span class="object" style="background:{colour(i)}">{html.escape(thing["category"])}</span>'
        for i, thing in enumerate(question["objects"])
    )
    pictures = "".join(_image(picture) for picture in (card.frames, card.map) if picture is not None)
    facts = html.escape(json.dumps({"id": row["id"], **question}, indent=1, ensure_ascii=False))
    return (
        f"<article><h2>{number}. {html.escape(row['question_type'])} &middot; {html.escape(row['scene_name'])}</h2>"
        f'<div class="pictures">{pictures}</div><p class="question">{html.escape(row["question"])}</p>'
        f"<ul>{listed}</ul><p>{objects}</p>"
        f"<details><summary>raw details</summary><pre>{facts}</pre></details></article>"
    )


def _image(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def sheet(cards: Sequence[Card]) -> bytes:
    """All cards below each other as a PNG."""
    strips = [_sheet_row(number, card) for number, card in enumerate(cards, 1)]
    image = Image.new("RGB", (SHEET_WIDTH, sum(s.height for s in strips)), "white")
    y = 0
    for part in strips:
        image.paste(part, (0, y))
        y += part.height
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _sheet_row(number: int, card: Card) -> Image.Image:
    row = card.row
    answer = row["mc_answer"] or row["ground_truth"]
    lines = [f"{number}. {row['question_type']}  -  {row['scene_name']}", *_wrap(row["question"])]
    lines += [f"{'>> ' if o.startswith(f'{answer}. ') else '     '}{o}" for o in row["options"] or []] or [
        f">> {answer}"
    ]
    details = json.dumps(row["provenance"]["details"], ensure_ascii=False)
    lines += _wrap(details)[:3] if details != "{}" else []
    room = SHEET_WIDTH - card.map.width - 10
    frames = card.frames
    if frames is not None and frames.width > room:
        frames = frames.resize((room, round(frames.height * room / frames.width)))
    top = 0 if frames is None else frames.height
    image = Image.new("RGB", (SHEET_WIDTH, max(card.map.height, top + 19 * len(lines)) + 12), "white")
    if frames is not None:
        image.paste(frames, (0, 0))
    image.paste(card.map, (SHEET_WIDTH - card.map.width, 0))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)
    for i, line in enumerate(lines):
        draw.text((8, top + 19 * i), line, fill="#00798c" if line.startswith(">>") else "#222222", font=font)
    draw.line((0, image.height - 4, SHEET_WIDTH, image.height - 4), fill="#cccccc")
    return image


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, TEXT_WIDTH)
