"""The VLM-3R model in the Hugging Face interface, registered with the Auto classes."""

from transformers import AutoConfig, AutoModelForImageTextToText

from vlm3r.model.config import VLM3RConfig
from vlm3r.model.layout import NEWLINE_POSITIONS, POOL_MODES, VisualLayout
from vlm3r.model.modeling import VisualStages, VLM3RForConditionalGeneration

AutoConfig.register(VLM3RConfig.model_type, VLM3RConfig, exist_ok=True)
AutoModelForImageTextToText.register(VLM3RConfig, VLM3RForConditionalGeneration, exist_ok=True)

__all__ = [
    "NEWLINE_POSITIONS",
    "POOL_MODES",
    "VLM3RConfig",
    "VLM3RForConditionalGeneration",
    "VisualLayout",
    "VisualStages",
]
