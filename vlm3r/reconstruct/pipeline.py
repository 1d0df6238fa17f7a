"""`reconstruct`: from frames to files, in memory that does not grow with the video's length (poses aside)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.reconstruct import export
from vlm3r.reconstruct.camera import estimate_focal, transform
from vlm3r.reconstruct.frames import Frame, Framing, prepare_frames
from vlm3r.reconstruct.frusta import robust_bounds
from vlm3r.reconstruct.keyframes import KeyframeSampler
from vlm3r.reconstruct.options import ReconstructOptions, StateUpdate
from vlm3r.reconstruct.points import select_points, surface_normals
from vlm3r.reconstruct.staging import staged_folder, write_file
from vlm3r.reconstruct.summary import ReconstructionSummary
from vlm3r.reconstruct.trajectory import Trajectory
from vlm3r.reconstruct.viewpoint import estimate_up
from vlm3r.reconstruct.voxels import PointCloud, VoxelGrid

OUTPUTS = (
    "cloud.ply",
    "cloud.glb",
    "depth",
    "depth.json",
    "confidence",
    "trajectory.txt",
    "trajectory.json",
    "preview.png",
    "summary.json",
)
"""Every name that a run may write into its output folder."""

Array = NDArray[np.float32]
Item = TypeVar("Item")


class PointmapStream(Protocol):
    """One video's way through the model; a state travels from one push to the next."""

    def push(self, frames: torch.Tensor) -> Any:
        """The geometry of frames (batch, frame, 3, H, W) in [-1, 1].

        The result has `pts3d_in_self_view` and `pts3d_in_other_view` (batch, frame, H, W, 3), `conf_self` and `conf`
        (batch, frame, H, W) and `camera_pose` (batch, frame, 7).
        """
        ...


class PointmapModel(Protocol):
    """What `reconstruct` needs of a CUT3R model."""

    def stream(self, batch_size: int = 1, heads: bool = False, state_update: StateUpdate = "cut3r") -> PointmapStream:
        """A fresh stream; with `heads` it yields geometry."""
        ...


