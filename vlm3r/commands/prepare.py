"""`vlm3r scenes prepare`: scenes of a licensed download in parallel, with progress, counts and reasons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from vlm3r.commands.console import say
from vlm3r.commands.scenes import made_folder, show_failures
from vlm3r.errors import UserError
from vlm3r.scenes.raw import readers
from vlm3r.scenes.raw.capture import Dataset, Scan
from vlm3r.scenes.raw.prepare import PrepareSettings, PrepareTask, prepare_scan
from vlm3r.scenes.raw.splits import write_scene_list
from vlm3r.workers import default_workers, run


@dataclass(frozen=True)
class Choice:
    """Which scans of which download are prepared."""

    dataset: Dataset
    raw: Path
    """The download's folder."""
    split: str | None = None
    """One of the data set's own; None for all scans."""
    route: str | None = None
    """Recording or camera; None for the data set's default."""
    limit: int | None = None
    """Only so many scans, the first by id."""


def prepare(
    choice: Choice,
    out: Path,
    settings: PrepareSettings,
    workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> int:
    """Prepare the chosen scans below `out`; the exit status, 1 where a scan failed.

    One scan that cannot be used never stops the others. Lists of the prepared scenes, one of each split, are written
    beside them.

    Raises:
        UserError: the download has no such scan, an option does not fit the data set, or `out` cannot be made.
    """
    if settings.partial and choice.dataset != "scannet":
        raise UserError("--partial: only recordings of ScanNet are used in part; leave it out")
    scans = readers.find_scans(
        choice.dataset, choice.raw.resolve(), choice.split, choice.route, settings.published, settings.seed
    )[: choice.limit]
    out = made_folder(out)
    tasks = (PrepareTask(scan, out, settings) for scan in scans)
    began = time.perf_counter()
    made = kept = objects = 0
    failures: list[str] = []
    done: list[Scan] = []
    noted: list[str] = []
    with tqdm(total=len(scans), unit="scan", desc=choice.dataset, dynamic_ncols=True, mininterval=0.5) as progress:
        for outcome in run(prepare_scan, tasks, workers=workers or default_workers(), engine=engine):
            progress.update()
            if outcome.value is None:
                failures.append(f"{outcome.item.scan.scene_id}: {outcome.error}")
                continue
            made, kept = made + (not outcome.value.kept), kept + outcome.value.kept
            objects += outcome.value.objects
            done.append(outcome.item.scan)
            if outcome.value.problems:
                noted.append(outcome.item.scan.scene_id)
    minutes = (time.perf_counter() - began) / 60
    _write_lists(done, out)
    show_failures(failures)
    print(
        f"{len(done)} of {len(scans)} scans in {out}: {made} made, {kept} were there, {len(failures)} failed; "
        f"{objects / max(len(done), 1):.0f} objects a scene, {made / minutes:.1f} scans/minute"
    )
    if noted:
        say(f"{len(noted)} scenes lack something; see what with: vlm3r scenes check {out}")
    return 1 if failures else 0


def _write_lists(scans: Sequence[Scan], out: Path) -> None:
    """One file `<split>.txt` for each of the data set's own splits, in `splits`."""
    folder = out / "splits"
    for split in sorted({scan.split for scan in scans if scan.split}):
        made_folder(folder)
        write_scene_list(folder / f"{split}.txt", [scan.scene_id for scan in scans if scan.split == split])
