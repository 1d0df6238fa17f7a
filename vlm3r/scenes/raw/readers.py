"""The three data sets behind one pair of functions; a reader is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from vlm3r.errors import UserError
from vlm3r.scenes.raw.capture import Capture, Dataset, Scan


def find_scans(
    dataset: Dataset, raw: Path, split: str | None, route: str | None, published: bool, seed: int
) -> list[Scan]:
    """The scans of a download, sorted by id.

    Args:
        dataset: whose.
        raw: the download.
        split: one of the data set's own; None for all scans.
        route: which recording or camera is read where there are several; None for the data set's default.
        published: whether scans are chosen as in the published pipeline: one of each visit in ARKitScenes, the depth
            camera in ScanNet.
        seed: decides which scan of a visit.

    Raises:
        UserError: the folder is missing or has no scan of the split, or the split or the route is unknown.
    """
    if dataset == "scannet":
        from vlm3r.scenes import scannet

        return scannet.find_scans(raw, split, route=route or ("published" if published else "registered"))
    if dataset == "scannetpp":
        from vlm3r.scenes import scannetpp

        return scannetpp.find_scans(raw, split, route=route or "dslr")
    from vlm3r.scenes import arkitscenes

    return arkitscenes.find_scans(raw, split, one_per_visit=published, seed=seed, route=route or "auto")


def open_scan(scan: Scan, published: bool, partial: bool) -> Capture:
    """One scan, opened by its data set's reader.

    The casts are for type checkers that do not take a cached property for a property.

    Args:
        scan: from `find_scans`.
        published: whether pictures take the nearest pose of the trajectory, as published, where poses come less often.
        partial: whether a recording that is cut short is used as far as it goes.

    Raises:
        UserError: something that no scene can do without is missing or unusable.
    """
    if scan.dataset == "scannet":
        from vlm3r.scenes import scannet

        return cast("Capture", scannet.open_scan(scan, partial=partial))
    if partial:
        raise UserError(f"--partial: only recordings of ScanNet are used in part, not those of {scan.dataset}")
    if scan.dataset == "scannetpp":
        from vlm3r.scenes import scannetpp

        return cast("Capture", scannetpp.open_scan(scan))
    from vlm3r.scenes import arkitscenes

    return cast("Capture", arkitscenes.open_scan(scan, interpolate=not published))
