"""ScanNet++: scenes with a laser-scanned mesh, DSLR pictures and an iPhone video, in the layout of the download.

A scene's folder is `<scene id>` and holds `scans`, `dslr` and `iphone`; lists of scenes are in `splits` beside `data`.
"""

from __future__ import annotations

import re
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.raw.capture import Scan
from vlm3r.scenes.raw.footage import Footage
from vlm3r.scenes.raw.scannetpp_annotation import read_annotation
from vlm3r.scenes.raw.scannetpp_capture import ScanNetPPCapture
from vlm3r.scenes.raw.scannetpp_dslr import DslrFootage
from vlm3r.scenes.raw.scannetpp_iphone import IPhoneFootage

ROUTES = ("dslr", "dslr-test", "dslr-all", "iphone", "iphone-colmap")
"""Recordings: the DSLR pictures of the scene's `train` list, of its `test` list, or of both; the iPhone video with the
phone's own poses, or with those of the COLMAP model."""
SPLITS = {"train": "nvs_sem_train", "val": "nvs_sem_val", "test": "sem_test"}
"""Short names -> lists of scenes in `splits`; the list's own name is accepted too."""
MAX_SPLIT_BYTES = 1 << 24

_SCENE = re.compile(r"[0-9a-f]{10}")


def find_scans(raw: Path, split: str | None = None, *, route: str = "dslr") -> list[Scan]:
    """The scenes of a download that are there, sorted by id.

    Args:
        raw: the download: `data/<scene id>` or `<scene id>` below it, and maybe `splits`, there or beside it.
        split: a list of scenes such as `nvs_sem_train`, also as `train`, `val` or `test`; None for all scenes.
        route: which recording is read, one of `ROUTES`.

    Raises:
        UserError: the folder is missing or has no scene of the split, or the split or the route is unknown.
    """
    if route not in ROUTES:
        raise UserError(f"--route {route}: ScanNet++ has {', '.join(ROUTES)}; give one of them")
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give the folder that ScanNet++ was downloaded to")
    lists = _split_files(raw)
    wanted = None if split is None else SPLITS.get(split, split)
    if wanted is not None and wanted not in lists:
        there = ", ".join(lists) or "no lists"
        raise UserError(f"--split {split}: {raw} has {there} in its splits folder, not {wanted}; give one of them")
    members = {name: _listed(path) for name, path in lists.items() if wanted in (None, name)}
    scans: dict[str, Scan] = {}
    for folder in (*_scenes(raw / "data"), *_scenes(raw)):
        scene_id = folder.name
        listed = next((name for name, ids in members.items() if scene_id in ids), None)
        if scene_id not in scans and (wanted is None or listed is not None):
            scans[scene_id] = Scan(scene_id, "scannetpp", folder, scene_id, listed, route)
    if not scans:
        what = f"scene of {wanted}" if wanted else "scene"
        raise UserError(f"{raw}: has no {what}, which would be a folder data/<scene id>; check --raw and --split")
    return [scans[scene_id] for scene_id in sorted(scans)]


def open_scan(scan: Scan, *, render: bool = True) -> ScanNetPPCapture:
    """A scene's annotation and the cameras of one of its recordings; pictures are read when they are asked for.

    Args:
        scan: from `find_scans`.
        render: whether depth maps and instance masks that do not ship are rendered from the mesh by embreex; without,
            they are None.

    Raises:
        UserError: the annotation, the pictures or all cameras are missing or unusable, or the route is unknown.
    """
    return ScanNetPPCapture(scan, read_annotation(scan.folder), _footage(scan), render)


def _footage(scan: Scan) -> Footage:
    if scan.route == "iphone":
        return IPhoneFootage(scan.folder, "arkit")
    if scan.route == "iphone-colmap":
        return IPhoneFootage(scan.folder, "colmap")
    if scan.route == "dslr":
        return DslrFootage(scan.folder, "train")
    if scan.route == "dslr-test":
        return DslrFootage(scan.folder, "test")
    if scan.route == "dslr-all":
        return DslrFootage(scan.folder, "all")
    raise UserError(f"{scan.scene_id}: its route {scan.route!r} is none of {', '.join(ROUTES)}; give one of them")


def _split_files(raw: Path) -> dict[str, Path]:
    """Name -> file of each list of scenes; the lists for training and validation come first."""
    folder = next((place for place in (raw / "splits", raw.absolute().parent / "splits") if place.is_dir()), None)
    try:
        files = sorted(folder.glob("*.txt")) if folder else []
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({first_line(error)}); mend its permissions") from None
    first = list(SPLITS.values())
    files.sort(key=lambda path: first.index(path.stem) if path.stem in first else len(first))
    return {path.stem: path for path in files}


def _listed(path: Path) -> frozenset[str]:
    try:
        if path.stat().st_size > MAX_SPLIT_BYTES:
            raise UserError(f"{path}: is too large for a list of scenes; download it again")
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); mend its permissions") from None
    return frozenset(line.strip() for line in lines if line.strip())


def _scenes(parent: Path) -> list[Path]:
    try:
        entries = sorted(parent.iterdir()) if parent.is_dir() else []
    except OSError as error:
        raise UserError(f"{parent}: cannot be listed ({first_line(error)}); mend its permissions") from None
    return [entry for entry in entries if _SCENE.fullmatch(entry.name) and entry.is_dir()]
