"""The DSLR pictures of a ScanNet++ scene, with depth maps and masks rendered by the official tools where there are any.

Pictures are the undistorted ones; where only the fisheye pictures of the download are there, they are undistorted here.
Rendered maps lie beside them, in `render_depth` and `render_instance`. Those of the published preparation come with
camera records and show what the undistorted pictures do; those of the official tool show what the fisheye saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.processing.image_frames import image_size, open_rgb
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.camera_record import read_record
from vlm3r.scenes.raw.capture import NO_INSTANCE
from vlm3r.scenes.raw.colmap import read_model
from vlm3r.scenes.raw.footage import StoredView
from vlm3r.scenes.raw.lens import Lens, Undistortion
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.raw.png import MAX_EDGE, read_depth, read_depth_header, read_header
from vlm3r.scenes.raw.resize import resized_camera
from vlm3r.scenes.schema import Array, Intrinsics

FPS = 3.0
"""Of the published videos: pictures are single shots."""
UNDISTORTED = ("resized_undistorted_images", "undistorted_images")
"""Folders of pinhole pictures with one camera: the download's, that of older tools."""
RECORDED = ("rgb_resized_undistorted", *UNDISTORTED)
"""Folders of pinhole pictures with camera records; the published preparation writes the first."""
DISTORTED = "resized_images"
DEPTH, MASKS, RECORDS = "render_depth", "render_instance", "camera"
TRANSFORMS = Path("nerfstudio", "transforms_undistorted.json")

PictureList = Literal["train", "test", "all"]


@dataclass(frozen=True, eq=False)
class _Shot:
    """A picture that can be used."""

    path: Path
    pose: Array | None
    camera: Intrinsics
    camera_known: bool
    lens: Lens | None
    """Of the maps rendered by the official tool, and of the picture itself where that is distorted."""


