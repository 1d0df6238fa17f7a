"""ScanNet: rooms recorded with a depth sensor, in the layout of its download.

A scan's folder is `scans/<scan id>` and holds `<scan id>.sens` (or, exported from it, the folders `color`, `depth`,
`pose` and `intrinsic`), `<scan id>.txt`, `<scan id>.aggregation.json`, `<scan id>_vh_clean_2.ply`,
`<scan id>_vh_clean_2.0.010000.segs.json` and maybe `<scan id>_2d-instance-filt.zip`. The table of labels,
`scannetv2-labels.combined.tsv`, and the lists `scannetv2_train.txt` and `scannetv2_val.txt` lie above.
"""

from __future__ import annotations

from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.places import SCANNET_SCAN, room_of
from vlm3r.scenes.raw.capture import RawObject, Scan
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.scannet_capture import Parts, ScanNetCapture
from vlm3r.scenes.raw.scannet_export import ExportedFrames, is_export
from vlm3r.scenes.raw.scannet_info import read_info
from vlm3r.scenes.raw.scannet_labels import LabelRow, find_labels, read_labels
from vlm3r.scenes.raw.scannet_masks import open_masks
from vlm3r.scenes.raw.segments import read_annotation
from vlm3r.scenes.raw.sens import SensFile
from vlm3r.scenes.raw.sensor_stream import SensorStream
from vlm3r.scenes.raw.splits import read_scene_list

SPLITS = ("train", "val", "test")
"""Each in a file `scannetv2_<split>.txt`."""
LIST_FOLDERS = ("", "scans", "splits", "Tasks/Benchmark")
"""Folders of the download in which the lists are looked for; the third is that of the data set's own tools."""
ROUTES = ("registered", "published")
"""What belongs to a picture: its own colour camera, with the depth map resampled into it; or, as in the published
export, the depth camera, with the depth map as it is, although both see slightly different things."""


def find_scans(raw: Path, split: str | None = None, *, route: str = "registered") -> list[Scan]:
    """The scans of a download that are there, sorted by id.

    Args:
        raw: the download: `scans/<scan id>` or `<scan id>` below it, and maybe the lists of scans.
        split: `train`, `val` or `test`; None for all scans.
        route: which camera pictures are said to be taken by, one of `ROUTES`.

    Raises:
        UserError: the folder is missing or has no scan of the split, or the split or the route is unknown.
    """
    if route not in ROUTES:
        raise UserError(f"--route {route}: ScanNet has {', '.join(ROUTES)}; give one of them")
    if split is not None and split not in SPLITS:
        raise UserError(f"--split {split}: ScanNet has {', '.join(SPLITS)}; give one of them")
    if not raw.is_dir():
        raise UserError(f"{raw}: no such folder; give the folder that ScanNet was downloaded to")
    lists = _split_files(raw)
    if split is not None and split not in lists:
        raise UserError(f"--split {split}: {raw} has no scannetv2_{split}.txt; download the list and put it there")
    members = {name: frozenset(read_scene_list(path)) for name, path in lists.items() if split in (None, name)}
    scans: dict[str, Scan] = {}
    for folder in (*_scans(raw / "scans"), *_scans(raw)):
        scene_id = folder.name
        listed = next((name for name, ids in members.items() if scene_id in ids), None)
        if scene_id not in scans and (split is None or listed is not None):
            scans[scene_id] = Scan(scene_id, "scannet", folder, room_of(scene_id), listed, route)
    if not scans:
        what = f"scan of {split}" if split else "scan"
        raise UserError(f"{raw}: has no {what}, which would be a folder scans/<scan id>; check --raw and --split")
    return [scans[scene_id] for scene_id in sorted(scans)]


def open_scan(scan: Scan, *, partial: bool = False) -> ScanNetCapture:
    """A scan's recording, annotation and masks; pictures and the mesh are read when they are asked for.

    Args:
        scan: from `find_scans`.
        partial: whether a recording that is cut short is used as far as it goes. The rest of the room, whose objects
            and floor would still be asked for, is not in its video; so it is refused otherwise.

    Raises:
        UserError: the recording, the annotation or a camera is missing or unusable, or the route is unknown.
    """
    if scan.route not in ROUTES:
        raise UserError(f"{scan.scene_id}: its route {scan.route!r} is none of {', '.join(ROUTES)}; give one of them")
    folder, name = scan.folder, scan.scene_id
    info = read_info(within(folder, folder / f"{name}.txt"))
    annotation = read_annotation(within(folder, folder / f"{name}.aggregation.json"), boxes=False)
    table, labels, problems = _own_labels(folder, annotation.objects)
    masks, mask_problems = open_masks(folder)
    problems += mask_problems
    stream: SensorStream | None = None
    try:
        if (folder / f"{name}.sens").exists() or not is_export(folder):
            stream = sens = SensFile(within(folder, folder / f"{name}.sens"))
            if sens.cut and not partial:
                whole = f"only {len(sens.frames)} frames are whole, and its video would not show the whole room"
                raise UserError(f"{sens.path}: {sens.cut}: {whole}; download it again")
            problems += (f"{name}.sens: {sens.cut}; the frames before are used",) if sens.cut else ()
        else:
            stream = ExportedFrames(folder, info.colour_size)
        parts = Parts(stream, info, annotation, masks, labels, table, problems)
        return ScanNetCapture(scan, parts, published=scan.route == "published")
    except BaseException:
        for part in (stream, masks):
            if part is not None:
                part.close()
        raise


def categories(table: Path) -> dict[str, LabelRow]:
    """Raw label -> its category, its class of the 40 of NYU Depth, and what the published pipeline calls it.

    Args:
        table: `scannetv2-labels.combined.tsv`.

    Raises:
        UserError: the file is missing, too large, or no such table.
    """
    return dict(read_labels(table))


def _own_labels(
    folder: Path, objects: tuple[RawObject, ...]
) -> tuple[str | None, dict[str, LabelRow], tuple[str, ...]]:
    """The name of the table of labels, the rows of the scan's own labels, and what was wrong."""
    path = find_labels(folder)
    if path is None:
        return None, {}, ()
    try:
        table = categories(path)
    except UserError as error:
        return None, {}, (f"{error}; labels are used as they are",)
    return path.name, {label: table[label] for label in sorted({o.label for o in objects}) if label in table}, ()


def _split_files(raw: Path) -> dict[str, Path]:
    """Name -> file of each list of scans."""
    found = {}
    for name in SPLITS:
        places = (raw / folder / f"scannetv2_{name}.txt" for folder in LIST_FOLDERS)
        path = next((place for place in places if place.is_file()), None)
        if path is not None:
            found[name] = path
    return found


def _scans(parent: Path) -> list[Path]:
    try:
        entries = sorted(parent.iterdir()) if parent.is_dir() else []
    except OSError as error:
        raise UserError(f"{parent}: cannot be listed ({first_line(error)}); mend its permissions") from None
    return [entry for entry in entries if SCANNET_SCAN.fullmatch(entry.name) and entry.is_dir()]
