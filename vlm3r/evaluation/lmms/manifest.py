"""What the entry point of the group `lmms_eval.models` gives to lmms-eval."""

from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

MANIFEST = ModelManifest(model_id="vlm3r", simple_class_path="vlm3r.evaluation.lmms.model.VLM3R")
