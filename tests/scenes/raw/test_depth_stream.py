"""`depth.bin` in both layouts, whole, damaged and hostile."""

from __future__ import annotations

import builtins
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw.scannetpp_files import block_stream, deflated, lz4_literals, whole_stream
from vlm3r.errors import UserError
from vlm3r.scenes.raw import depth_stream, inflation
from vlm3r.scenes.raw.depth_stream import DepthStream, open_depth

COUNT = 9


@pytest.fixture
def maps() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    rough = [rng.uniform(0.2, 8, (192, 256)).astype(np.float32) for _ in range(COUNT)]
    for number, depth in enumerate(rough):
        depth[: 20 + number] = 0
    return rough


@pytest.fixture
def open_stream() -> Iterator[Callable[[Path], DepthStream]]:
    """Opens files, and closes them after the test."""
    with ExitStack() as stack:

        def open_file(path: Path) -> DepthStream:
            stream = open_depth(path)
            stack.callback(stream.close)
            return stream

        yield open_file


def written(tmp_path, content: bytes):
    path = tmp_path / "depth.bin"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("order", [range(COUNT), reversed(range(COUNT)), [4, 4, 0, 8, 1, 7]])
def test_a_whole_stream_is_read_in_any_order(tmp_path, maps, monkeypatch, order, open_stream):
    monkeypatch.setattr(inflation, "EVERY", 3)
    stream = open_stream(written(tmp_path, whole_stream(maps)))
    for number in order:
        assert (stream.frame(number) == maps[number]).all()
    assert len(stream) == COUNT and stream.problem is None
    assert (stream.frame(2) == maps[2]).all()


def test_a_whole_stream_is_entered_near_the_frame_that_is_asked_for(tmp_path, maps, monkeypatch, open_stream):
    monkeypatch.setattr(inflation, "EVERY", 2)
    stream = open_stream(written(tmp_path, whole_stream(maps)))
    assert len(stream) == COUNT
    steps = []
    read = inflation.Inflation._next
    monkeypatch.setattr(inflation.Inflation, "_next", lambda self: steps.append(self._here.number) or read(self))
    assert (stream.frame(7) == maps[7]).all() and steps == [6, 7]
    stream.frame(8)
    stream.frame(1)
    stream.frame(7)
    assert steps == [6, 7, 8, 0, 1, 6, 7]


@pytest.mark.parametrize("kind", ["zlib", "lz4"])
def test_a_stream_of_blocks_is_read_in_any_order(tmp_path, maps, kind, open_stream):
    if kind == "lz4":
        pytest.importorskip("lz4.block")
    stream = open_stream(written(tmp_path, block_stream(maps, kind)))
    assert len(stream) == COUNT and stream.problem is None
    for number in (5, 0, 8, 5):
        assert np.abs(stream.frame(number) - maps[number]).max() <= (0.00051 if kind == "lz4" else 0)


def test_blocks_of_both_kinds_may_follow_each_other(tmp_path, maps, open_stream):
    compress = pytest.importorskip("lz4.block").compress
    shorts = np.rint(maps[0] * 1000).astype("<u2")
    packed = compress(shorts.tobytes(), store_size=False)
    content = struct.pack("<I", len(packed)) + packed + block_stream(maps[1:2], "zlib")
    stream = open_stream(written(tmp_path, content))
    assert (stream.frame(0) == (shorts / 1000).astype(np.float32)).all() and (stream.frame(1) == maps[1]).all()


def test_values_that_are_no_distance_are_unknown(tmp_path, maps, open_stream):
    odd = maps[0].copy()
    odd[100, :4] = np.nan, np.inf, -np.inf, -1
    depth = open_stream(written(tmp_path, whole_stream([odd]))).frame(0)
    assert (depth[100, :4] == 0).all() and (depth[101:] == maps[0][101:]).all()


