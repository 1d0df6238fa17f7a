"""Facts of the supported data sets that question generation needs."""

from __future__ import annotations

FRAME_RATES = {"scannet": 24.0, "scannetpp": 30.0, "arkitscenes": 10.0}
"""Frames per second behind the published frame numbers, so that time = frame number / rate."""

SPELLINGS = {"scannet++": "scannetpp", "scannet_pp": "scannetpp", "scannetv2": "scannet", "arkitscene": "arkitscenes"}


def dataset_name(name: str) -> str:
    """The lower-case name of a data set in any of its published spellings; unknown names are only lower-cased."""
    lowered = name.strip().lower()
    return SPELLINGS.get(lowered, lowered)