class DslrFootage:
    """The pictures of a list of `train_test_lists.json`, in the order of their names.

    Raises:
        UserError: the list, all pictures or all cameras are missing or unusable.
    """

    fps = FPS

    def __init__(self, scan: Path, pictures: PictureList = "train") -> None:
        self._scan, self._folder = scan, scan / "dslr"
        self._notes: list[str] = []
        self._undistortions: dict[tuple[Lens, Intrinsics], Undistortion] = {}
        names = _listed(within(scan, self._folder / "train_test_lists.json"), pictures)
        self._records = self._rendered(RECORDS).is_dir()
        source, self._straight = self._picture_folder()
        files = self._sound(source, names)
        self._shots, origin = self._of_records(files) if self._records else self._of_model(files)
        self.views: Sequence[StoredView] = tuple(
            StoredView(shot.path.stem, shot.pose, shot.camera, shot.camera_known, self._has_depth(shot))
            for shot in self._shots
        )
        self.provenance: Mapping[str, Any] = {
            "pictures": {"from": source.name, "list": pictures, "undistorted": "shipped" if self._straight else "here"},
            "poses": origin,
            "depth": f"dslr/{DEPTH}" if any(view.has_depth for view in self.views) else "none shipped",
            "masks": f"dslr/{MASKS}" if self._rendered(MASKS).is_dir() else "none shipped",
            "frame_rate": {"fps": FPS, "from": "published table"},
        }

    @property
    def problems(self) -> Sequence[str]:
        """What was left out so far."""
        return tuple(self._notes)

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The views' pictures `(H, W, 3)` in order."""
        return (self.picture(view) for view in range(len(self._shots)))

    def picture(self, view: int) -> NDArray[np.uint8]:
        """One view's picture."""
        shot = self._shots[view]
        picture = np.asarray(open_rgb(within(self._scan, shot.path)), np.uint8)
        return picture if self._straight else self._undistortion(shot).picture(picture)

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's rendered depth map in metres; None where there is none or it is damaged."""
        shot = self._shots[view]
        try:
            depth = read_depth(within(self._scan, self._map(DEPTH, shot))) if self.views[view].has_depth else None
        except UserError as error:
            self._note(f"{error}; used without depth")
            return None
        return None if depth is None else self._map_undistorted(shot, depth, 0)

    def mask(self, view: int) -> NDArray[np.int64] | None:
        """One view's rendered instance ids; None where there are none or they are damaged."""
        shot = self._shots[view]
        path = self._map(MASKS, shot)
        if not path.is_file():
            return None
        try:
            ids = read_ids(within(self._scan, path))
        except (FieldError, UserError) as error:
            self._note(f"{path.name}: {error}; used without mask")
            return None
        return self._map_undistorted(shot, np.where(ids > 0, ids, NO_INSTANCE), NO_INSTANCE)

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    def _picture_folder(self) -> tuple[Path, bool]:
        """The folder of pictures and whether they are free of distortion, with cameras that say so."""
        known = self._records or (self._folder / TRANSFORMS).is_file()
        for name in RECORDED if self._records else UNDISTORTED:
            if known and (self._folder / name).is_dir():
                return self._folder / name, True
        if (self._folder / DISTORTED).is_dir() and not self._records:
            return self._folder / DISTORTED, False
        wanted = f"{UNDISTORTED[0]} with {TRANSFORMS}, or {DISTORTED}"
        raise UserError(f"{self._folder}: has no pictures with cameras ({wanted}); download the DSLR pictures")

    def _sound(self, folder: Path, names: Sequence[str]) -> dict[Path, tuple[int, int]]:
        """Pictures that can be opened and have the size that most have, which is a video's."""
        sizes: dict[Path, tuple[int, int]] = {}
        broken: list[str] = []
        for name in names:
            try:
                size = image_size(within(self._scan, folder / name))
                if max(size) > MAX_EDGE:
                    raise FieldError(f"has {size[0]} x {size[1]} pixels")
                sizes[folder / name] = size
            except (UserError, FieldError, OSError) as error:
                broken.append(f"{name}: {first_line(error)}")
        common = Counter(sizes.values()).most_common(1)
        broken.extend(f"{path.name} has {w} x {h} pixels" for path, (w, h) in sizes.items() if (w, h) != common[0][0])
        if broken:
            self._note(f"{folder.name}: {len(broken)} of {len(names)} pictures are unusable ({broken[0]}); left out")
        if not common:
            raise UserError(f"{folder}: has none of the {len(names)} listed pictures; download the DSLR pictures")
        return {path: size for path, size in sizes.items() if size == common[0][0]}

    def _of_records(self, files: Mapping[Path, tuple[int, int]]) -> tuple[list[_Shot], str]:
        """Shots whose cameras are in records beside the rendered maps."""
        shots, broken = [], []
        for path, size in files.items():
            record = self._rendered(RECORDS) / f"{path.stem}.npz"
            try:
                found = read_record(within(self._scan, record), size)
                if found.pose is None:
                    broken.append(f"{record.name}: has no usable pose; the picture is used without")
                shots.append(_Shot(path, found.pose, found.camera, True, None))
            except (FieldError, UserError) as error:
                broken.append(f"{record.name}: {error}; the picture is left out")
        self._summary(RECORDS, broken, shots)
        return shots, f"dslr/{RECORDS}, camera-to-world"

    def _of_model(self, files: Mapping[Path, tuple[int, int]]) -> tuple[list[_Shot], str]:
        """Shots whose poses are in the COLMAP model; undistorted pictures have one camera of their own."""
        model = read_model(self._scan, self._folder / "colmap")
        self._notes.extend(model.problems)
        size = next(iter(files.values()))
        shots, broken = [], []
        shared = _undistorted_camera(within(self._scan, self._folder / TRANSFORMS), size) if self._straight else None
        for path in files:
            image = model.images.get(path.name)
            if image is None:
                broken.append(f"{path.name} is not in the model; the picture is left out")
                continue
            try:
                lens = image.lens.resized(*size)
                camera = shared or self._undistorted(lens)
                shots.append(_Shot(path, image.pose, camera, True, lens))
            except FieldError as error:
                broken.append(f"{path.name}: its camera {error}; the picture is left out")
        self._summary("colmap", broken, shots)
        return shots, f"dslr/{model.source}, world-to-camera, inverted"

    def _undistorted(self, lens: Lens) -> Intrinsics:
        """The pinhole camera that a lens's pictures get; all pictures of a lens get the same."""
        for known, camera in self._undistortions:
            if known == lens:
                return camera
        undistortion = Undistortion(lens)
        self._undistortions[lens, undistortion.camera] = undistortion
        return undistortion.camera

    def _undistortion(self, shot: _Shot) -> Undistortion:
        assert shot.lens is not None
        key = (shot.lens, shot.camera)
        if key not in self._undistortions:
            self._undistortions[key] = Undistortion(*key)
        return self._undistortions[key]

    def _map_undistorted(self, shot: _Shot, values: NDArray[Any], empty: int) -> NDArray[Any]:
        """Maps of the official tool show what the fisheye saw; those with camera records what the pinhole sees."""
        return values if shot.lens is None else self._undistortion(shot).values(values, empty)

    def _has_depth(self, shot: _Shot) -> bool:
        path = self._map(DEPTH, shot)
        if not path.is_file():
            return False
        try:
            header = read_depth_header(within(self._scan, path))
            resized_camera(shot.camera, *header.size)
        except (FieldError, UserError) as error:
            self._note(f"{path.name}: {error}; used without depth")
            return False
        return True

    def _rendered(self, name: str) -> Path:
        return self._folder / name

    def _map(self, name: str, shot: _Shot) -> Path:
        return self._rendered(name) / f"{shot.path.stem}.png"

    def _summary(self, source: str, broken: Sequence[str], shots: Sequence[_Shot]) -> None:
        if broken:
            self._note(f"{source}: {len(broken)} cameras are missing or unusable (the first: {broken[0]})")
        if not shots:
            raise UserError(f"{self._folder / source}: has a camera for none of the pictures; download it again")

    def _note(self, problem: str) -> None:
        if problem not in self._notes:
            self._notes.append(problem)


