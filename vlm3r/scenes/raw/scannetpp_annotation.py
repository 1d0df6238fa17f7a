"""`scans/` of a ScanNet++ scene: annotated objects with boxes, and which vertices of the mesh belong to which."""

from __future__ import annotations

from pathlib import Path

from vlm3r.scenes.raw import segments
from vlm3r.scenes.raw.capture import Cloud
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.segments import Annotation

MESHES = ("mesh_aligned_0.05.ply", "mesh_aligned_0.05_semantic.ply")
"""In the order in which they are taken; both have the same vertices."""


def read_annotation(scan: Path) -> Annotation:
    """The objects of `scans/segments_anno.json`; see `segments.read_annotation`.

    Raises:
        UserError: the file is missing, a link out of the scan, too large, no JSON, or has no list of objects.
    """
    return segments.read_annotation(within(scan, scan / "scans" / "segments_anno.json"), boxes=True)


def read_cloud(scan: Path, annotation: Annotation) -> tuple[Cloud | None, tuple[str, ...]]:
    """The scene's mesh with the instance of each vertex, and what was wrong with it; see `segments.read_cloud`."""
    folder = scan / "scans"
    mesh = next((folder / name for name in MESHES if (folder / name).is_file()), folder / MESHES[0])
    return segments.read_cloud(scan, mesh, folder / "segments.json", annotation)