def reconstruct(
    model: PointmapModel,
    frames: Iterable[tuple[int, float, NDArray[np.uint8]]],
    out_dir: Path | str,
    options: ReconstructOptions | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReconstructionSummary:
    """What the reconstruction came to, after writing its files into `out_dir`, all of them or none.

    Args:
        model: a CUT3R model with heads.
        frames: (frame number, seconds, RGB uint8 (H, W, 3)) in the order of time; read once, a few at a time.
        out_dir: a missing or empty folder, unless `options.overwrite`.
        options: defaults if omitted.
        progress: called with the number of frames done after each chunk.

    Raises:
        UserError: no frames, unusable frames, no point left by the filters, an unusable or full output folder.
    """
    options = options or ReconstructOptions()
    with staged_folder(Path(out_dir), OUTPUTS, options.overwrite) as folder:
        run = _Run(folder, options)
        stream = model.stream(batch_size=1, heads=True, state_update=options.state_update)
        for chunk in _chunks(prepare_frames(frames, options.image_size, options.allow_square), options.chunk):
            geometry = _push(stream, [frame.image for _, frame in chunk], _placement(model))
            for i, (framing, frame) in enumerate(chunk):
                run.add(framing, frame, {name: value[i] for name, value in geometry.items()})
            if progress is not None:
                progress(run.frames)
        return run.finish()


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    held: list[Item] = []
    for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def _placement(model: object) -> torch.Tensor:
    """An empty tensor on the model's device and of its dtype."""
    first = next(model.parameters(), None) if isinstance(model, torch.nn.Module) else None
    return torch.empty(0) if first is None else first.new_empty(0)


def _push(stream: PointmapStream, images: list[NDArray[np.uint8]], placement: torch.Tensor) -> dict[str, Array]:
    """The model's maps and poses for images (H, W, 3), as float32 arrays with the frame axis first."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)[None]  # (1, frame, 3, H, W)
    pixels = (pixels.to(placement.device).float() / 127.5 - 1).to(placement.dtype)
    with torch.no_grad():
        output = stream.push(pixels)
    count, height, width = len(images), *images[0].shape[:2]
    shapes = {
        "pts3d_in_self_view": (1, count, height, width, 3),
        "pts3d_in_other_view": (1, count, height, width, 3),
        "conf_self": (1, count, height, width),
        "conf": (1, count, height, width),
        "camera_pose": (1, count, 7),
    }
    arrays = {}
    for name, shape in shapes.items():
        value = getattr(output, name)
        if tuple(value.shape) != shape:
            raise ValueError(f"{name}: expected (batch, frame, ...) = {shape}, got {tuple(value.shape)}")
        arrays[name] = value[0].float().cpu().numpy()
    return arrays


class _Run:
    """The state of one reconstruction between frames."""

    def __init__(self, folder: Path, options: ReconstructOptions) -> None:
        self.folder, self.options = folder, options
        self.frames = self.pixels = self.used = self.clipped = 0
        self.dropped: Counter[str] = Counter()
        self.grid: VoxelGrid | None = None
        self.framing: Framing | None = None
        self.trajectory = Trajectory()
        self.keyframes = KeyframeSampler()
        self.depth_index: list[dict[str, Any]] = []

    def add(self, framing: Framing, frame: Frame, geometry: dict[str, Array]) -> None:
        """Takes in one frame: maps (H, W, ...) and pose (7,)."""
        self.framing = framing
        own = geometry["pts3d_in_self_view"]
        self._write_maps(frame, own[..., 2], geometry["conf_self"])
        shown = np.where(own[..., 2] <= self.options.max_depth, own[..., 2], np.nan)
        self.keyframes.add(frame.index, frame.timestamp, frame.image, shown)
        matrix = self.trajectory.add(frame, geometry["camera_pose"], estimate_focal(own))
        self.frames += 1
        self.pixels += own[..., 0].size
        if matrix is None:
            self.dropped["no_pose"] += own[..., 0].size
        else:
            self._add_points(frame, geometry, matrix)

    def _add_points(self, frame: Frame, geometry: dict[str, Array], matrix: NDArray[np.float64]) -> None:
        depth = geometry["pts3d_in_self_view"][..., 2]
        if self.options.point_source == "posed":
            points, confidence = transform(matrix, geometry["pts3d_in_self_view"]), geometry["conf_self"]
        else:
            points, confidence = geometry["pts3d_in_other_view"], geometry["conf"]
        keep, dropped = select_points(points, depth, confidence, self.options)
        self.dropped.update(dropped)
        if not keep.any():
            return
        if self.grid is None:
            self.grid = VoxelGrid(self._voxel_size(depth[keep]), self.options.max_points)
        normals = surface_normals(points, matrix[:3, 3])
        missed = self.grid.add(points[keep], frame.image[keep], confidence[keep], normals[keep])
        self.dropped["out_of_reach"] += missed
        self.used += int(keep.sum()) - missed

    def _voxel_size(self, depth: NDArray[np.floating]) -> float:
        if self.options.voxel_size != "auto":
            return self.options.voxel_size
        return float(f"{float(np.median(depth)) / 200:.2g}")

    def _write_maps(self, frame: Frame, depth: NDArray[np.floating], confidence: NDArray[np.floating]) -> None:
        name = f"{self.frames:06d}"
        if self.options.write_confidence:
            write_file(self.folder / "confidence" / f"{name}.png", export.encode_confidence_png(confidence))
        if not self.options.write_depth:
            return
        if self.options.depth_format in ("png", "both"):
            data, clipped = export.encode_depth_png(depth)
            self.clipped += clipped
            write_file(self.folder / "depth" / f"{name}.png", data)
        if self.options.depth_format in ("npz", "both"):
            write_file(self.folder / "depth" / f"{name}.npz", export.encode_depth_npz(depth, confidence))
        self.depth_index.append({"name": name, "frame_index": frame.index, "timestamp": frame.timestamp})

    def finish(self) -> ReconstructionSummary:
        """Writes what needs the whole video."""
        if self.framing is None:
            raise UserError("the video gave no frames; check its path and the sampling options")
        if self.grid is None or not len(self.grid):
            reasons = ", ".join(f"{name} {count}" for name, count in self.dropped.items() if count)
            raise UserError(f"no pixel became a point (dropped: {reasons}); loosen the depth or confidence options")
        cloud = self.grid.cloud()
        matrices = self.trajectory.matrices
        up, up_source = estimate_up(matrices, cloud.normals)
        self._write_trajectory_and_depth_index(self.framing)
        if self.options.write_cloud:
            size = (self.framing.width, self.framing.height)
            write_file(self.folder / "cloud.ply", export.encode_ply(cloud))
            write_file(self.folder / "cloud.glb", export.encode_glb(cloud, matrices, self.trajectory.focal, size))
        if self.options.write_preview:
            self._write_preview(self.framing, cloud, self.grid.voxel_size, up)
        summary = self._summary(self.framing, self.grid, cloud, (up, up_source))
        write_file(self.folder / "summary.json", summary.json(self.options))
        return summary

    def _write_trajectory_and_depth_index(self, framing: Framing) -> None:
        write_file(self.folder / "trajectory.txt", self.trajectory.tum())
        write_file(self.folder / "trajectory.json", self.trajectory.json(framing))
        if self.depth_index:
            index = {
                "unit_m": export.DEPTH_UNIT,
                "unknown": 0,
                "meaning": "along the optical axis; PNG: 16-bit steps of unit_m, clipped at 65.535 m; npz: metres",
                "clipped_pixels": self.clipped,
                "frames": self.depth_index,
            }
            write_file(self.folder / "depth.json", json.dumps(index, indent=1, allow_nan=False) + "\n")

    def _write_preview(self, framing: Framing, cloud: PointCloud, voxel_size: float, up: NDArray[np.float64]) -> None:
        from vlm3r.reconstruct.preview import Scene, render_preview  # matplotlib only where it is wanted

        title = (
            f"{self.frames} frames, {len(cloud):,} points in {voxel_size * 100:.2g} cm voxels, "
            f"camera path {self.trajectory.length:.2f} m"
        )
        scene = Scene(
            cloud=cloud,
            voxel_size=voxel_size,
            matrices=self.trajectory.matrices,
            timestamps=self.trajectory.timestamps,
            focal=self.trajectory.focal,
            image_size=(framing.width, framing.height),
            up=up,
            keyframes=self.keyframes.frames(),
            title=title,
            caption=self.options.caption,
        )
        write_file(self.folder / "preview.png", render_preview(scene))

    def _summary(
        self, framing: Framing, grid: VoxelGrid, cloud: PointCloud, up: tuple[NDArray[np.float64], str]
    ) -> ReconstructionSummary:
        focal = self.trajectory.focal
        low, high = robust_bounds(cloud.positions)
        written = {entry.name for entry in self.folder.iterdir()} | {"summary.json"}
        return ReconstructionSummary(
            frames=self.frames,
            poses=len(self.trajectory),
            pixels=self.pixels,
            pixels_used=self.used,
            pixels_dropped=dict(self.dropped),
            points=len(cloud),
            voxel_size=grid.voxel_size,
            voxel_doublings=grid.coarsenings,
            source_size=framing.source_size,
            image_size=(framing.width, framing.height),
            focal_px=focal,
            horizontal_fov_deg=float(np.degrees(2 * np.arctan(framing.width / 2 / focal))) if focal else None,
            path_length_m=self.trajectory.length,
            extent_m=(float(high[0] - low[0]), float(high[1] - low[1]), float(high[2] - low[2])),
            up=(float(up[0][0]), float(up[0][1]), float(up[0][2])),
            up_source=up[1],
            notes=self._notes(grid),
            files=tuple(name for name in OUTPUTS if name in written),
        )

    def _notes(self, grid: VoxelGrid) -> tuple[str, ...]:
        notes = [self.options.caption] if self.options.caption else []
        if grid.coarsenings:
            notes.append(
                f"voxels were doubled {grid.coarsenings} times, to {grid.voxel_size:g} m, to keep to "
                f"max_points={self.options.max_points}"
            )
        if self.clipped:
            notes.append(f"{self.clipped} depth pixels beyond 65.535 m were clipped in the 16-bit maps")
        missing = self.frames - len(self.trajectory)
        if missing:
            notes.append(
                f"{missing} of {self.frames} frames had no finite pose and are not in the trajectory or the cloud"
            )
        return tuple(notes)
