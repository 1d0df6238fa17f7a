from __future__ import annotations

import subprocess
import sys

import pytest

from vlm3r.errors import UserError
from vlm3r.reconstruct.options import ReconstructOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 8),
        ("image_size", 512.0),
        ("chunk", 0),
        ("chunk", True),
        ("max_points", 7),
        ("point_source", "self"),
        ("depth_format", "exr"),
        ("confidence_percentile", 100),
        ("confidence_percentile", -1),
        ("min_confidence", float("nan")),
        ("min_depth", -0.1),
        ("max_depth", 0),
        ("max_depth_step", 0),
        ("voxel_size", 0),
        ("voxel_size", "fine"),
        ("voxel_size", float("inf")),
    ],
)
def test_a_bad_option_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name}="):
        ReconstructOptions(**{name: value})


def test_a_depth_range_must_hold_something():
    with pytest.raises(UserError, match=r"max_depth=1.*min_depth=2"):
        ReconstructOptions(min_depth=2, max_depth=1)


def test_options_can_be_read_without_importing_torch_or_matplotlib():
    code = (
        "import sys; from vlm3r.reconstruct.options import ReconstructOptions; ReconstructOptions();"
        "assert not {'torch', 'matplotlib', 'trimesh'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
