"""ARKitScenes: scans of flats with a tablet, in the layouts of its `3dod` and `raw` downloads.

A scan's folder is `<video id>` and holds `<video id>_3dod_annotation.json`, `<video id>_3dod_mesh.ply`, maybe
`<video id>.mov`, and, there or in `<video id>_frames`, `lowres_wide`, `lowres_depth`, `lowres_wide_intrinsics` and
`lowres_wide.traj`. Tablets are held in any of four ways; everything that a capture gives belongs to upright pictures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.raw.arkit_capture import ARKitCapture
from vlm3r.scenes.raw.capture import Scan
from vlm3r.scenes.raw.visits import Visit, read_visits

FOLDS = {"training": "Training", "train": "Training", "validation": "Validation", "val": "Validation"}
PARTS = ("3dod", "raw", "")
"""Folders that the download script makes, in the order in which their copy of a scan is taken."""

ROUTES = ("auto", "mov", "lowres")


def find_scans(
    raw: Path,
    split: str | None = None,
    *,
    one_per_visit: bool = False,
    seed: int = 0,
    route: str = "auto",
) -> list[Scan]:
    """The scans of a download, sorted by video id.

    Args:
        raw: the download: `3dod/Training/<video id>`, `Training/<video id>` or `<video id>` below it, and maybe
            `metadata.csv`, which names visits.
        split: `Training` or `Validation`, also as `train` or `val`; None for both and for scans of unknown fold.
        one_per_visit: one scan of each visit, as published, drawn by `seed` among those with annotations.
        seed: decides which.
        route: whose pictures a video is made of: `mov`, the recording beside the frames; `lowres`, the frames
            themselves; `auto`, the recording where there is one.

    Raises:
        UserError: the folder is missing or has no scan of the split, the split or the route is unknown, or a table is
            unreadable.
    """
    fold = _fold(split)
    if route not in ROUTES:
        raise UserError(f"--route {route}: ARKitScenes has {', '.join(ROUTES)}; give one of them")
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give the folder that ARKitScenes was downloaded to")
    visits = read_visits((raw, *(raw / part for part in PARTS if part)))
    scans: dict[str, Scan] = {}
    for folder, of_folder in _folders(raw):
        video_id = folder.name
        visit = visits.get(video_id, Visit())
        known = of_folder or FOLDS.get((visit.fold or "").lower())
        if video_id not in scans and fold in (None, known):
            place, route = visit.visit_id or video_id, _recording(folder, route)
            scans[video_id] = Scan(video_id, "arkitscenes", folder, place, known, route)
    if not scans:
        what = f"scan of {fold}" if fold else "scan"
        where = "3dod/Training/<video id>, Training/<video id> or <video id>"
        raise UserError(f"{raw}: has no {what}, which would be a folder {where}; check --raw and --split")
    found = [scans[video_id] for video_id in sorted(scans)]
    return _one_of_each_visit(found, seed) if one_per_visit else found


def open_scan(scan: Scan, *, interpolate: bool = True) -> ARKitCapture:
    """A scan's annotations and poses; pictures are read when they are asked for.

    Args:
        scan: from `find_scans`.
        interpolate: whether a picture between two poses gets the pose between them; otherwise the nearer one's, as
            published. Poses come ten times a second, frames of the `raw` download sixty times.

    Raises:
        UserError: the annotation, the trajectory, all frames or all cameras are missing or unusable.
    """
    return ARKitCapture(scan, _sky_direction(scan), interpolate)


def _sky_direction(scan: Scan) -> str | None:
    """What the nearest table above the scan says of how the device was held."""
    for folder in tuple(scan.folder.absolute().parents)[:3]:
        try:
            visit = read_visits((folder,)).get(scan.scene_id, Visit())
        except UserError:
            continue  # `find_scans` reports broken tables; above the download may lie those of other data sets
        if visit.sky_direction:
            return visit.sky_direction
    return None


def _fold(split: str | None) -> str | None:
    if split is None:
        return None
    if split.lower() not in FOLDS:
        raise UserError(f"--split {split}: ARKitScenes has Training and Validation; give one of them")
    return FOLDS[split.lower()]


def _folders(raw: Path) -> Iterator[tuple[Path, str | None]]:
    """Each scan's folder, and the fold whose folder it lies in."""
    for part in PARTS:
        for name in ("Training", "Validation"):
            for folder in _numbered(raw / part / name):
                yield folder, name
        for folder in _numbered(raw / part):
            yield folder, None


def _numbered(parent: Path) -> list[Path]:
    try:
        entries = sorted(parent.iterdir()) if parent.is_dir() else []
    except OSError as error:
        raise UserError(f"{parent}: cannot be listed ({first_line(error)}); mend its permissions") from None
    return [entry for entry in entries if entry.name.isascii() and entry.name.isdecimal() and entry.is_dir()]


def _recording(folder: Path, route: str) -> str:
    if route == "auto":
        return "mov" if (folder / f"{folder.name}.mov").is_file() else "lowres"
    return route


def _one_of_each_visit(scans: list[Scan], seed: int) -> list[Scan]:
    """The choice of a visit depends on its own scans alone."""
    visits: dict[str, list[Scan]] = {}
    for scan in scans:
        visits.setdefault(scan.place, []).append(scan)
    chosen = []
    for place, group in visits.items():
        annotated = [s for s in group if (s.folder / f"{s.scene_id}_3dod_annotation.json").is_file()] or group
        rng = np.random.default_rng([seed, zlib.crc32(place.encode())])
        chosen.append(annotated[int(rng.integers(len(annotated)))])
    return sorted(chosen, key=lambda scan: scan.scene_id)
