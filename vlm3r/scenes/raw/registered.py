"""Depth maps of one camera as another camera at the same place would see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Intrinsics


def seen_by(depth: NDArray[np.float32], stored: Intrinsics, wanted: Intrinsics) -> NDArray[np.float32]:
    """The depth map `(h, w)` of the `wanted` camera, 0 where the `stored` one does not see.

    Both cameras look the same way from the same point, so that a point's depth is the same in both. Values are taken
    from the nearest pixel: a mean across an object's edge would be a depth at which there is nothing.

    Args:
        depth: `(h, w)` of the stored camera.
        stored: the camera that took it.
        wanted: the camera that is to see it; pixel centres are at halves in both.
    """
    x = (np.arange(wanted.width) + 0.5 - wanted.cx) / wanted.fx
    y = (np.arange(wanted.height) + 0.5 - wanted.cy) / wanted.fy
    columns = np.floor(x * stored.fx + stored.cx)
    rows = np.floor(y * stored.fy + stored.cy)
    across, down = (columns >= 0) & (columns < stored.width), (rows >= 0) & (rows < stored.height)
    result = np.zeros((wanted.height, wanted.width), np.float32)
    result[np.ix_(down, across)] = depth[np.ix_(rows[down].astype(np.int64), columns[across].astype(np.int64))]
    return result
