"""VLM-3R: visual tokens enriched with geometry, projected, pooled, and read by Qwen2."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cut3r import CUT3R, CUT3RConfig
from cut3r.initialise import initialise as initialise_cut3r
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel, Qwen2ForCausalLM
from transformers.generation.logits_process import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from vlm3r.model.config import VLM3RConfig
from vlm3r.model.fusion import ProjectedAttention, Projector, SpatialFusion
from vlm3r.model.geometry import encode_geometry, select_geometry
from vlm3r.model.resampler import place_newlines, pool_frames
from vlm3r.model.vision import VisionTower

VISUAL_INPUTS = (
    "pixel_values",
    "frame_counts",
    "image_pixel_values",
    "image_counts",
    "camera_tokens",
    "patch_tokens",
    "vision_tokens",
    "video_embeddings",
    "image_embeddings",
)
"""Arguments of `embed` beside the token ids, which `forward` and `generate` pass on."""


@dataclass(frozen=True)
class VisualStages:
    """What each stage makes of a batch of clips; frames beyond a clip's own count are padding."""

    vision_tokens: Tensor
    """`(clip, frame, patch, visual dim)` from SigLIP."""
    camera_tokens: Tensor | None
    """`(clip, frame, 1, geometry dim)` from CUT3R, None without geometry."""
    patch_tokens: Tensor | None
    """`(clip, frame, geometry patch, geometry dim)` from CUT3R, None without geometry."""
    fused: Tensor
    """`(clip, frame, patch, visual dim)` after fusion; the visual tokens themselves without geometry."""
    projected: Tensor
    """`(clip, frame, patch, text dim)`."""
    pooled: Tensor
    """`(clip, frame, pooled patch, text dim)`; equal to `projected` for still images."""
    sequences: tuple[Tensor, ...]
    """Per clip `(token, text dim)`: its frames in time, newlines in place, padding frames left out."""

    @property
    def embeddings(self) -> Tensor:
        """`(clip, token, text dim)`; clips of different lengths have only `sequences`."""
        return torch.stack(self.sequences)


