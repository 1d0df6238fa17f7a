"""The sizes of a CUT3R model, and their translation from and to the published constructor arguments."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

StateUpdate = Literal["cut3r", "ttt3r"]
"""How a rollout takes a proposed state: whole, or token by token at a rate from attention."""

INFINITE_EXP = ("exp", -math.inf, math.inf)

# Published arguments whose only supported value is the one of the released model.
_FIXED: dict[str, Any] = {
    "output_mode": "pts3d+pose",
    "depth_mode": INFINITE_EXP,
    "conf_mode": ("exp", 1, math.inf),
    "pose_mode": INFINITE_EXP,
    "rgb_head": True,
    "pose_head": True,
    "depth_head": False,
    "pose_conf_head": False,
    "norm_im2_in_dec": True,
}
# Published arguments that do not enter the arithmetic: training switches, and a size that any image may have.
_IGNORED = ("freeze", "patch_embed_cls", "img_size", "landscape_only", "mask_ratio")
# What an export writes for the arguments above, so that the published code accepts the string.
_EXPORTED_IGNORED: dict[str, Any] = {
    "freeze": "none",
    "patch_embed_cls": "ManyAR_PatchEmbed",
    "img_size": (512, 512),
    "landscape_only": False,
}


def nearest_key_hint(key: str, known: Iterable[str]) -> str:
    """A ` (did you mean 'x'?)` suffix for an unknown key, empty when nothing is near."""
    near = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


@dataclass(frozen=True)
class CUT3RConfig:
    """Sizes of a CUT3R model; the defaults are those of the published `cut3r_512_dpt_4_64`."""

    enc_embed_dim: int = 1024
    """Width of the image and ray-map encoders."""
    enc_depth: int = 24
    """Blocks of the image encoder."""
    enc_num_heads: int = 16
    """Attention heads of the image encoder."""
    ray_enc_depth: int = 2
    """Blocks of the ray-map encoder; 0 leaves its patch embedding and norm, for models that read no ray maps."""
    ray_enc_num_heads: int = 16
    """Attention heads of the ray-map encoder; the published code fixes 16 whatever the image encoder has."""
    dec_embed_dim: int = 768
    """Width of both decoder branches, and of the camera and patch tokens."""
    dec_depth: int = 12
    """Layers of the twin decoder; each holds one image block and one state block."""
    dec_num_heads: int = 12
    """Attention heads of the image branch, of the pose memory and of the head's own blocks."""
    state_size: int = 768
    """Tokens of the recurrent state."""
    state_pe: Literal["1d", "2d"] = "2d"
    """Layout of the state positions: a grid of even width, or the diagonal (i, i)."""
    state_dec_num_heads: int = 16
    """Attention heads of the state branch."""
    local_mem_size: int = 256
    """Slots of the pose memory, each twice `dec_embed_dim` wide."""
    memory_depth: int = 2
    """Blocks that read the pose memory, and blocks that write it."""
    patch_size: int = 16
    """Side of a patch in pixels; height and width of a frame must be multiples of it."""
    mlp_ratio: int = 4
    """Hidden width of every MLP as a multiple of its input."""
    norm_eps: float = 1e-6
    """Epsilon of every LayerNorm."""
    rope_base: float = 100.0
    """Base of the rotary position frequencies (the number in the published `pos_embed`)."""
    head_type: Literal["dpt", "linear"] = "dpt"
    """Kind of the pointmap and colour heads."""
    head_transform_depth: int = 2
    """Modulated blocks that turn patch tokens into those of the world-frame head."""
    dpt_feature_dim: int = 256
    """Channels of the DPT fusion stages."""
    dpt_last_dim: int = 128
    """Channels of the last DPT convolutions."""
    dpt_layer_dims: tuple[int, int, int, int] = (96, 192, 384, 768)
    """Channels of the four token maps that enter a DPT, finest first."""

    def __post_init__(self) -> None:
        # A list is what JSON gives.
        object.__setattr__(self, "dpt_layer_dims", tuple(self.dpt_layer_dims))
        if len(self.dpt_layer_dims) != 4:
            raise ValueError(f"dpt_layer_dims needs 4 numbers, got {self.dpt_layer_dims}")
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.type == "int"}
        sizes |= {f"dpt_layer_dims[{i}]": size for i, size in enumerate(self.dpt_layer_dims)}
        for name, size in sizes.items():
            least = 0 if name == "ray_enc_depth" else 1
            if not isinstance(size, int) or isinstance(size, bool) or size < least:
                kind = "positive integer" if least else "non-negative integer"
                raise ValueError(f"{name} must be a {kind}, got {size!r}")
        if self.norm_eps <= 0 or self.rope_base <= 1:
            raise ValueError(f"norm_eps must be > 0 and rope_base > 1, got {self.norm_eps} and {self.rope_base}")
        if self.state_pe not in ("1d", "2d"):
            raise ValueError(f"state_pe must be '1d' or '2d', got {self.state_pe!r}")
        if self.head_type not in ("dpt", "linear"):
            raise ValueError(f"head_type must be 'dpt' or 'linear', got {self.head_type!r}")
        if self.head_type == "dpt" and (self.patch_size != 16 or self.dec_depth < 2):
            raise ValueError("head_type 'dpt' needs patch_size 16 and dec_depth of at least 2; use head_type 'linear'")
        self._check_head_widths()

    def _check_head_widths(self) -> None:
        for heads, width in (
            ("enc_num_heads", "enc_embed_dim"),
            ("ray_enc_num_heads", "enc_embed_dim"),
            ("dec_num_heads", "dec_embed_dim"),
            ("state_dec_num_heads", "dec_embed_dim"),
        ):
            if getattr(self, width) % (4 * getattr(self, heads)):
                raise ValueError(
                    f"{width} ({getattr(self, width)}) must be a multiple of 4 * {heads} ({getattr(self, heads)}): "
                    "2-D rotary positions pair channels in two halves of every head"
                )

    @property
    def dpt_hooks(self) -> tuple[int, int, int, int]:
        """Entries of the decoder list that a DPT reads; 0 stands for the encoder tokens."""
        return (0, self.dec_depth * 2 // 4, self.dec_depth * 3 // 4, self.dec_depth)

    def to_dict(self) -> dict[str, Any]:
        """Every field as a plain, JSON-serialisable value."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CUT3RConfig:
        """The configuration that `to_dict` wrote; an unknown key is a ValueError that names the nearest field."""
        known = [f.name for f in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise ValueError(f"unknown CUT3R configuration key {key!r}{nearest_key_hint(key, known)}")
        return cls(**values)

    @classmethod
    def from_constructor(cls, constructor: Mapping[str, Any]) -> CUT3RConfig:
        """The configuration for published constructor arguments (infinities as floats).

        Raises a ValueError for an unknown argument (naming the nearest known one) and for a value that asks for
        another model than the released kind. Fields of this class are accepted beside the published arguments.
        """
        fields = {f.name for f in dataclasses.fields(cls)}
        known = fields | set(_FIXED) | set(_IGNORED) | {"pos_embed"}
        values: dict[str, Any] = {}
        for key, value in constructor.items():
            if key not in known:
                raise ValueError(f"unknown CUT3R constructor argument {key!r}{nearest_key_hint(key, known)}")
            if key in _FIXED:
                given = tuple(value) if isinstance(value, list) else value
                if given != _FIXED[key]:
                    raise ValueError(f"constructor argument {key}={given!r} is not supported, only {_FIXED[key]!r}")
            elif key == "pos_embed":
                values["rope_base"] = _rope_base(value)
            elif key in fields:
                values[key] = value
        return cls(**values)

    def to_constructor(self) -> dict[str, Any]:
        """Published constructor arguments that `from_constructor` turns into an equal configuration.

        Fields that the published code fixes appear only where they differ from its values.
        """
        published = ("state_size", "state_pe", "head_type", "enc_embed_dim", "enc_depth", "enc_num_heads")
        published += ("dec_embed_dim", "dec_depth", "dec_num_heads")
        defaults = CUT3RConfig()
        constructor: dict[str, Any] = dict(_EXPORTED_IGNORED)
        constructor["pos_embed"] = f"RoPE{self.rope_base:g}"
        constructor |= {key: _FIXED[key] for key in list(_FIXED)[:6]}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "rope_base" and (field.name in published or value != getattr(defaults, field.name)):
                constructor[field.name] = value
        return constructor


def _rope_base(pos_embed: object) -> float:
    match = re.fullmatch(r"RoPE(\d+(?:\.\d+)?)", str(pos_embed))
    if match is None:
        raise ValueError(f"constructor argument pos_embed={pos_embed!r} is not supported, only 'RoPE<base>'")
    return float(match[1])