def test_a_whole_stream_that_is_cut_short_gives_the_frames_before(tmp_path, maps, open_stream):
    content = whole_stream(maps)
    stream = open_stream(written(tmp_path, content[: len(content) // 2]))
    assert 3 <= len(stream) <= 5 and "is cut short" in str(stream.problem)
    assert (stream.frame(2) == maps[2]).all()
    with pytest.raises(UserError, match=r"depth.bin: frame 8: the stream is cut short after"):
        stream.frame(8)


def test_a_whole_stream_that_ends_within_a_frame_says_so(tmp_path, maps, open_stream):
    content = deflated(b"".join(m.tobytes() for m in maps[:3])[:-100])
    stream = open_stream(written(tmp_path, content))
    assert len(stream) == 2 and "ends within a frame after 2" in str(stream.problem)


def test_a_whole_stream_that_is_damaged_gives_the_frames_before(tmp_path, maps, open_stream):
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = packer.compress(b"".join(m.tobytes() for m in maps[:4])) + packer.flush(zlib.Z_SYNC_FLUSH)
    stream = open_stream(written(tmp_path, content + b"\xff" * 100_000))  # a block of a kind that does not exist
    assert len(stream) in (3, 4)  # what is inflated together with the damage is lost
    assert f"is damaged after {len(stream)} whole frames" in str(stream.problem)
    assert (stream.frame(2) == maps[2]).all()
    with pytest.raises(UserError, match="frame 4: the stream is damaged"):
        stream.frame(4)


def test_blocks_that_are_cut_short_give_the_whole_frames(tmp_path, maps, open_stream):
    content = block_stream(maps, "zlib")
    stream = open_stream(written(tmp_path, content[:-1]))
    assert len(stream) == COUNT - 1 and "cut short after 8 whole frames" in str(stream.problem)
    with pytest.raises(UserError, match="frame 8: is not there"):
        stream.frame(8)
    with pytest.raises(UserError, match="frame -1: is not there"):
        stream.frame(-1)
    assert len(open_stream(written(tmp_path, content + b"\1\0"))) == COUNT


def test_a_damaged_block_spoils_its_own_frame_only(tmp_path, maps, open_stream):
    pytest.importorskip("lz4.block")
    blocks = [block_stream([m], "zlib") for m in maps[:3]]
    blocks[1] = struct.pack("<I", 50) + b"\xff" * 50
    stream = open_stream(written(tmp_path, b"".join(blocks)))
    assert (stream.frame(0) == maps[0]).all() and (stream.frame(2) == maps[2]).all()
    with pytest.raises(UserError, match="frame 1: its block is neither zlib nor lz4"):
        stream.frame(1)


def test_a_block_of_another_size_of_map_is_refused(tmp_path, maps, open_stream):
    pytest.importorskip("lz4.block")
    small = lz4_literals(b"\1\2" * 1000)
    stream = open_stream(written(tmp_path, block_stream(maps[:1], "zlib") + struct.pack("<I", len(small)) + small))
    with pytest.raises(UserError, match="frame 1: its block holds 2000 bytes instead of 98304"):
        stream.frame(1)


def test_a_block_that_claims_to_be_huge_ends_the_reading(tmp_path, maps, open_stream):
    content = block_stream(maps[:2], "zlib") + struct.pack("<I", 0xFFFFFFFF) + bytes(100)
    stream = open_stream(written(tmp_path, content))
    assert len(stream) == 2 and "a block of 4294967295 bytes after frame 1" in str(stream.problem)


def test_endless_streams_are_left_at_a_limit(tmp_path, maps, monkeypatch, open_stream):
    monkeypatch.setattr(depth_stream, "MAX_FRAMES", 4)
    whole = open_stream(written(tmp_path, whole_stream(maps)))
    assert len(whole) == 4 and "has no end" in str(whole.problem)
    blocks = open_stream(written(tmp_path, block_stream(maps, "zlib")))
    assert len(blocks) == 4 and "no end" in str(blocks.problem)


def test_a_block_that_inflates_to_more_than_a_map_is_not_inflated_further(tmp_path, maps, open_stream):
    pytest.importorskip("lz4.block")
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(bytes(50_000_000)) + bomb.flush()
    content = block_stream(maps[:1], "zlib") + struct.pack("<I", len(packed)) + packed
    with pytest.raises(UserError, match="frame 1"):
        open_stream(written(tmp_path, content)).frame(1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"\1\2", "is cut short"), (b"\xff" * 64, "neither layout"), (bytes(4000), "neither layout")],
)
def test_files_in_neither_layout_are_refused(tmp_path, content, reason, open_stream):
    with pytest.raises(UserError, match=reason) as caught:
        open_stream(written(tmp_path, content))
    assert "depth.bin" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path, open_stream):
    with pytest.raises(UserError, match=r"depth.bin: no such file"):
        open_stream(tmp_path / "depth.bin")


def test_the_package_that_lz4_blocks_need_is_named_where_it_is_missing(tmp_path, maps, monkeypatch, open_stream):
    path = written(tmp_path, block_stream(maps[:1], "lz4"))
    importing = builtins.__import__

    def without_lz4(name: str, *rest, **more):
        if name.startswith("lz4"):
            raise ImportError("No module named 'lz4'")
        return importing(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_lz4)
    with pytest.raises(UserError, match="pip install lz4"):
        open_stream(path)