class VLM3RForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A video language model with a sense of 3-D space, in the Hugging Face interface.

    Visual tokens enter as placeholders in `input_ids` (one per resulting token, newlines included), over which the
    embeddings of the clips are scattered in order. A clip is a video, or all still images of one sample: its frames
    go through the geometry encoder as one sequence, and never share state with another clip.
    """

    config_class = VLM3RConfig
    config: VLM3RConfig
    base_model_prefix = ""
    main_input_name = "input_ids"
    input_modalities = ["image", "video", "text"]  # noqa: RUF012 (declared by the base)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["Qwen2DecoderLayer", "SiglipEncoderLayer", "CUT3R"]  # noqa: RUF012 (declared by the base)
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(self, config: VLM3RConfig):
        super().__init__(config)
        vision, text = config.siglip, config.qwen2
        self.vision_tower = VisionTower(vision)
        if config.geometry == "cut3r":
            self.geometry_encoder = CUT3R(CUT3RConfig.from_dict(config.geometry_config or {}))
            self.fusion = SpatialFusion(
                vision.hidden_size,
                self.geometry_encoder.config.dec_embed_dim,
                config.fusion_num_heads,
                config.fusion_dropout,
            )
        self.projector = Projector(vision.hidden_size, text.hidden_size)
        self.image_newline = nn.Parameter(torch.randn(text.hidden_size) * text.hidden_size**-0.5)
        self.language_model = Qwen2ForCausalLM(text)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, CUT3R):
            initialise_cut3r(module)
        elif isinstance(module, SpatialFusion | ProjectedAttention):
            # The attention also alone: where only fusion is missing from a checkpoint, transformers asks for its
            # leaves and never for the block.
            module.reset_parameters()
        else:
            super()._init_weights(module)

    def get_input_embeddings(self) -> nn.Module:
        """The language model's token embedding."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embedding."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The language model's output layer."""
        return self.language_model.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the language model's output layer."""
        self.language_model.lm_head = new_embeddings

    def encode_video(
        self,
        pixel_values: Tensor | None = None,
        frame_counts: Tensor | None = None,
        camera_tokens: Tensor | None = None,
        patch_tokens: Tensor | None = None,
        vision_tokens: Tensor | None = None,
    ) -> VisualStages:
        """Every stage from frames to the tokens that replace a video's placeholders.

        Args:
            pixel_values: `(clip, frame, 3, H, W)`, normalised; shorter clips padded at their end. May be left out
                where all tokens that the model needs are given.
            frame_counts: `(clip,)`, frames that are no padding; None means all.
            camera_tokens: `(clip, frame, 1, dim)`, computed earlier from the same frames; given with `patch_tokens`,
                the geometry encoder does not run.
            patch_tokens: `(clip, frame, geometry patch, dim)`, likewise.
            vision_tokens: `(clip, frame, patch, dim)`, computed earlier from the same frames; the visual encoder does
                not run.

        Raises:
            ValueError: an axis is missing, pixels are missing that a part needs, or the given tokens belong to other
                clips.
        """
        given = (camera_tokens, patch_tokens, vision_tokens)
        return self._encode_clips(pixel_values, frame_counts, *given, still=False)

    def encode_images(self, image_pixel_values: Tensor, image_counts: Tensor | None = None) -> VisualStages:
        """As `encode_video` for still images `(clip, image, 3, H, W)`: no pooling, a newline after every grid row."""
        return self._encode_clips(image_pixel_values, image_counts, None, None, None, still=True)

    def _encode_clips(
        self,
        frames: Tensor | None,
        counts: Tensor | None,
        camera_tokens: Tensor | None,
        patch_tokens: Tensor | None,
        vision_tokens: Tensor | None,
        still: bool,
    ) -> VisualStages:
        if frames is not None and (frames.ndim != 5 or frames.shape[2] != 3):
            raise ValueError(f"pixel values need the axes (clip, frame, 3, H, W), not {tuple(frames.shape)}")
        if vision_tokens is None:
            visual: Tensor = self.vision_tower(_pixels(frames, "vision_tokens").to(self.device))
        else:
            visual = vision_tokens.to(self.device, self.image_newline.dtype)
        fused = visual
        if self.config.geometry == "cut3r":
            if camera_tokens is None or patch_tokens is None:
                pixels = _pixels(frames, "camera_tokens and patch_tokens").to(self.device)
                camera_tokens, patch_tokens = encode_geometry(
                    self.geometry_encoder, pixels, self.config.geometry_image_size
                )
            geometry = select_geometry(camera_tokens, patch_tokens, self.config.geometry_features)
            fused = self.fusion(visual, geometry.to(visual))
        projected = self.projector(fused)
        layout = self.config.layout
        pooled = projected if still else pool_frames(projected, layout.pool_mode)
        position = "grid" if still else layout.newline_position
        shape = tuple(visual.shape[:2])
        lengths = [shape[1]] * shape[0] if counts is None else counts.tolist()
        if len(lengths) != shape[0] or max(lengths) > shape[1]:
            raise ValueError(f"frame counts {lengths} do not fit clips of (clip, frame) = {shape}")
        sequences = tuple(
            place_newlines(clip[:length], self.image_newline, position)
            for clip, length in zip(pooled, lengths, strict=True)
        )
        return VisualStages(visual, camera_tokens, patch_tokens, fused, projected, pooled, sequences)

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        frame_counts: Tensor | None = None,
        image_pixel_values: Tensor | None = None,
        image_counts: Tensor | None = None,
        camera_tokens: Tensor | None = None,
        patch_tokens: Tensor | None = None,
        vision_tokens: Tensor | None = None,
        video_embeddings: Tensor | None = None,
        image_embeddings: Tensor | None = None,
    ) -> Tensor:
        """Input embeddings `(batch, token, dim)` with the visual tokens scattered over their placeholders.

        Clips are taken in the order in which their placeholders stand in the batch, row by row. `video_embeddings`
        and `image_embeddings` `(token, dim)` replace the pixels where the batch's clips were encoded before.

        Raises:
            ValueError: placeholders and visual tokens differ in number.
        """
        videos, images = self.config.video_token_id, self.config.image_token_id
        # Placeholder ids need not be rows of the embedding table, so look up an ordinary id in their place.
        is_placeholder = (input_ids == videos) | (input_ids == images)
        embeddings = self.get_input_embeddings()(input_ids.masked_fill(is_placeholder, 0))
        video_clips = None if video_embeddings is None else (video_embeddings,)
        if video_clips is None and (pixel_values is not None or vision_tokens is not None):
            given = (camera_tokens, patch_tokens, vision_tokens)
            video_clips = self.encode_video(pixel_values, frame_counts, *given).sequences
        image_clips = None if image_embeddings is None else (image_embeddings,)
        if image_pixel_values is not None and image_clips is None:
            image_clips = self.encode_images(image_pixel_values, image_counts).sequences
        embeddings = scatter_clips(embeddings, input_ids == videos, video_clips, "video")
        return scatter_clips(embeddings, input_ids == images, image_clips, "image")

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        pixel_values: Tensor | None = None,
        frame_counts: Tensor | None = None,
        image_pixel_values: Tensor | None = None,
        image_counts: Tensor | None = None,
        camera_tokens: Tensor | None = None,
        patch_tokens: Tensor | None = None,
        vision_tokens: Tensor | None = None,
        video_embeddings: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits `(batch, token, vocabulary)` and, with `labels`, the mean next-token cross-entropy.

        Visual arguments are those of `embed`. `labels` `(batch, token)` hold -100 where nothing is supervised; the
        loss normalises over every row of the output layer, as in the published training.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("forward needs input_ids or inputs_embeds")
            visual = (
                pixel_values,
                frame_counts,
                image_pixel_values,
                image_counts,
                camera_tokens,
                patch_tokens,
                vision_tokens,
                video_embeddings,
                image_embeddings,
            )
            if input_ids.shape[1] == 1 and all(value is None for value in visual):
                # One step of decoding: no placeholders to count, so nothing to wait for the device for.
                inputs_embeds = self.get_input_embeddings()(input_ids)
            else:
                inputs_embeds = self.embed(input_ids, *visual)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    @torch.no_grad()
    def generate(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, inputs: Tensor | None = None, generation_config: GenerationConfig | None = None, **kwargs: Any
    ) -> Any:
        """Token ids `(batch, prompt + new)`; arguments as `GenerationMixin.generate` and `embed`.

        Clips are encoded once, before the first step. As in the published code, a repetition penalty sees generated
        tokens only, and ids that the tokenizer does not have are never yielded. An `assistant_model` must be a text
        model: it is given token ids, not clips.
        """
        input_ids = kwargs.pop("input_ids", None) if inputs is None else inputs
        if input_ids is not None and kwargs.get("inputs_embeds") is None:
            visual = {name: kwargs.pop(name, None) for name in VISUAL_INPUTS}
            kwargs["inputs_embeds"] = self.embed(input_ids, **visual)
        processors = LogitsProcessorList(kwargs.pop("logits_processor", None) or [])
        processors.append(OnlyKnownTokens(self.config.num_output_tokens))
        prompt = 0 if input_ids is None else input_ids.shape[1]
        processors += self._penalty_processor(kwargs.pop("repetition_penalty", None), generation_config, prompt)
        if input_ids is not None:
            kwargs["input_ids"] = input_ids
        return super().generate(  # pyright: ignore[reportAttributeAccessIssue]
            generation_config=generation_config, repetition_penalty=1.0, logits_processor=processors, **kwargs
        )

    def _penalty_processor(
        self, penalty: float | None, generation_config: GenerationConfig | None, prompt: int
    ) -> list[LogitsProcessor]:
        """The repetition penalty on generated tokens: the argument's, else the given, else the model's settings'."""
        for settings in (generation_config, self.generation_config):
            if penalty is None and settings is not None:
                penalty = settings.repetition_penalty
        if penalty is None or penalty == 1.0:
            return []
        return [RepetitionPenaltyLogitsProcessor(float(penalty), prompt_ignore_length=prompt)]


