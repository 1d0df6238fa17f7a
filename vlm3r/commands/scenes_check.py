"""`vlm3r scenes check`, `leaks` and `split`: what is wrong with scenes, and which of them are for what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from vlm3r.commands.console import say
from vlm3r.errors import UserError
from vlm3r.evaluation.run.published import Source, find_source
from vlm3r.evaluation.run.rows import read_rows
from vlm3r.files import first_line, write_text
from vlm3r.qa.sources import find_sources
from vlm3r.qa.splits import Splits
from vlm3r.scenes.datasets import FRAME_RATES, dataset_name
from vlm3r.scenes.places import place_of
from vlm3r.scenes.raw.check import CheckTask, Report, SceneReport, check_all, check_folder, with_faults
from vlm3r.scenes.raw.faults import PREPARE, Fault
from vlm3r.scenes.raw.leaks import Leaks, Named, find_leaks
from vlm3r.scenes.raw.splits import divide, read_scene_list, write_scene_list
from vlm3r.scenes.raw.visits import read_visits
from vlm3r.workers import Engine, default_workers

LISTS = (".txt", ".lst")
ROWS = (".json", ".jsonl", ".parquet")
EVALUATED = "evaluated"
SHOWN_LEAKS = 10


def check(
    places: Sequence[Path],
    benchmarks: Sequence[Path],
    visits: Sequence[Path],
    sheets: Path | None,
    report_file: Path | None,
    workers: int | None,
    engine: Engine,
) -> int:
    """Check all scenes, print one line for each fault and a summary; the exit status, 1 where a scene is wrong.

    Raises:
        UserError: a place has no scenes, or a benchmark, a table or an output cannot be used.
    """
    evaluated = [scene for file in benchmarks for scene in named_scenes(file)]
    tables = _visits(visits)
    report = Report(tuple(_checked(places, sheets, workers or default_workers(), engine)))
    if benchmarks:
        leaks = find_leaks((scene.named for scene in report.scenes), evaluated, tables)
        report = with_faults(report, _as_faults(leaks))
        _say_leaks(leaks)
    _summarise(report, sheets)
    if report_file is not None:
        write_text(report_file, json.dumps(report.record(), indent=1, ensure_ascii=False) + "\n")
    return 1 if report.wrong else 0


def leaks(training: Sequence[Path], benchmarks: Sequence[Path], visits: Sequence[Path], out: Path | None) -> int:
    """Say which scenes for training are evaluated on; the exit status, 1 where one is.

    Raises:
        UserError: a file or folder names no scenes, or the list cannot be written.
    """
    learnt = [scene for place in training for scene in named_scenes(place)]
    evaluated = [scene for file in benchmarks for scene in named_scenes(file)]
    found = find_leaks(learnt, evaluated, _visits(visits))
    for leak in found.found[:SHOWN_LEAKS]:
        print(f"{leak.training.scene_id}: {leak.line()}")
    if len(found.found) > SHOWN_LEAKS:
        print(f"... and {len(found.found) - SHOWN_LEAKS} more")
    _say_leaks(found)
    if out is not None:
        comment = (
            f"Scenes that {', '.join(str(file) for file in benchmarks)} evaluates on, or other scans of their places"
        )
        write_scene_list(out, sorted({leak.training.scene_id for leak in found.found}), [comment])
    return 1 if found.found else 0


def split(
    places: Sequence[Path],
    out: Path,
    shares: Mapping[str, float],
    seed: int,
    benchmarks: Sequence[Path],
    visits: Sequence[Path],
) -> int:
    """Write one list of scenes for each part, with all scans of a place in one; returns the exit status.

    Scenes that a benchmark evaluates on are in none of them but in `evaluated.txt`.

    Raises:
        UserError: a place has no scenes, shares do not add up to 1, or a list cannot be written.
    """
    splits = Splits(seed, shares)
    scenes = [scene for place in places for scene in named_scenes(place)]
    tables = _visits(visits)
    evaluated = [scene for file in benchmarks for scene in named_scenes(file)]
    found = find_leaks(scenes, evaluated, tables)
    left_out = sorted({leak.training.scene_id for leak in found.found})
    of = {scene.scene_id: tables.get(scene.scene_id) or scene.place or scene.scene_id for scene in scenes}
    parts = divide(of, splits.part, shares, left_out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({first_line(error)}); choose another --out") from error
    comment = f"{len(of)} scenes of {len(set(of.values()))} places, seed {seed}"
    for name, members in parts.items():
        write_scene_list(out / f"{name}.txt", members, [comment, f"{name}: share {shares[name]:g}"])
    if benchmarks:
        write_scene_list(out / f"{EVALUATED}.txt", left_out, [comment, "in no part: a benchmark evaluates on them"])
        _say_leaks(found)
    for name, members in parts.items():
        print(f"{len(members):8,}  {name}")
    return 0


def named_scenes(path: Path) -> list[Named]:
    """The scenes that a file or folder names, in its order and each once.

    Args:
        path: folder of scenes, of published metadata or of a published benchmark; published scene metadata; file of
            questions or of training rows (`.json`, `.jsonl`, `.parquet`); or list of scene ids (`.txt`).

    Raises:
        UserError: it cannot be read or names no scene.
    """
    if path.is_dir():
        found = _of_folder(path)
    elif path.suffix.lower() in LISTS:
        found = [Named(scene_id, source=path.name) for scene_id in read_scene_list(path)]
    elif path.suffix.lower() in ROWS and "_metadata_" not in path.name:
        found = _of_rows(Source((path,)), path.name)
    else:
        found = _of_sources([path])
    found = list(dict.fromkeys(found))
    if not found:
        raise UserError(f"{path}: names no scenes; give scenes, published metadata, questions or a list of scene ids")
    return found


def _of_folder(folder: Path) -> list[Named]:
    try:
        return _of_rows(find_source("vsibench", folder), folder.name)
    except UserError:
        return _of_sources([folder])


def _of_sources(places: Sequence[Path]) -> list[Named]:
    found = []
    for source in find_sources(places):
        try:
            scene = source.open()
        except UserError as error:
            say(f"{source.key}: left out, {error}")
            continue
        found.append(Named(scene.scene_id, scene.dataset, place_of(scene), source.key))
    return found


def _of_rows(source: Source, name: str) -> list[Named]:
    rows = (row.value for file in source.files for row in read_rows(file))
    return [scene for row in rows if isinstance(row, dict) and (scene := _of_row(row, name)) is not None]


def _of_row(row: Mapping[str, Any], source: str) -> Named | None:
    """The scene of a question or training row: by its own name, else by the name of its video."""
    video = row.get("video_path") or row.get("video")
    path = PurePosixPath(video) if isinstance(video, str) and video else None
    name = row.get("scene_name")
    if not isinstance(name, str | int) or isinstance(name, bool):
        name = path.stem if path is not None else None
    if name is None or not str(name).strip():
        return None
    candidates = [row.get("dataset"), row.get("data_source"), *(path.parts[:1] if path is not None else ())]
    known = (dataset_name(value) for value in candidates if isinstance(value, str))
    return Named(str(name).strip(), next((value for value in known if value in FRAME_RATES), None), None, source)


def _visits(folders: Sequence[Path]) -> dict[str, str]:
    """ARKitScenes video id -> visit id, from the tables in some folders."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the one with ARKitScenes' metadata.csv")
    return {video: visit.visit_id for video, visit in read_visits(tuple(folders)).items() if visit.visit_id}


