"""Import this to make transformers' Auto classes know VLM-3R: configuration, model and processor."""

from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor

__all__ = ["VLM3RConfig", "VLM3RForConditionalGeneration", "VLM3RProcessor"]