def _pixels(frames: Tensor | None, instead: str) -> Tensor:
    if frames is None:
        raise ValueError(f"without pixel values, {instead} must be given")
    return frames


class OnlyKnownTokens(LogitsProcessor):
    """Rules out the rows of the output layer that are no ids of the tokenizer."""

    def __init__(self, count: int):
        self.count = count

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` `(batch, row)` with every row from `count` on at minus infinity."""
        beyond = torch.arange(scores.shape[-1], device=scores.device) >= self.count
        return scores.masked_fill(beyond, -torch.inf)


def scatter_clips(embeddings: Tensor, mask: Tensor, clips: Sequence[Tensor] | None, kind: str) -> Tensor:
    """`embeddings` `(batch, token, dim)` with the clips' tokens, in order, in the places where `mask` is true.

    Raises:
        ValueError: there are more or fewer tokens than places, or a clip would reach into the next row.
    """
    clips = clips or ()
    rows = torch.cumsum(mask.sum(dim=1), dim=0).tolist()
    ends = list(itertools.accumulate(clip.shape[0] for clip in clips))
    available = ends[-1] if ends else 0
    if rows[-1] != available:
        raise ValueError(
            f"input_ids hold {rows[-1]} {kind} placeholders but the {kind} inputs give {available} tokens: "
            "were processor and model given the same frames, pool mode and newline position?"
        )
    if len(clips) > 1 and not set(rows) <= {0, *ends}:
        raise ValueError(
            f"the {kind} clips, of {[len(clip) for clip in clips]} tokens, do not end where the rows' placeholders do "
            f"({rows} up to each row): are clips and questions in the same order?"
        )
    if not clips:
        return embeddings
    return embeddings.masked_scatter(mask[..., None], torch.cat(list(clips)).to(embeddings))
