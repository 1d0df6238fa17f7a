"""Video, depth and instance files read back by other libraries."""

import av
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from vlm3r.errors import UserError
from vlm3r.scenes.synthetic.pictures import read_png, write_depth, write_instances, write_video


def frames(count=12, size=(48, 64)):
    x = np.linspace(0, 255, size[1])
    for k in range(count):
        image = np.zeros((*size, 3), np.uint8)
        image[..., 0], image[..., 1], image[..., 2] = x, 20 * k, 128
        yield image


def test_the_video_is_h264_at_its_rate_and_looks_like_the_frames(tmp_path):
    write_video(tmp_path / "a.mp4", frames(), 6.0)
    with av.open(str(tmp_path / "a.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        decoded = [(float(f.time), f.to_ndarray(format="rgb24")) for f in video.decode(stream)]
    assert [time for time, _ in decoded] == pytest.approx([k / 6 for k in range(12)])
    for (_, image), expected in zip(decoded, frames(), strict=True):
        assert np.abs(image.astype(int) - expected).mean() < 6


def test_frames_are_shown_at_the_times_that_are_given(tmp_path):
    times = [0.0, 0.1, 0.25, 0.3, 0.9, 1.0, 1.05, 1.5, 1.6, 1.7, 1.8, 2.4]
    write_video(tmp_path / "a.mp4", frames(), 6.0, times=times)
    with av.open(str(tmp_path / "a.mp4")) as video:
        assert [float(frame.time) for frame in video.decode(video=0)] == pytest.approx(times, abs=1e-4)


def littered(count):
    """Frames with flat areas, edges and grain, with memory in another state between them each time."""
    rng, chance = np.random.default_rng(0), np.random.default_rng()
    walls = np.kron(rng.integers(60, 250, (8, 10, 3)), np.ones((40, 40, 1)))
    grain = 4 * gaussian_filter(rng.standard_normal((320, 400, 3)), (1, 1, 0))
    texture = np.clip(walls + grain, 0, 255).astype(np.uint8)
    for k in range(count):
        litter = [chance.integers(0, 255, int(chance.integers(1000, 2_000_000))).astype(np.uint8) for _ in range(20)]
        del litter
        yield texture[k // 2 : k // 2 + 240, 3 * k : 3 * k + 320]


def test_equal_frames_give_equal_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        write_video(tmp_path / name, littered(25), 1.5)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_an_interrupted_video_leaves_nothing(tmp_path):
    def broken():
        yield from frames(3)
        raise RuntimeError("the light went out")

    with pytest.raises(RuntimeError):
        write_video(tmp_path / "a.mp4", broken(), 6.0)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none/a\.mp4"):
        write_video(tmp_path / "none" / "a.mp4", frames(), 6.0)


def test_depth_is_millimetres_and_zero_where_unknown(tmp_path):
    depth = np.array([[0.0014, 1.0, 2.3456], [np.inf, 70.0, np.nan]])
    write_depth(tmp_path / "d.png", depth)
    with Image.open(tmp_path / "d.png") as image:
        assert np.asarray(image).tolist() == [[1, 1000, 2346], [0, 0, 0]]


def test_instance_numbers_survive(tmp_path):
    ids = np.array([[0, 1], [300, 65535]])
    write_instances(tmp_path / "i.png", ids)
    assert np.array_equal(read_png(tmp_path / "i.png"), ids)
