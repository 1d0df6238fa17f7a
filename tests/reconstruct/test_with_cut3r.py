"""The pipeline on a real, untrained CUT3R, and what its files are for: the conventions agree with the model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cut3r import CUT3R, CUT3RConfig
from PIL import Image

from vlm3r.reconstruct import ReconstructOptions, reconstruct


def small_cut3r() -> CUT3R:
    torch.manual_seed(0)
    config = CUT3RConfig(
        enc_embed_dim=32,
        enc_depth=1,
        enc_num_heads=2,
        ray_enc_num_heads=2,
        dec_embed_dim=32,
        dec_depth=2,
        dec_num_heads=2,
        state_size=16,
        state_dec_num_heads=2,
        local_mem_size=4,
        head_type="linear",
    )
    return CUT3R(config).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_untrained_cut3r_gives_files_of_its_own_depth(tmp_path, dtype):
    model = small_cut3r().to(dtype)
    rng = np.random.default_rng(0)
    frames = [(5 * i, i / 2, rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)) for i in range(5)]
    options = ReconstructOptions(image_size=64, chunk=2, max_depth_step=None, write_preview=dtype == torch.float32)
    summary = reconstruct(model, frames, tmp_path / "out", options)
    assert summary.image_size == (64, 48)
    assert (summary.frames, summary.poses) == (5, 5)
    assert summary.points > 100
    if dtype == torch.float32:
        small = [np.asarray(Image.fromarray(f).resize((64, 48), Image.Resampling.LANCZOS)) for _, _, f in frames]
        pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
        with torch.no_grad():
            depth = model(pixels, heads=True).pts3d_in_self_view[0, 3, ..., 2].numpy()
        written = np.asarray(Image.open(tmp_path / "out" / "depth" / "000003.png")) / 1000
        np.testing.assert_allclose(written, np.clip(depth, 0, 65.535), atol=0.001)


def test_the_ttt3r_state_update_reaches_the_model(tmp_path):
    rng = np.random.default_rng(0)
    frames = [(i, float(i), rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for i in range(4)]
    for update in ("cut3r", "ttt3r"):
        options = ReconstructOptions(image_size=64, max_depth_step=None, write_preview=False, state_update=update)
        reconstruct(small_cut3r(), frames, tmp_path / update, options)
    plain, rated = (np.loadtxt(tmp_path / update / "trajectory.txt") for update in ("cut3r", "ttt3r"))
    # The first frame replaces the state in both; the rate shows from the third frame on.
    np.testing.assert_allclose(plain[:2], rated[:2], atol=1e-6)
    assert np.abs(plain[2:] - rated[2:]).max() > 1e-5
