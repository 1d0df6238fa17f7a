"""Features of frozen encoders, computed once per video and read by training and evaluation."""

from vlm3r.training.features.encoders import EncoderSource, expectation_of, expectation_of_source
from vlm3r.training.features.extraction import ExtractOptions, Summary, extract
from vlm3r.training.features.manifest import Expectation, Manifest, Part, bytes_per_video
from vlm3r.training.features.store import FeatureStore, StoredVideo, gather

__all__ = [
    "EncoderSource",
    "Expectation",
    "ExtractOptions",
    "FeatureStore",
    "Manifest",
    "Part",
    "StoredVideo",
    "Summary",
    "bytes_per_video",
    "expectation_of",
    "expectation_of_source",
    "extract",
    "gather",
]
