"""What a model's configuration says about the terms under which its weights may be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from cut3r import CUT3RConfig

Geometry = Literal["none", "own", "published"]
"""No geometry encoder; one of another size than the published CUT3R; one of its size."""

SIZES = ("enc_embed_dim", "enc_depth", "dec_embed_dim", "dec_depth", "state_size")
NON_COMMERCIAL = "cc-by-nc-sa-4.0"
OWN = "apache-2.0"


def describe_geometry(config: Mapping[str, Any]) -> Geometry:
    """Which geometry encoder a native or published `config.json` asks for.

    Weights carry no name of their maker, so one of the published size counts as the published one.
    """
    published = CUT3RConfig()
    if config.get("model_type") == "vlm3r":
        if config.get("geometry", "cut3r") == "none":
            return "none"
        sizes = config.get("geometry_config") or {}
        same = all(sizes.get(name, getattr(published, name)) == getattr(published, name) for name in SIZES)
    else:
        if not config.get("spatial_tower"):
            return "none"
        same = config.get("spatial_feature_dim", published.dec_embed_dim) == published.dec_embed_dim
    return "published" if same else "own"


def is_untrained(config: Mapping[str, Any]) -> bool:
    """Whether a native or published `config.json` says that the weights are a filling without meaning."""
    own = config.get("vlm3r")
    return bool(config.get("untrained") or (isinstance(own, Mapping) and own.get("untrained")))


def default_licence(geometry: Geometry, whole: bool) -> str:
    """Licence identifier where the user names none: CUT3R's wherever its weights may be inside, else Apache-2.0."""
    return NON_COMMERCIAL if whole and geometry == "published" else OWN


def licence_notes(geometry: Geometry, whole: bool) -> tuple[str, ...]:
    """What a user of the uploaded weights has to know beyond the licence, a sentence or two each."""
    notes = {
        ("published", True): (
            "The geometry encoder has the size of the published CUT3R. CUT3R's weights are under CC BY-NC-SA 4.0: no "
            "commercial use, attribution, share alike; converting or merging them changes nothing about that."
        ),
        ("published", False): (
            "These weights need CUT3R's, which are under CC BY-NC-SA 4.0 and not included: used together with them, "
            "the model is not for commercial use."
        ),
        ("own", True): (
            "The geometry encoder is not of the published size: CUT3R's published weights (CC BY-NC-SA 4.0, no "
            "commercial use) are not in it."
        ),
        ("own", False): "These weights need the geometry encoder that they were trained with, under its own terms.",
        ("none", True): "There is no geometry encoder in it, so nothing under CUT3R's non-commercial licence.",
        ("none", False): "It uses no geometry encoder, so nothing under CUT3R's non-commercial licence.",
    }
    return (
        notes[geometry, whole],
        "The base model keeps its own terms. LLaVA-NeXT-Video-7B-Qwen2 is Apache-2.0 on its card; its training data "
        "include answers of commercial models and data sets for research, and its authors state research as the "
        "intended use.",
        "ScanNet, ScanNet++ and ARKitScenes are for non-commercial research: a model trained on them, or on questions "
        "made from them, is subject to their owners' terms on derived works.",
    )
