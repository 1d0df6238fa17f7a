"""`vlm3r reconstruct` on a small clip with the embedded model."""

from __future__ import annotations

import json

import pytest

from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.loading import EMBEDDED_MODEL


@pytest.mark.parametrize("asked", [None, 96])
def test_frames_have_the_size_that_the_folder_s_encoder_is_used_at_unless_told_otherwise(vlm3r, video, tmp_path, asked):
    flags = () if asked is None else ("--image-size", asked)
    run = vlm3r("reconstruct", video, "--out", tmp_path / "out", "--device", "cpu", "--max-frames", 2, *flags)
    assert run.status == 0, run.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    own = read_json(EMBEDDED_MODEL / "config.json")["geometry_image_size"]
    assert max(summary["image_size"]) == (own if asked is None else asked)
