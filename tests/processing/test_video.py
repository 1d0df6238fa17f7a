"""Videos whose pixels spell out the frame number, so that the right frame is known without a second decoder."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.processing import decoders
from vlm3r.processing.sampling import FrameSampling
from vlm3r.processing.video import (
    VideoFrames,
    available_decoders,
    decode_indices,
    iterate_frames,
    probe,
    read_images,
    read_video,
)

needs_decord = pytest.mark.skipif("decord" not in available_decoders(), reason="decord is not installed")
BLOCK, BITS = 16, 12
H264 = "libx264" if "libx264" in av.codecs_available else "mpeg4"


def picture(number: int, width: int = 160, height: int = 112) -> np.ndarray:
    """(H, W, 3) frame whose top left 4x3 blocks are the bits of its number, light for 1."""
    frame = np.full((height, width, 3), (200, 60, 40), np.uint8)
    frame[BLOCK * 3 :] = (40, 60, 200)
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        block = frame[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        block[:] = 230 if number >> bit & 1 else 20
    return frame


def numbers(frames: np.ndarray, rotation: int = 0) -> list[int]:
    """What the frames (frame, H, W, 3), shown turned by `rotation` degrees counter-clockwise, say that they are."""
    stored = np.rot90(frames, -rotation // 90, axes=(1, 2))
    middle = stored[:, BLOCK // 2 : 3 * BLOCK : BLOCK, BLOCK // 2 : 4 * BLOCK : BLOCK].mean(-1).reshape(len(frames), -1)
    return ((middle > 125) << np.arange(BITS)).sum(1).tolist()


def write(
    path: Path,
    count: int = 60,
    pts: list[int] | None = None,
    codec: str = H264,
    size: tuple[int, int] = (160, 112),
    pixels: str = "yuv420p",
    gop: int = 12,
    rate: int = 30,
    **container: str,
) -> Path:
    """A clip of numbered frames; `pts` in 1/90000 s makes the frame rate variable."""
    base = Fraction(1, rate) if pts is None else Fraction(1, 90000)
    with av.open(str(path), "w", options=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pixels, gop
        if codec == "libx264":
            stream.options = {"bf": "2", "preset": "veryfast", "crf": "18"}
        stream.codec_context.time_base = base
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = number if pts is None else pts[number], base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def irregular(count: int) -> list[int]:
    return np.cumsum(np.random.default_rng(0).integers(1500, 9000, count)).tolist()


def rotate(path: Path, degrees: int) -> Path:
    """Writes a display matrix that turns the picture counter-clockwise into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    cos, sin = {90: (0, -1), 180: (-1, 0), 270: (0, 1)}[degrees]
    one = 1 << 16
    values = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *values)
    path.write_bytes(data)
    return path


