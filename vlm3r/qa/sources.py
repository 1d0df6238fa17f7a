"""Where scenes come from: folders of our own scenes, and published metadata files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.scenes.published import read_published
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import SCENE_FILE, find_scenes, read_scene

SCENE_METADATA = "*_metadata_*.json"
FRAME_MARK = "_frame_metadata_"


@dataclass(frozen=True, eq=False)
class SceneSource:
    """One scene that can be opened, here or in another process."""

    key: str
    """Path relative to the folder that was given, or its name; behind `#` the scene id where a file holds many."""
    path: Path
    """The file that holds it."""
    stamp: str
    """Changes whenever the file does."""
    root: str = ""
    """Folder of its video and images, relative to the folder that was given."""
    content: Scene | UserError | None = None
    """What was read from a file of many scenes; None for files of our own, which are read by whoever works on them."""

    def open(self) -> Scene:
        """The scene.

        Raises:
            UserError: it cannot be used.
        """
        if isinstance(self.content, UserError):
            raise self.content
        return read_scene(self.path) if self.content is None else self.content


def find_sources(places: Sequence[Path], frames_files: Sequence[Path] = ()) -> Iterator[SceneSource]:
    """The scenes in folders of ours or in published scene metadata files, in a fixed order.

    A file that cannot be read gives one source that holds the error.

    Args:
        places: folders with our scenes or published files anywhere below, or published files.
        frames_files: frame metadata for each published file given; by default the file beside it whose name says
            `_frame_metadata_` instead of `_metadata_`, if there is one.

    Raises:
        UserError: a place does not exist or holds no scene; unequal numbers of scene and frame metadata files.
    """
    files = [place for place in places if not place.is_dir()]
    if frames_files and len(frames_files) != len(files):
        raise UserError(
            f"--frames-file given {len(frames_files)} times for {len(files)} scene metadata files; give one for each"
        )
    frames_of = dict(zip(files, frames_files, strict=False))
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: no such file or folder; give scene folders or a published metadata file")
    for place in places:
        if place.is_dir():
            yield from _in_folder(place)
        else:
            yield from _in_file(place, place.parent, frames_of.get(place) or frame_file_beside(place))


def frame_file_beside(scene_file: Path) -> Path | None:
    """The frame metadata file that belongs to a scene metadata file by its name, if it is there."""
    path = scene_file.with_name(scene_file.name.replace("_metadata_", FRAME_MARK, 1))
    return path if path != scene_file and path.exists() else None


def _in_folder(folder: Path) -> Iterator[SceneSource]:
    published = [path for path in sorted(folder.rglob(SCENE_METADATA)) if FRAME_MARK not in path.name]
    for path in published:
        yield from _in_file(path, folder, frame_file_beside(path))
    if published and not any(folder.rglob(SCENE_FILE)):
        return
    for path in find_scenes(folder):
        relative = path.parent.relative_to(folder).as_posix()
        root = "" if relative == "." else relative
        yield SceneSource(root or folder.resolve().name, path, _stamp(path), root=root)


def _in_file(path: Path, folder: Path, frames_file: Path | None) -> Iterator[SceneSource]:
    name = path.relative_to(folder).as_posix()
    stamp = _stamp(path) + (_stamp(frames_file) if frames_file else "")
    try:
        for scene_id, content in read_published(path, frames_file):
            yield SceneSource(f"{name}#{scene_id}", path, stamp, content=content)
    except UserError as error:
        yield SceneSource(name, path, stamp, content=error)


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns};"