def read_ids(path: Path) -> NDArray[np.int64]:
    """The values of a grey PNG mask of 8 or 16 bits.

    Raises:
        FieldError: the file is missing, damaged, or not grey.
    """
    if not read_header(path).grey:
        raise FieldError("is no grey picture")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image, np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FieldError(f"is damaged ({type(error).__name__})") from None


def _listed(path: Path, pictures: PictureList) -> list[str]:
    """The names on the wanted lists, sorted."""
    record = fields.read_object(path, "the lists of DSLR pictures")
    names: set[str] = set()
    for key in ("train", "test") if pictures == "all" else (pictures,):
        try:
            for name in fields.items(record.get(key), key):
                name = fields.text(name, f"{key}: a name")
                if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
                    raise FieldError(f"{key}: {name[:60]!a} is no plain file name")
                names.add(name)
        except FieldError as error:
            raise UserError(f"{path}: {error}; download it again") from None
    if not names:
        raise UserError(f"{path}: its {pictures} list is empty; choose another list of pictures")
    return sorted(names)


def _undistorted_camera(path: Path, size: tuple[int, int]) -> Intrinsics:
    """The one camera of all undistorted pictures.

    The file's poses are not read: they have other camera axes and another world than the mesh.

    Raises:
        UserError: the file has no pinhole camera for pictures of this shape.
    """
    record = fields.read_object(path, "the camera of the undistorted pictures")
    try:
        width, height = (fields.integer(record.get(key), key) for key in ("w", "h"))
        fx, fy, cx, cy = (fields.number(record.get(key), key) for key in ("fl_x", "fl_y", "cx", "cy"))
        bent = [fields.number(record.get(key, 0), key) for key in ("k1", "k2", "k3", "k4", "p1", "p2")]
        if any(bent):
            raise FieldError("has distortion; undistort the pictures again")
        return resized_camera(fields.camera(Intrinsics(width, height, fx, fy, cx, cy)), *size)
    except FieldError as error:
        raise UserError(f"{path}: {error}; download it again") from None