def trimmed(source: Path, path: Path, frames: int) -> Path:
    """A copy without re-encoding whose edit list hides the first frames, as a phone's trim does."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.dts is not None and packet.pts is not None:
                shift = round(frames / 30 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                new.mux(packet)
    return path


CLIPS = {
    "constant rate": lambda d: write(d / "a.mp4"),
    "index first": lambda d: write(d / "a.mp4", movflags="faststart"),
    "one keyframe": lambda d: write(d / "a.mp4", gop=250),
    "variable rate": lambda d: write(d / "a.mp4", pts=irregular(60)),
    "fragmented": lambda d: write(d / "a.mp4", movflags="frag_keyframe+empty_moov"),
    "matroska": lambda d: write(d / "a.mkv"),
    "webm": lambda d: write(d / "a.webm", codec="libvpx-vp9", pixels="yuv420p"),
    "mpeg4 avi": lambda d: write(d / "a.avi", codec="mpeg4"),
    "gif": lambda d: write(d / "a.gif", codec="gif", pixels="rgb8", rate=10),
    "odd size": lambda d: write(d / "a.mp4", size=(161, 113), pixels="yuv444p"),
    "short": lambda d: write(d / "a.mp4", count=3),
    "name with percent and colon": lambda d: write(d / "a%03d:ä.mp4"),
    "rotated 90": lambda d: rotate(write(d / "a.mp4"), 90),
    "rotated 180": lambda d: rotate(write(d / "a.mp4"), 180),
    "rotated 270": lambda d: rotate(write(d / "a.mp4"), 270),
}
PYAV_ONLY = {
    "mpeg-ts": lambda d: write(d / "a.ts"),
    "no times": lambda d: write(d / "a.h264"),
    "h264 avi": lambda d: write(d / "a.avi"),
}


@pytest.fixture(params=[*CLIPS, *PYAV_ONLY])
def clip(request, tmp_path) -> tuple[str, Path]:
    if request.param == "webm" and "libvpx-vp9" not in av.codecs_available:
        pytest.skip("no VP9 encoder")
    if request.param in ("no times", "h264 avi", "odd size") and H264 != "libx264":
        pytest.skip("no H.264 encoder")
    return request.param, {**CLIPS, **PYAV_ONLY}[request.param](tmp_path)


def rotation_in(name: str) -> int:
    return int(name.split()[1]) if name.startswith("rotated") else 0


def test_every_strategy_gives_the_frames_that_it_names(clip):
    name, path = clip
    total = 3 if name == "short" else 60
    for strategy in ("uniform", "fps", "eval_pyav", "all"):
        video = read_video(path, FrameSampling(strategy, 7))
        assert numbers(video.frames, rotation_in(name)) == video.indices.tolist()
        assert video.total_frames == total
    assert video.frames.shape[1:3] == ((160, 112) if rotation_in(name) % 180 else video.frames.shape[1:3])


@needs_decord
def test_decord_gives_the_same_frames_times_and_notes_or_refuses(clip):
    name, path = clip
    sampling = FrameSampling("uniform", 9)
    ours = read_video(path, sampling)
    if name in PYAV_ONLY:
        with pytest.raises(UserError, match="use the decoder pyav"):
            read_video(path, sampling, "decord")
        return
    theirs = read_video(path, sampling, "decord")
    assert np.array_equal(ours.frames, theirs.frames)
    assert ours.indices.tolist() == theirs.indices.tolist()
    assert ours.timestamps.tolist() == theirs.timestamps.tolist()
    assert ours.notes == theirs.notes
    assert ours.decoder.startswith("PyAV ") and theirs.decoder.startswith("decord ")


def test_iterating_gives_every_frame_in_order(clip):
    name, path = clip
    frames = list(iterate_frames(path, every=2))
    assert [frame.index for frame in frames] == list(range(0, 3 if name == "short" else 60, 2))
    assert numbers(np.stack([frame.image for frame in frames]), rotation_in(name)) == [f.index for f in frames]


def test_times_are_those_of_the_frames_at_a_variable_rate(tmp_path):
    pts = irregular(60)
    video = read_video(write(tmp_path / "a.mp4", pts=pts), FrameSampling("uniform", 9, times="true"))
    assert np.allclose(video.timestamps, (np.array(pts)[video.indices] - pts[0]) / 90000, atol=1e-4)
    assert video.shown_times.tolist() == video.timestamps.tolist()
    assert "variable frame rate" in video.notes
    assert np.allclose(read_video(tmp_path / "a.mp4").shown_times * video.fps, read_video(tmp_path / "a.mp4").indices)


def test_frames_may_be_asked_for_in_any_order_and_twice(tmp_path):
    path = write(tmp_path / "a.mp4", gop=5)
    for decoder in available_decoders():
        video = decode_indices(path, [59, 3, 3, 40, 0], decoder)
        assert numbers(video.frames) == video.indices.tolist() == [59, 3, 3, 40, 0]
        assert np.allclose(video.timestamps, np.array([59, 3, 3, 40, 0]) / 30)


def test_open_groups_of_pictures_need_no_frame_of_the_next(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream(H264, rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 112, "yuv420p"
        stream.options = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0:scenecut=0"}
        for number in range(60):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24")))
        file.mux(stream.encode())
    for index in range(60):
        assert numbers(decode_indices(path, [0, index]).frames) == [0, index]


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path):
    path = trimmed(write(tmp_path / "a.mp4"), tmp_path / "b.mp4", 7)
    video = read_video(path, FrameSampling("all"))
    assert numbers(video.frames) == list(range(7, 60))
    assert video.indices.tolist() == list(range(53)) and video.notes == ()


def test_seeking_skips_most_of_a_long_file(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", count=400, gop=20)
    decoded = []
    packets = decoders.demux

    def counting(*arguments):
        for packet in packets(*arguments):
            decoded.append(packet.size > 0)
            yield packet

    monkeypatch.setattr(decoders, "demux", counting)
    assert numbers(decode_indices(path, [0, 200, 399]).frames) == [0, 200, 399]
    assert sum(decoded) < 100


def test_a_seek_that_goes_astray_is_noticed(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mkv", count=200, gop=20)

    def astray(*_):
        raise decoders._SeekMissed

    monkeypatch.setattr(decoders, "_seek", astray)
    assert numbers(decode_indices(path, [0, 150]).frames) == [0, 150]


def test_no_more_than_the_chosen_frames_are_held(tmp_path):
    path = write(tmp_path / "a.mp4", count=200, size=(640, 480))
    tracemalloc.start()
    try:
        assert len(read_video(path, FrameSampling("uniform", 4))) == 4
        reading = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert sum(1 for _ in iterate_frames(path)) == 200
        iterating = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reading < 10 * 640 * 480 * 3 and iterating < 10 * 640 * 480 * 3


def test_probe_tells_what_the_file_is(tmp_path):
    info = probe(rotate(write(tmp_path / "a.mp4"), 90))
    assert (info.width, info.height, info.rotation, info.total_frames, info.header_frames) == (112, 160, 90, 60, 60)
    assert info.fps == 30 and info.duration == pytest.approx(2.0) and info.container.startswith("mov")
    assert info.notes == ("rotated 90 degrees",)
    info = probe(write(tmp_path / "a.ts"))
    assert (info.total_frames, info.header_frames) == (60, 0)


@pytest.mark.parametrize("name", ["faststart.mp4", "fragmented.mp4", "a.mkv", "a.avi"])
def test_a_file_cut_short_gives_what_is_there_and_says_so(tmp_path, name):
    flags = {"faststart.mp4": {"movflags": "faststart"}, "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov"}}
    path = write(tmp_path / name, **flags.get(name, {}), codec="mpeg4" if name == "a.avi" else H264)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.8)])
    video = read_video(path)
    assert 5 < video.total_frames < 60
    # The cut can take frames that are stored after one shown later, so numbers may skip; times never lie.
    assert numbers(video.frames) == np.round(video.timestamps * 30).tolist()
    assert numbers(video.frames[:-3]) == video.indices[:-3].tolist()
    assert video.indices[-1] == video.total_frames - 1
    assert any("file ends early" in note for note in video.notes)
    assert len(list(iterate_frames(path))) == video.total_frames


@pytest.mark.parametrize("filler", ["zeros", "noise"])
def test_a_damaged_frame_is_an_error_and_frames_apart_from_it_are_not(tmp_path, filler):
    path = write(tmp_path / "a.mp4", count=120, gop=20)
    with av.open(str(path)) as file:
        hit = next(p for p in file.demux(video=0) if p.pts is not None and p.pts >= 50 * 512 and not p.is_keyframe)
        start, size, number = hit.pos, hit.size, round(hit.pts * hit.time_base * 30)
    data = bytearray(path.read_bytes())
    junk = np.random.default_rng(1).integers(0, 256, size, np.uint8).tobytes() if filler == "noise" else bytes(size)
    data[start : start + size] = junk
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"frame {number} \(at .* s\) is damaged: copy the file again"):
        decode_indices(path, [0, number, 100])
    assert numbers(decode_indices(path, [0, 39, 60, 119]).frames) == [0, 39, 60, 119]
    seen = []
    with pytest.raises(UserError, match="is damaged"):
        seen.extend(frame.index for frame in iterate_frames(path))
    assert seen == list(range(len(seen))) and 40 <= len(seen) <= number


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def without_frames(path: Path) -> Path:
    """A fragmented MP4 up to its first fragment."""
    data = write(path, movflags="frag_keyframe+empty_moov").read_bytes()
    return fill(path, data[: data.index(b"moof") - 4])


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def fill(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


BAD = {
    "missing": (lambda d: d / "no.mp4", "does not exist: check the path"),
    "empty": (lambda d: fill(d / "a.mp4", b""), "is empty"),
    "no index": (lambda d: cut(write(d / "a.mp4"), 0.6), "is incomplete: its index is missing"),
    "text": (lambda d: fill(d / "a.mp4", b"hello\n" * 500), "is not a video"),
    "text by name": (lambda d: fill(d / "a.txt", b"hello\n" * 500), "is not a video"),
    "audio only": (lambda d: audio_only(d / "a.mp4"), "has only sound"),
    "no frame": (lambda d: without_frames(d / "a.mp4"), "holds no video frame"),
    "empty directory": (lambda d: d, "has no image"),
    "damaged image": (lambda d: cut(save(d / "a.jpg", 1), 0.8), "is damaged"),
    "no image": (lambda d: fill(d / "a.png", b"hello" * 50), "is not an image"),
}


def save(path: Path, number: int, size: tuple[int, int] = (160, 112), **options) -> Path:
    Image.fromarray(picture(number, *size)).save(path, **options)
    return path


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(tmp_path, case, capfd):
    make, message = BAD[case]
    path = make(tmp_path)
    for read in (read_video, probe, lambda p: list(iterate_frames(p)), lambda p: decode_indices(p, [0])):
        if case == "damaged image" and read is probe:
            continue  # the header, which is all that a probe reads, is intact
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_bad_arguments_are_refused_with_a_remedy(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", count=5)
    with pytest.raises(UserError, match="did you mean 'pyav'"):
        read_video(path, decoder="pyva")
    with pytest.raises(UserError, match="frame 5 does not exist: give numbers from 0 to 4"):
        decode_indices(path, [0, 5])
    with pytest.raises(UserError, match="frame -1 does not exist"):
        decode_indices(path, [-1])
    with pytest.raises(UserError, match="no frame was asked for"):
        decode_indices(path, [])
    with pytest.raises(UserError, match="every is 0"):
        list(iterate_frames(path, every=0))
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(UserError, match="pip install decord2"):
        read_video(path, decoder="decord")


@needs_decord
def test_a_width_that_decord_cannot_unpack_is_a_clear_error(tmp_path):
    path = write(tmp_path / "a.mp4", size=(96, 64), count=4)
    assert numbers(read_video(path, FrameSampling("all")).frames) == [0, 1, 2, 3]
    try:
        frames = read_video(path, FrameSampling("all"), "decord").frames
    except UserError as error:
        assert "use the decoder pyav" in str(error)
    else:  # a later decord may be able to
        assert numbers(frames) == [0, 1, 2, 3]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_first_image_that_is_cut_short_is_named(tmp_path, suffix, share):
    path = tmp_path / f"1.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=f"{path} is"):
        read_video(tmp_path, FrameSampling("all"))


def test_a_directory_of_images_is_a_video_in_natural_order(tmp_path):
    for number in range(12):
        save(tmp_path / f"frame{number}.png", number)
    save(tmp_path / ".frame5.png", 99)
    (tmp_path / "notes.txt").write_text("x")
    video = read_video(tmp_path, FrameSampling("uniform", 5), image_fps=10)
    assert numbers(video.frames) == video.indices.tolist() == [0, 2, 5, 8, 11]
    assert video.timestamps.tolist() == [0, 0.2, 0.5, 0.8, 1.1] and video.duration == pytest.approx(1.2)
    assert video.notes == ("images: 10 frames a second assumed",)
    assert [frame.index for frame in iterate_frames(tmp_path, every=5)] == [0, 5, 10]
    assert probe(tmp_path).total_frames == 12
    listed = read_images([tmp_path / "frame7.png", tmp_path / "frame3.png"], FrameSampling("all"))
    assert numbers(listed.frames) == [7, 3]


def test_images_are_upright_and_of_one_size(tmp_path):
    for number, orientation in enumerate((1, 6, 8, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turns = {1: 0, 6: 1, 8: 3, 3: 2}[orientation]
        stored = Image.fromarray(np.rot90(picture(number), turns).copy())
        stored.save(tmp_path / f"{number}.jpg", exif=exif, quality=95)
    save(tmp_path / "4.webp", 4, lossless=True)
    save(tmp_path / "5.bmp", 5)
    video = read_video(tmp_path, FrameSampling("all"))
    assert numbers(video.frames) == list(range(6)) and len(video.notes) == 1
    save(tmp_path / "6.png", 6, (320, 240))
    video = read_video(tmp_path, FrameSampling("all"))
    assert video.frames.shape == (7, 112, 160, 3)
    assert video.notes[1] == "1 images were resized to 160x112, the size of the first"


def test_bad_images_are_named(tmp_path):
    with pytest.raises(UserError, match="list of images is empty"):
        read_images([])
    with pytest.raises(UserError, match=r"no\.png does not exist"):
        read_images([save(tmp_path / "a.png", 0), tmp_path / "no.png"])
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(UserError, match="depth map"):
        read_images([tmp_path / "depth.png"])


def test_frames_from_memory_have_the_times_that_they_are_given():
    frames = np.stack([picture(number) for number in range(3)])
    assert VideoFrames.from_array(frames).shown_times is None
    timed = VideoFrames.from_array(frames, [0, 0.5, 1.0])
    assert timed.shown_times.tolist() == [0, 0.5, 1.0] and timed.duration == 1.5 and timed.fps == 2.0
    with pytest.raises(ValueError, match=r"\(frame, H, W, 3\) uint8"):
        VideoFrames.from_array(frames[0])
    with pytest.raises(ValueError, match="timestamps"):
        VideoFrames.from_array(frames, [0.0])


def test_importing_the_reader_does_not_import_decord():
    code = "import sys, vlm3r.processing.video; sys.exit('decord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