def _checked(places: Sequence[Path], sheets: Path | None, workers: int, engine: Engine) -> Iterator[SceneReport]:
    several = len(places) > 1
    with tqdm(desc="Checking", unit="scene", disable=None) as bar:

        def step(report: SceneReport, total: int) -> None:
            bar.total = total
            bar.update()

        for place in places:
            folder = None if sheets is None else sheets / place.resolve().name if several else sheets
            published = list(_published(place, folder))
            if published:
                tasks = [item for item in published if isinstance(item, CheckTask)]
                reports = [item for item in published if isinstance(item, SceneReport)]
                reports += check_all(tasks, workers, engine, step)
            else:
                reports = check_folder(place, sheets=folder, workers=workers, engine=engine, step=step).scenes
            bar.clear()
            for report in reports:
                named = replace(report, key=f"{place}/{report.key}") if several else report
                _show(named)
                yield named


def _published(place: Path, sheets: Path | None) -> Iterable[CheckTask | SceneReport]:
    """The scenes of published metadata at a place, those that cannot be read as reports; none at a place of ours."""
    if place.is_dir() and not any(place.rglob("*_metadata_*.json")):
        return
    for source in find_sources([place]):
        if source.content is None:
            yield CheckTask(source.key, source.path, sheet=_sheet(sheets, source.key))
        elif isinstance(source.content, UserError):
            name = source.key.rpartition("#")[2]
            reason = str(source.content).removeprefix(f"{source.path}: ")
            yield SceneReport(source.key, name, None, name, (Fault("unreadable", reason, PREPARE),))
        else:
            yield CheckTask(source.key, source.path, source.content, _sheet(sheets, source.key))


def _sheet(sheets: Path | None, key: str) -> Path | None:
    return None if sheets is None else sheets / f"{key.replace('/', '_').replace('#', '_')}.png"


def _show(report: SceneReport) -> None:
    for fault in sorted(report.faults, key=lambda fault: not fault.serious):
        print(f"{report.key}: {fault.line()}")


def _as_faults(found: Leaks) -> dict[str, list[Fault]]:
    faults: dict[str, list[Fault]] = {}
    for leak in found.found:
        text, _, remedy = leak.line().rpartition("; ")
        fault = Fault("leak", text, remedy)
        faults.setdefault(leak.training.source, []).append(fault)
        print(f"{leak.training.source}: {fault.line()}")
    return faults


def _say_leaks(found: Leaks) -> None:
    print(f"{len(found.found)} of {found.training} scenes leak: {found.evaluated} scenes are evaluated on")
    if found.unplaced:
        say(
            f"{found.unplaced} ARKitScenes scans that are evaluated on have no known visit, so other scans of their "
            "flats cannot be told; give the folder of metadata.csv as --visits"
        )


def _summarise(report: Report, sheets: Path | None) -> None:
    for serious, what in ((True, "wrong"), (False, "limiting")):
        counts = report.counts(serious)
        if counts:
            print(f"{what}: {', '.join(f'{kind} in {number}' for kind, number in counts.most_common())}")
    where = "" if sheets is None else f"; contact sheets in {sheets}"
    print(f"{len(report.scenes) - report.wrong} of {len(report.scenes)} scenes are sound{where}")
